"""The API: everything under `/api/`."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from exchange.api import views

_members: list[URLPattern | URLResolver] = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("me/", views.MeView.as_view(), name="me"),
    path("organizations/", views.OrganizationsView.as_view(), name="organizations"),
    path("organizations/<str:ref>/", views.OrganizationView.as_view(), name="organization"),
    path("organizations/<str:ref>/keys/", views.KeysView.as_view(), name="keys"),
    path("key-revocations/", views.KeyRevocationsView.as_view(), name="key-revocations"),
    path("organizations/<str:ref>/<slug:verb>/", views.OrganizationActView.as_view(), name="organization-act"),
]

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.RootView.as_view(), name="root"),
    path("errors/", views.ErrorsView.as_view(), name="errors"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    path("v1/", include(_members)),
    path("v1/ledger/", include("ledger.api.urls")),
    path("v1/", include("listings.api.urls")),
    path("v1/", include("contracts.api.urls")),
    path("v1/", include("exchange.subjects.api.urls")),  # before the nodes' other verbs
    path("v1/", include("compute.api.urls")),
]
