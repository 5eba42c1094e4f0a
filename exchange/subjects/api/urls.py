"""Addresses of the API of objections, below /api/v1/."""

from django.urls import path

from exchange.subjects.api import nodes, views

app_name = "subjects-api"
urlpatterns = [
    path("subjects/objections/", views.ObjectionsView.as_view(), name="objections"),
    path("subjects/objections/status/", views.ObjectionStatusView.as_view(), name="objection-status"),
    *(
        path(f"nodes/{verb}/", nodes.ObjectionNodeView.as_view(), {"verb": verb}, name=f"node-{verb}")
        for verb in nodes.VERBS
    ),
]
