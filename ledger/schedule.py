"""Asks for the ledger's deferred work, by task name and once the transaction has committed."""

import logging
from collections.abc import Sequence

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def seal_later() -> None:
    """Wake the sealer on commit, once for each transaction. A dead broker costs a second: beat repairs it."""
    if not any(waiting[1] is _wake_sealer for waiting in transaction.get_connection().run_on_commit):
        transaction.on_commit(_wake_sealer)


def wake(names: Sequence[str]) -> None:
    """Ask for tasks of others by name, now; a dead broker costs a second: beat repairs it."""
    try:
        for name in names:
            current_app.signature(name).apply_async(retry=False)
    except OperationalError:
        logger.warning("broker unreachable; %s at the next beat", ", ".join(names))


def _wake_sealer() -> None:
    wake(["ledger.seal_checkpoint"])
