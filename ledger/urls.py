"""The ledger's public pages and files, under `/ledger/`."""

from django.urls import path, re_path

from ledger import views

app_name = "ledger"
urlpatterns = [
    path("", views.log, name="log"),
    path("verify/", views.verify, name="verify"),
    path("entries/<str:ref>/", views.entry, name="entry"),
    path("proof/<str:ref>", views.proof, name="proof"),
    path("checkpoint", views.checkpoint, name="checkpoint"),
    re_path(r"^tile/entries/(?P<path>[x0-9/]{3,40}(?:\.p/\d{1,3})?)$", views.entry_bundle, name="entry-bundle"),
    re_path(r"^tile/(?P<level>\d)/(?P<path>[x0-9/]{3,40}(?:\.p/\d{1,3})?)$", views.tile, name="tile"),
]
