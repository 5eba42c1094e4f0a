"""Addresses of the staff desk, below /desk/."""

from django.urls import path

from exchange.desk import views

app_name = "desk"
urlpatterns = [
    path("", views.home, name="home"),
    path("organizations/", views.organizations_page, name="organizations"),
    path("organizations/<str:ref>/", views.organization, name="organization"),
    path("products/", views.products, name="products"),
    path("products/<str:ref>/", views.product, name="product"),
    path("computations/", views.computations, name="computations"),
    path("objections/", views.objections, name="objections"),
    path("deposits/", views.deposits, name="deposits"),
    path("deposits/<str:ref>/", views.confirm_deposit, name="confirm-deposit"),
    path("health/", views.health, name="health"),
]
