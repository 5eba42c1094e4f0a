"""Addresses of the pages of objections for providers, below /."""

from django.urls import path

from exchange.subjects import views

app_name = "subjects"
urlpatterns = [
    path("objections/", views.objections_page, name="objections"),
]
