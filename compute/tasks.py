"""Repeat-safe passes over the rows of computations; the beat and `compute.schedule` wake them by name."""

from celery import shared_task
from django.utils import timezone

from compute.actions import advance, dispatch, notices


@shared_task(name="compute.advance_computations")
def advance_computations() -> None:
    """Take every computation as far as its rows allow."""
    advance.advance_all(now=timezone.now())


@shared_task(name="compute.expire_tasks")
def expire_tasks() -> None:
    """Take back lapsed leases and end what ran out of time."""
    dispatch.expire(now=timezone.now())


@shared_task(name="compute.forget_notices")
def forget_notices() -> None:
    """Delete notices to data subjects that are past their time."""
    notices.forget(now=timezone.now())
