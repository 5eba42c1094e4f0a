"""The ledger's passes. Each may run at any time, any number of times, on any worker."""

import logging

from celery import shared_task
from django.conf import settings

from ledger import schedule
from ledger.actions import anchoring, chain_events, chain_records, log, witnessing
from ledger.errors import LogBehindSignedCheckpoint, LogKeyDiffers, SignedCheckpointMissing

logger = logging.getLogger(__name__)


@shared_task(name="ledger.seal_checkpoint")
def seal_checkpoint() -> None:
    """Give waiting entries their place and sign a checkpoint over them."""
    try:
        log.seal()
    except (LogBehindSignedCheckpoint, LogKeyDiffers, SignedCheckpointMissing) as refusal:
        logger.critical("%s: %s", refusal.code, refusal.message)


@shared_task(name="ledger.ask_witnesses")
def ask_witnesses() -> None:
    """Have the newest checkpoint cosigned."""
    witnessing.ask_witnesses()


@shared_task(name="ledger.anchor_checkpoints")
def anchor_checkpoints() -> None:
    """Bring the chain one step nearer to the log."""
    before = anchoring.anchored_size()
    if anchoring.anchor_pass().anchored_size > before:
        schedule.wake(settings.WAKE_WHEN_ANCHORED)


@shared_task(name="ledger.send_chain_records")
def send_chain_records() -> None:
    """Carry grants, revocations and usage totals to the chain."""
    chain_records.send_chain_records()


@shared_task(name="ledger.send_revocations")
def send_revocations() -> None:
    """Carry revocations and voids to the chain, on a queue of their own."""
    chain_records.send_revocations()


@shared_task(name="ledger.read_chain_events")
def read_chain_events() -> None:
    """Write confirmed events of the contract into the log."""
    chain_events.read_chain_events()
