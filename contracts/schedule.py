"""Asks for this app's deferred work, by task name and once the transaction has committed."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def advance_later() -> None:
    """Wake the pass that moves contracts on."""
    transaction.on_commit(lambda: _wake("contracts.advance_contracts"))


def send_chain_records_later() -> None:
    """Wake the pass that carries grants and totals to the chain."""
    transaction.on_commit(lambda: _wake("ledger.send_chain_records"))


def send_revocations_later() -> None:
    """Wake the pass that carries revocations; its queue is emptied before every other."""
    transaction.on_commit(lambda: _wake("ledger.send_revocations"))


def _wake(task: str) -> None:
    """A dead broker costs a few seconds: beat repairs it."""
    try:
        current_app.signature(task).apply_async(retry=False)
    except OperationalError:
        logger.warning("broker unreachable; %s runs at its next beat", task)
