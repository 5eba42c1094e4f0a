"""Addresses of the web kit itself."""

from django.urls import path

from exchange.web import views
from ledger.views import policy

app_name = "web"
urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path(".well-known/hengshu-policy.json", policy, name="policy"),
    path("accounts/membership/", views.switch_membership, name="switch-membership"),
]
