"""The compute app: computations, dispatch and results."""

from importlib import import_module

from django.apps import AppConfig


class ComputeConfig(AppConfig):
    """Computations, dispatch and results; listens to contracts once Django is ready."""

    name = "compute"
    label = "compute"

    def ready(self) -> None:
        import_module("compute.receivers").connect()
