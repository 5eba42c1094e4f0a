"""The listings app: products, specifications and certificates."""

from django.apps import AppConfig


class ListingsConfig(AppConfig):
    """Products, specifications and certificates."""

    name = "listings"
    label = "listings"
