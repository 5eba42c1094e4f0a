"""The API: everything under `/api/`."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from exchange.api import views


def _when_there(prefix: str, module: str) -> list[URLPattern | URLResolver]:
    package = module.rpartition(".")[0]
    return [path(prefix, include(module))] if find_spec(package) and find_spec(module) else []


_members: list[URLPattern | URLResolver] = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("me/", views.MeView.as_view(), name="me"),
    path("organizations/", views.OrganizationsView.as_view(), name="organizations"),
    path("organizations/<str:ref>/", views.OrganizationView.as_view(), name="organization"),
    path("organizations/<str:ref>/keys/", views.KeysView.as_view(), name="keys"),
    path("organizations/<str:ref>/<slug:verb>/", views.OrganizationActView.as_view(), name="organization-act"),
]

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.RootView.as_view(), name="root"),
    path("errors/", views.ErrorsView.as_view(), name="errors"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="api:schema"), name="docs"),
    path("v1/", include(_members)),
    *_when_there("v1/ledger/", "ledger.api.urls"),
    *_when_there("v1/", "listings.api.urls"),
    *_when_there("v1/", "contracts.api.urls"),
    *_when_there("v1/", "compute.api.urls"),
]
