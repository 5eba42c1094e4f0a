"""The ledger's public pages and files, under `/ledger/`."""

from django.urls import path, re_path

from ledger import views

app_name = "ledger"
_TILE = r"(?P<path>[x0-9/]{3,40}(?:\.p/\d{1,3})?)"
# Under /ledger/ stands the log that grows; each log has an address of its own, which it keeps when it is frozen.
urlpatterns = [
    path("", views.log, name="log"),
    path("verify/", views.verify, name="verify"),
    path("entries/<str:ref>/", views.entry, name="entry"),
    path("proof/<str:ref>.tlog-proof", views.proof_file, name="proof-file"),
    path("proof/<str:ref>", views.proof, name="proof"),
    path("bundle/<str:ref>.json", views.bundle, name="bundle"),
    path("checkpoint", views.checkpoint, name="checkpoint"),
    re_path(rf"^tile/entries/{_TILE}$", views.entry_bundle, name="entry-bundle"),
    re_path(rf"^tile/(?P<level>\d)/{_TILE}$", views.tile, name="tile"),
    path("logs/<int:number>/checkpoint", views.checkpoint, name="log-checkpoint"),
    path("logs/<int:number>/tile/entries/<path:path>", views.entry_bundle, name="log-entry-bundle"),
    path("logs/<int:number>/tile/<int:level>/<path:path>", views.tile, name="log-tile"),
]
