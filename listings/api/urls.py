"""The listings' part of the API, under `/api/v1/`."""

from django.urls import path

from listings.api import views

app_name = "listings_api"
urlpatterns = [
    path("products/", views.ProductsView.as_view(), name="products"),
    path("products/<str:ref>/", views.ProductView.as_view(), name="product"),
    path("products/<str:ref>/<slug:verb>/", views.ProductActView.as_view(), name="product-act"),
    path("certificates/<str:number>/", views.CertificateView.as_view(), name="certificate"),
]
