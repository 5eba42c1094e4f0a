"""Every address of the exchange: pages of each app, the API, and what a machine asks for."""

from django.urls import URLPattern, URLResolver, include, path

from exchange.api.health import ReadyView

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("exchange.web.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("readyz", ReadyView.as_view(), name="readyz"),
    path("accounts/", include("allauth.urls")),
    path("api/", include("exchange.api.urls")),
    path("ledger/", include("ledger.urls")),
    path("", include("ledger.well_known")),
    path("", include("listings.urls")),
    path("", include("contracts.urls")),
    path("", include("compute.urls")),
    path("", include("exchange.subjects.urls")),
    path("desk/", include("exchange.desk.urls")),
    path("", include("exchange.front.urls")),
]

handler404 = "exchange.web.problems.page_not_found"
handler500 = "exchange.web.problems.server_error"
