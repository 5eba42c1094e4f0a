"""Addresses of the web kit itself."""

from django.urls import path

from exchange.web import views

app_name = "web"
urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("accounts/membership/", views.switch_membership, name="switch-membership"),
]
