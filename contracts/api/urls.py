"""Addresses of the contracts API, below /api/v1/."""

from django.urls import path

from contracts.api import views

app_name = "contracts-api"

urlpatterns = [
    path("contracts/", views.ContractsView.as_view(), name="contracts"),
    path("contracts/<str:ref>/", views.ContractView.as_view(), name="contract"),
    path("contracts/<str:ref>/signatures/", views.SignaturesView.as_view(), name="signatures"),
    path("contracts/<str:ref>/grants/", views.GrantsView.as_view(), name="grants"),
    path("contracts/<str:ref>/revocations/", views.RevocationsView.as_view(), name="revocations"),
    path("contracts/<str:ref>/deposits/", views.DepositsView.as_view(), name="deposits"),
    path("contracts/<str:ref>/statement/", views.StatementView.as_view(), name="statement"),
    path("contracts/<str:ref>/withdraw/", views.WithdrawView.as_view(), name="withdraw"),
    path("contracts/<str:ref>/suspend/", views.DecisionView.as_view(decision="suspend"), name="suspend"),
    path("contracts/<str:ref>/resume/", views.DecisionView.as_view(decision="resume"), name="resume"),
    path("contracts/<str:ref>/terminate/", views.DecisionView.as_view(decision="terminate"), name="terminate"),
]
