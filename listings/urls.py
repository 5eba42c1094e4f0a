"""Pages of products and certificates."""

from django.urls import path

from listings import views

app_name = "listings"
urlpatterns = [
    path("catalogue/", views.catalogue, name="catalogue"),
    path("products/", views.mine, name="mine"),
    path("products/new/", views.create, name="create"),
    path("products/<str:ref>/", views.product, name="product"),
    path("products/<str:ref>/edit/", views.edit, name="edit"),
    path("products/<str:ref>/submit/", views.submit, name="submit"),
    path("products/<str:ref>/next-version/", views.start_next_version, name="next-version"),
    path("certificates/<str:number>/", views.certificate, name="certificate"),
]
