"""The web app: what every web-facing app shares."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """What every web-facing app shares."""

    name = "exchange.web"
    label = "web"
