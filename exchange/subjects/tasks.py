"""The repeat-safe pass over objections; the beat wakes it by name."""

from celery import shared_task
from django.utils import timezone

from exchange.subjects.actions import objections


@shared_task(name="subjects.find_overdue_objections")
def find_overdue_objections() -> None:
    """Mark what was not answered in time."""
    objections.sweep(now=timezone.now())
