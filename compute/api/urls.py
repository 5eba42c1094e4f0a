"""Addresses of the computations API, below /api/v1/."""

from django.urls import path

from compute.api import nodes, notices, views
from compute.trace.api import TraceView

app_name = "compute-api"

urlpatterns = [
    path("computations/", views.ComputationsView.as_view(), name="computations"),
    path("computations/<str:ref>/", views.ComputationView.as_view(), name="computation"),
    path("computations/<str:ref>/approve/", views.ApproveView.as_view(), name="approve"),
    path("computations/<str:ref>/reject/", views.RejectView.as_view(), name="reject"),
    path("computations/<str:ref>/withdraw/", views.WithdrawView.as_view(), name="withdraw"),
    path("computations/<str:ref>/result/", views.ResultView.as_view(), name="result"),
    path("computations/<str:ref>/receipt/", views.ReceiptView.as_view(), name="receipt"),
    path("trace/<str:reference>/", TraceView.as_view(), name="trace"),
    path("notices/", notices.NoticesView.as_view(), name="notices"),
    path("notices/<str:ref>/<int:number>/", notices.NoticePieceView.as_view(), name="notice-piece"),
    path("nodes/<str:verb>/", nodes.NodeView.as_view(), name="node"),
]
