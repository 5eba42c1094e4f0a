"""What the contract reports, written into the log: one entry and one row for each event, once.

A revocation that its owner sent straight to the chain, past us, shows in the log and takes effect here
like any other. Events count when they are `confirmations` blocks deep. Blocks below the last one read are
looked at again, so that what a deeper reorganisation moved or brought is found, too.

Anchors are left out: each would be a new leaf, each leaf a new checkpoint, and each checkpoint a new anchor.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db import transaction

from exchange.kernel.errors import DomainError
from ledger.actions import deployments
from ledger.actions.entries import record
from ledger.actions.passes import single_worker
from ledger.backends.base import ContractEvent, LedgerBackend
from ledger.kinds import EntryKind
from ledger.models import ChainDeployment, ChainEvent, Entry
from ledger.signals import chain_events_recorded

logger = logging.getLogger(__name__)

STEP_BLOCKS = 2_000  # what one question covers
LOOK_BACK_BLOCKS = 64  # read again each time: deeper reorganisations are an alarm's business, not a pass's
BUDGET_SECONDS = 5.0
_LOCK = 0x68656E6704
_LEFT_OUT = frozenset({"Anchored"})


def read_chain_events(*, backend: LedgerBackend | None = None, confirmations: int | None = None) -> int:
    """Write the confirmed events that are not in the log yet; returns how many were new.

    Idempotent: an event is written once, whoever runs the pass and wherever it was cut off. Never raises for
    the chain's sake.
    """
    chain = backend or deployments.configured_backend()
    if chain is None:
        return 0
    with single_worker(_LOCK) as alone:
        if not alone:
            return 0
        try:
            depth = settings.CHAIN_CONFIRMATIONS if confirmations is None else confirmations
            return _read(chain, confirmations=depth)
        except DomainError as error:
            logger.warning("chain events: %s", error.code)
            return 0


def _read(chain: LedgerBackend, *, confirmations: int) -> int:
    deployment = deployments.check_deployment(chain)
    newest = chain.block_number() - confirmations
    until = time.monotonic() + BUDGET_SECONDS
    # After a reorganisation the chain may be shorter than what was read.
    start = max(0, min(deployment.events_through, newest) - LOOK_BACK_BLOCKS)
    written = 0
    while start <= newest and time.monotonic() < until:
        end = min(newest, start + STEP_BLOCKS - 1)
        found = chain.events(deployment.contract_address, from_block=start, to_block=end)
        written += _write(deployment, found)
        # Moved only now: a crash in the middle reads the same blocks again and finds what it wrote.
        ChainDeployment.objects.filter(pk=deployment.pk, events_through__lt=end).update(events_through=end)
        start = end + 1
    if written:
        chain_events_recorded.send_robust(sender=ChainEvent, deployment=deployment, count=written)
    return written


def _write(deployment: ChainDeployment, events: Iterable[ContractEvent]) -> int:
    keyed = [(_key(deployment, event, place), event) for event, place in _placed(events) if event.name not in _LEFT_OUT]
    known = set(Entry.objects.filter(key__in=[key for key, _ in keyed]).values_list("key", flat=True))
    fresh = [(key, event) for key, event in keyed if key not in known]
    return sum(_write_one(deployment, event, key=key) for key, event in fresh)


@transaction.atomic
def _write_one(deployment: ChainDeployment, event: ContractEvent, *, key: str) -> bool:
    """The entry and its row, both or neither; False when somebody else wrote them."""
    entry = record(
        kind=EntryKind.CHAIN_EVENT,
        subject=deployment.urn,
        issuer=deployment.urn,
        payload=_payload(deployment, event),
        key=key,
    )
    _, created = ChainEvent.objects.get_or_create(
        entry=entry,
        defaults={
            "deployment": deployment,
            "name": event.name,
            "arguments": event.arguments,
            "block_number": event.block_number,
            "block_hash": event.block_hash,
            "transaction_hash": event.transaction_hash,
            "log_index": event.log_index,
        },
    )
    return created


def _placed(events: Iterable[ContractEvent]) -> Iterator[tuple[ContractEvent, int]]:
    """Each event with its place among the contract's events of its transaction.

    A log index counts the events of a block, and another block may give the same transaction another one.
    """
    seen: Counter[str] = Counter()
    for event in events:
        yield event, seen[event.transaction_hash]
        seen[event.transaction_hash] += 1


def _key(deployment: ChainDeployment, event: ContractEvent, place: int) -> str:
    """The epoch stands for chain, genesis and contract: a reset chain repeats its transactions' hashes."""
    return f"chain.event:{deployment.epoch}:{event.transaction_hash}:{place}"


def _payload(deployment: ChainDeployment, event: ContractEvent) -> dict[str, Any]:
    return {
        "chain_id": deployment.chain_id,
        "contract_address": deployment.contract_address,
        "epoch": deployment.epoch,
        "event": event.name,
        "arguments": dict(event.arguments),
        "block_number": event.block_number,
        "block_hash": event.block_hash,
        "transaction": event.transaction_hash,
        "log_index": event.log_index,
    }
