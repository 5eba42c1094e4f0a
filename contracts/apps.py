"""The contracts app: terms, meters and money."""

from importlib import import_module

from django.apps import AppConfig


class ContractsConfig(AppConfig):
    """Terms, meters and money; listens to the ledger once Django is ready."""

    name = "contracts"
    label = "contracts"

    def ready(self) -> None:
        import_module("contracts.receivers").connect()
