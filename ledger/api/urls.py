"""The ledger's part of the API, under `/api/v1/ledger/`."""

from django.urls import path

from ledger.api import views

app_name = "ledger_api"
urlpatterns = [
    path("", views.LogView.as_view(), name="log"),
    path("entries/", views.EntriesView.as_view(), name="entries"),
    path("entries/<str:ref>/", views.EntryView.as_view(), name="entry"),
    path("entries/<str:ref>/proof/", views.ProofView.as_view(), name="proof"),
    path("consistency/", views.ConsistencyView.as_view(), name="consistency"),
]
