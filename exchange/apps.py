"""The composition root as a Django app: it loads Celery once Django is ready to be configured."""

import importlib

from django.apps import AppConfig


class ExchangeConfig(AppConfig):
    """Loads the Celery app, so that tasks defer to it by name."""

    name = "exchange"
    label = "exchange"

    def ready(self) -> None:
        importlib.import_module("exchange.celery")
