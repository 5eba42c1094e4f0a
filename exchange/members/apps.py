"""The members app: organisations, people, roles and public keys."""

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """Organisations, people, roles and public keys."""

    name = "exchange.members"
    label = "members"
