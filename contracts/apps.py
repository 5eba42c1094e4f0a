"""The contracts app: terms, meters and money."""

from django.apps import AppConfig


class ContractsConfig(AppConfig):
    """Terms, meters and money."""

    name = "contracts"
    label = "contracts"
