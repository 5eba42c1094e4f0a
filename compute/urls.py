"""Addresses of the computation pages, below /."""

from django.urls import path

from compute import views
from compute.trace import pages as trace

app_name = "compute"

urlpatterns = [
    path("trace/", trace.search, name="trace"),
    path("trace/<str:reference>/", trace.show, name="trace-of"),
    path("computations/", views.computation_list, name="list"),
    path("computations/new/<str:contract>/", views.request_builder, name="builder"),
    path("computations/<str:ref>/", views.computation_detail, name="detail"),
    path("computations/<str:ref>/progress/", views.computation_progress, name="progress"),
    path("computations/<str:ref>/approve/", views.review, {"decision": "approve"}, name="approve"),
    path("computations/<str:ref>/reject/", views.review, {"decision": "reject"}, name="reject"),
    path("computations/<str:ref>/withdraw/", views.withdraw, name="withdraw"),
    path("computations/<str:ref>/receipt.json", views.receipt, name="receipt"),
]
