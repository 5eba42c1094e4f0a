"""What the ledger's own tables owe the log: witnesses, chain events; and the kinds that no table stands behind."""

from collections.abc import Iterator
from enum import StrEnum

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from exchange.kernel import identifiers
from exchange.kernel.states import Owner, Transitions
from ledger.audits.counterparts import (
    REF,
    Counterpart,
    Owed,
    Standing,
    Stands,
    Untabled,
    entry_ref,
    in_order,
    table_of,
    text,
    urn,
)
from ledger.kinds import EntryKind
from ledger.models import ChainEvent, Log, Witness


class WitnessState(StrEnum):
    """Whether a witness is asked."""

    ADMITTED = "admitted"
    WITHDRAWN = "withdrawn"


WITNESS = Transitions(
    {
        WitnessState.ADMITTED: frozenset({WitnessState.WITHDRAWN}),
        WitnessState.WITHDRAWN: frozenset({WitnessState.ADMITTED}),
    },
    owners={WitnessState.ADMITTED: Owner.STAFF, WitnessState.WITHDRAWN: Owner.STAFF},
)


def _witnesses() -> Iterator[Stands]:
    for row in in_order(Witness.objects.all(), urn("witness", "ref")):
        state = WitnessState.ADMITTED if row.withdrawn_at is None else WitnessState.WITHDRAWN
        yield Stands(row.token, state, row.ref, {"name": row.name, "vkey": row.vkey, "url": row.url})


def _chain_event_entries() -> Iterator[Owed]:
    """The entry that each event's row names is its own."""
    for row in in_order(ChainEvent.objects.select_related("deployment"), entry_ref("entry_id")):
        yield Owed(row.token, row.deployment.urn, str(row.pk), {"transaction": row.transaction_hash})


def _chain_events() -> Iterator[Owed]:
    place = Window(
        RowNumber(), partition_by=[F("deployment"), F("transaction_hash")], order_by=[F("block_number"), F("log_index")]
    )
    rows = ChainEvent.objects.select_related("deployment").annotate(place=place - 1)
    key = text("chain.event:", F("deployment__epoch"), ":", F("transaction_hash"), ":", F("place"))
    for row in in_order(rows, key):
        place = row.deployment
        yield Owed(
            token=row.token,
            subject=place.urn,
            ref=str(row.pk),
            facts={
                "chain_id": place.chain_id,
                "contract_address": place.contract_address,
                "epoch": place.epoch,
                "event": row.name,
                "arguments": row.arguments,
                "block_number": row.block_number,
                "block_hash": row.block_hash,
                "transaction": row.transaction_hash,
                "log_index": row.log_index,
            },
        )


def _frozen() -> Iterator[Owed]:
    for row in in_order(Log.objects.filter(frozen_at__isnull=False), text("log-frozen:", F("number"))):
        yield Owed(row.token, _log_urn(row), str(row.number), {"origin": row.origin})


def _opened() -> Iterator[Owed]:
    for row in in_order(Log.objects.filter(number__gt=1), text("log-opened:", F("number"))):
        yield Owed(row.token, _log_urn(row), str(row.number), {"origin": row.origin})


def _log_urn(row: Log) -> str:
    return identifiers.make_urn("log", identifiers.ulid_of(row.origin))


COUNTERPARTS = (
    Counterpart(table=table_of(Log), kinds=(EntryKind.LOG_FROZEN,), rows=_frozen),
    Counterpart(table=table_of(Log), kinds=(EntryKind.LOG_OPENED,), rows=_opened),
    Standing(
        table=table_of(Witness),
        states={
            EntryKind.WITNESS_ADMITTED: WitnessState.ADMITTED,
            EntryKind.WITNESS_WITHDRAWN: WitnessState.WITHDRAWN,
        },
        rows=_witnesses,
        transitions=WITNESS,
        start=frozenset({WitnessState.ADMITTED}),
        repeats=frozenset({EntryKind.WITNESS_ADMITTED}),  # a new name or address
    ),
    Counterpart(table=table_of(ChainEvent), kinds=(EntryKind.CHAIN_EVENT,), rows=_chain_events),
    Counterpart(table=table_of(ChainEvent), kinds=(EntryKind.CHAIN_EVENT,), rows=_chain_event_entries, by=REF),
    Untabled(
        kinds=(EntryKind.LOG_KEY_ROTATED, EntryKind.LOG_KEY_REVOKED),
        reason="a log's keys are read from these entries; its row shows the newest, and its checkpoints need it",
    ),
    Untabled(
        kinds=(EntryKind.POLICY_PUBLISHED, EntryKind.STAFF_VIEWED),
        reason="the entry is the record: what was published or looked at has no row",
    ),
)
