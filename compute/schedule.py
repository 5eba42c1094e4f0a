"""Asks for this app's deferred work, by task name and once the transaction has committed."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def advance_later() -> None:
    """Wake the pass over computations on commit, once for each transaction; beat repairs a lost wake-up."""
    if not any(waiting[1] is _wake for waiting in transaction.get_connection().run_on_commit):
        transaction.on_commit(_wake)


def _wake() -> None:
    try:
        current_app.signature("compute.advance_computations").apply_async(retry=False)
    except OperationalError:
        logger.warning("broker unreachable; computations advance at the next beat")
