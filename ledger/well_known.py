"""What the ledger serves at the site's root, for programs that know only the site's name."""

from django.urls import path

from ledger import views

urlpatterns = [
    path(".well-known/hengshu-policy.json", views.policy, name="trust-policy"),
    path(".well-known/hengshu-key-history.json", views.key_history, name="key-history"),
    path(".well-known/tlog-policy", views.tlog_policy, name="tlog-policy"),
]
