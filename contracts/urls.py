"""Addresses of the contract pages."""

from django.urls import path

from contracts import views

app_name = "contracts"

urlpatterns = [
    path("contracts/", views.contract_list, name="list"),
    path("contracts/propose/", views.contract_propose, name="propose"),
    path("contracts/<str:ref>/", views.contract_detail, name="detail"),
    path("contracts/<str:ref>/deposit/", views.contract_deposit, name="deposit"),
    path("contracts/<str:ref>/withdraw/", views.contract_withdraw, name="withdraw"),
]
