"""The exchange's addresses, with the ledger's API where it stands in the whole."""

from django.urls import include, path

from exchange.urls import urlpatterns as site

urlpatterns = [path("api/v1/ledger/", include("ledger.api.urls")), *site]
