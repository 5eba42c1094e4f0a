"""The ledger app: entries, checkpoints and anchors."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Entries, checkpoints and anchors."""

    name = "ledger"
    label = "ledger"
