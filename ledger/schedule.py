"""Asks for the ledger's deferred work, by task name and once the transaction has committed."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def seal_later() -> None:
    """Wake the sealer on commit, once for each transaction. A dead broker costs a second: beat repairs it."""
    if not any(waiting[1] is _wake_sealer for waiting in transaction.get_connection().run_on_commit):
        transaction.on_commit(_wake_sealer)


def _wake_sealer() -> None:
    try:
        current_app.signature("ledger.seal_checkpoint").apply_async(retry=False)
    except OperationalError:
        logger.warning("broker unreachable; the sealer runs at its next beat")
