"""The subjects app: what persons in the tables may do, who are no members of the exchange."""

from django.apps import AppConfig


class SubjectsConfig(AppConfig):
    """Objections of data subjects and how long they wait."""

    name = "exchange.subjects"
    label = "subjects"
