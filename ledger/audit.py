"""What the ledger's own tables owe the log: witnesses, chain events; and the kinds that no table stands behind."""

from collections.abc import Iterator
from enum import StrEnum

from django.db.models import F

from exchange.kernel.states import Owner, Transitions
from ledger.audits.counterparts import REF, Counterpart, Owed, Standing, Stands, Untabled, in_order, table_of, urn
from ledger.kinds import EntryKind
from ledger.models import ChainEvent, Witness


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


def _chain_events() -> Iterator[Owed]:
    rows = ChainEvent.objects.select_related("deployment", "entry")
    for row in in_order(rows, F("entry__ref")):
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


COUNTERPARTS = (
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
    Counterpart(table=table_of(ChainEvent), kinds=(EntryKind.CHAIN_EVENT,), rows=_chain_events, by=REF),
    Untabled(
        kinds=(EntryKind.POLICY_PUBLISHED, EntryKind.STAFF_VIEWED),
        reason="the entry is the record: what was published or looked at has no row",
    ),
)
