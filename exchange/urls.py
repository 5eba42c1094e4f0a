"""Every address of the exchange: pages of each app, the API, and what a machine asks for."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

from exchange.api.health import ReadyView


def _when_there(prefix: str, module: str) -> list[URLPattern | URLResolver]:
    package = module.rpartition(".")[0]
    return [path(prefix, include(module))] if find_spec(package) and find_spec(module) else []


urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("exchange.web.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("readyz", ReadyView.as_view(), name="readyz"),
    path("accounts/", include("allauth.urls")),
    *_when_there("api/", "exchange.api.urls"),
    *_when_there("ledger/", "ledger.urls"),
    *_when_there("", "ledger.well_known"),
    *_when_there("", "listings.urls"),
    *_when_there("", "contracts.urls"),
    *_when_there("", "compute.urls"),
    *_when_there("desk/", "exchange.desk.urls"),
    *_when_there("", "exchange.front.urls"),
]

handler404 = "exchange.web.problems.page_not_found"
handler500 = "exchange.web.problems.server_error"
