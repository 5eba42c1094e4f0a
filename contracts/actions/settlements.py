"""Statements: what a contract cost in a period, worked out from counted runs, issued once and signed."""

import re
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from compute.protocol import shapes
from contracts import pricing
from contracts.actions import moves
from contracts.errors import PeriodInvalid
from contracts.models import Contract, Settlement, UsageRecord
from contracts.pricing import WHOLE_TERM, Record, Statement
from exchange.members.exchange_keys import exchange_keys
from ledger.kinds import EntryKind
from ledger.proofs import statements

_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])", re.ASCII)


def statement(*, contract: Contract, period: str = WHOLE_TERM) -> Statement:
    """The statement of a period as things stand: unsigned, and recomputable with `contracts.pricing` alone.

    Args:
        period: `2026-11` (the exchange's time zone), or `all`.
    """
    check_period(period)
    usage = UsageRecord.objects.filter(contract=contract)
    if period != WHOLE_TERM:
        usage = usage.filter(period=period)
    records = [
        Record(row.subject, row.units, tuple(row.report_digests), shapes.write_time(row.counted_at)) for row in usage
    ]
    return pricing.statement(contract.terms, period=period, records=records)


@transaction.atomic
def issue(*, contract: Contract, period: str, now: datetime) -> Settlement:
    """Sign and keep the statement of a period that is over.

    Idempotent: one settlement per contract and period; asking again returns it.
    """
    found = Settlement.objects.filter(contract=contract, period=period).first()
    if found is not None:
        return found
    document = statement(contract=contract, period=period)
    signed = statements.sign(document, key=exchange_keys().document, created=shapes.write_time(now))
    settlement = Settlement.objects.create(
        contract=contract, period=period, document=signed, digest=statements.digest(signed), issued_at=now
    )
    moves.note(
        contract,
        EntryKind.SETTLEMENT_ISSUED,
        payload={"period": period, "statement_digest": settlement.digest, **document["totals"]},
        key=f"settlement.issued:{contract.ref}:{period}",
    )
    return settlement


def issue_due(*, contract: Contract, now: datetime, closing: bool = False) -> list[Settlement]:
    """Issue the statements of every month that is over (all of them when the contract closes)."""
    current = timezone.localdate(now).strftime("%Y-%m")
    periods = UsageRecord.objects.filter(contract=contract).values_list("period", flat=True).distinct()
    issued = set(Settlement.objects.filter(contract=contract).values_list("period", flat=True))
    due = sorted(period for period in set(periods) - issued if closing or period < current)
    return [issue(contract=contract, period=period, now=now) for period in due]


def check_period(period: str) -> None:
    """Raise PeriodInvalid for anything but a month or `all`."""
    if period != WHOLE_TERM and not _MONTH.fullmatch(period):
        raise PeriodInvalid("A period is a month such as 2026-11, or all.")
