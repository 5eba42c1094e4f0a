"""The compute app: computations, dispatch and results."""

from django.apps import AppConfig


class ComputeConfig(AppConfig):
    """Computations, dispatch and results."""

    name = "compute"
    label = "compute"
