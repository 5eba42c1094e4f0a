"""The meter: quota and money set aside before a run, counted and charged once after it, or given back.

Two-phase and idempotent by subject. The order is always the same: the reservation's row first, then the
meter's, then the accounts, so that callers wait for each other and never in a circle.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from contracts import postings, pricing, schedule
from contracts.actions import transfers
from contracts.errors import (
    AccountWouldGoNegative,
    DailyQuotaExhausted,
    EscrowTooLow,
    MeterExhausted,
    RateExceeded,
    ReportsMissing,
    ReservationResolved,
    ReservationUnknown,
    SubjectReused,
)
from contracts.models import Contract, Grant, Meter, MeterDay, Reservation, UsageRecord
from contracts.policies import check_effective
from contracts.postings import TransferKind
from contracts.states import RESERVATION, GrantState, ReservationState
from contracts.usage import Unit, Usage
from exchange.members.exchange_keys import exchange_organization
from ledger import actions as ledger
from ledger.kinds import EntryKind
from ledger.models import Entry

logger = logging.getLogger(__name__)

EXPIRED = "RESERVATION_EXPIRED"
_BATCH = 200


@transaction.atomic
def reserve(
    *, contract: Contract, subject: str, expires_at: datetime, units: int = 1, now: datetime | None = None
) -> Reservation:
    """Set quota and its price aside for a run that is about to start.

    Args:
        subject: URN of the run; it is the key.
        units: whole units of the meter, at least 1.
    Raises:
        ContractNotEffective, ContractRevoked: the contract is not in force.
        MeterExhausted, DailyQuotaExhausted, RateExceeded: less is left than asked for.
        EscrowTooLow: the escrow does not cover the price.
        SubjectReused: the subject names a reservation of another contract or quantity.
    Idempotent: one reservation per subject; asking again returns it, in whatever state it is.
    """
    usage = Usage(units, Unit(contract.terms["metering"]["unit"]))
    now = now or timezone.now()
    meter = Meter.objects.get(contract=contract)
    held_fen = pricing.price_of(contract.terms, usage.quantity)
    # The unique subject comes first: a twin of this call waits here until we have committed.
    reservation, created = Reservation.objects.get_or_create(
        subject=subject,
        defaults={
            "meter": meter,
            "units": usage.quantity,
            "held_fen": held_fen,
            "day": timezone.localdate(now),
            "created": now,
            "expires_at": expires_at,
        },
    )
    if not created:
        if reservation.meter_id != meter.pk or reservation.units != usage.quantity:
            raise SubjectReused("This reference already reserves something else; give each run its own.")
        return reservation
    check_effective(Contract.objects.get(pk=contract.pk), now=now)
    _take(meter, reservation, now=now)
    if held_fen:
        _hold(contract, reservation)
    ledger.record(
        kind=EntryKind.QUOTA_RESERVED,
        subject=subject,
        issuer=contract.buyer.urn,
        payload={"contract": contract.urn, "computation": subject, "units": usage.quantity, "held_fen": held_fen},
        key=f"quota.reserved:{subject}",
    )
    return reservation


@transaction.atomic
def commit(*, subject: str, units: int, report_digests: Sequence[str], now: datetime | None = None) -> UsageRecord:
    """Count a finished run and charge it: held money goes to the split's accounts, the rest back.

    Args:
        units: at most what was reserved; what was reserved beyond them returns to the quota.
        report_digests: digests of the parties' signed reports; they alone justify the charge.
    Raises:
        ReservationUnknown: nothing was reserved under this subject.
        ReservationResolved: it was released or expired, or was charged on other reports.
        ReportsMissing: no report, no charge.
    Idempotent: one usage record, one transfer, one entry of each kind per subject.
    """
    digests = sorted(set(report_digests))
    if not digests:
        raise ReportsMissing("A charge needs the digests of the nodes' signed reports.")
    usage = Usage(units)
    now = now or timezone.now()
    reservation = _locked(subject)
    if reservation.state == ReservationState.COMMITTED:
        record = reservation.usage
        if record.report_digests != digests or record.units != usage.quantity:
            raise ReservationResolved("This run was charged on other reports; open a dispute if that is wrong.")
        return record
    if usage.quantity > reservation.units:
        raise MeterExhausted(f"{reservation.units} units were reserved; a run cannot use more.")
    _resolve(reservation, ReservationState.COMMITTED, now=now)
    meter = reservation.meter
    contract = Contract.objects.select_related("buyer").get(pk=meter.contract_id)
    _count(reservation, usage.quantity)
    charge = pricing.charge(contract.terms, usage.quantity)
    record = UsageRecord.objects.create(
        reservation=reservation,
        contract=contract,
        subject=subject,
        units=usage.quantity,
        unit_price_fen=charge.unit_price_fen,
        amount_fen=charge.amount_fen,
        report_digests=digests,
        counted_at=now.replace(microsecond=0),
        period=timezone.localdate(now).strftime("%Y-%m"),
    )
    if reservation.held_fen:
        transfers.post(
            key=f"charge:{subject}",
            kind=TransferKind.CHARGE,
            contract=contract,
            subject=subject,
            legs=postings.charge(reservation.held_fen, charge.shares),
        )
    _record_charge(contract, record)
    _report_totals(contract, meter)
    return record


@transaction.atomic
def release(*, subject: str, reason: str, now: datetime | None = None) -> Reservation | None:
    """Give quota and money of a run that came to nothing back; nothing is charged.

    Args:
        reason: a stable code of at most 64 characters.
    Returns:
        The reservation, or None where nothing was reserved under this subject.
    Raises:
        ReservationResolved: the run was charged; a charge is corrected by a refund, never by a release.
    Idempotent: a released or expired reservation stays as it is.
    """
    reservation = Reservation.objects.locked().select_related("meter").filter(subject=subject).first()
    if reservation is None or reservation.state in (ReservationState.RELEASED, ReservationState.EXPIRED):
        return reservation
    _give_back(reservation, ReservationState.RELEASED, reason=reason, now=now or timezone.now())
    return reservation


def expire(*, now: datetime | None = None) -> int:
    """Release reservations whose time is over, each in a transaction of its own; returns how many.

    Idempotent: a pass over rows; those another worker holds are left to it.
    """
    now = now or timezone.now()
    expired = 0
    # Leases for calls are closed by `leases.close_overdue`: what they served is charged.
    overdue = Reservation.objects.overdue(now).exclude(lease__serves_calls=True)
    for pk in overdue.order_by("pk").values_list("pk", flat=True)[:_BATCH]:
        with transaction.atomic():
            reservation = (
                Reservation.objects.overdue(now)
                .select_for_update(no_key=True, skip_locked=True, of=("self",))
                .select_related("meter")
                .filter(pk=pk)
                .first()
            )
            if reservation is not None:
                _give_back(reservation, ReservationState.EXPIRED, reason=EXPIRED, now=now)
                expired += 1
    return expired


def charge_entry(*, subject: str) -> Entry:
    """The ledger entry of a run's charge; its payload holds units, price, amount and report digests.

    Raises:
        ReservationUnknown: the run has not been charged.
    """
    entry = Entry.objects.filter(key=f"settlement.charged:{subject}").first()
    if entry is None:
        raise ReservationUnknown("This run has not been charged.")
    return entry


def _take(meter: Meter, reservation: Reservation, *, now: datetime) -> None:
    """Take the units where they are left; from the first update on, the meter's row is ours until commit."""
    units = reservation.units
    if not Meter.objects.filter(pk=meter.pk).take(units):
        raise MeterExhausted(f"Fewer than {units} units are left of the quota; agree on a new contract.")
    day, _ = MeterDay.objects.get_or_create(meter=meter, day=reservation.day, defaults={"limit": meter.per_day})
    if not MeterDay.objects.filter(pk=day.pk).take(units):
        raise DailyQuotaExhausted(f"Fewer than {units} units are left of today's quota; ask again tomorrow.")
    lately = Reservation.objects.filter(meter=meter, created__gt=now - timedelta(minutes=1)).count()
    if lately > meter.rate_per_minute:
        raise RateExceeded(f"More than {meter.rate_per_minute} runs within a minute; wait a moment.")


def _hold(contract: Contract, reservation: Reservation) -> None:
    try:
        transfers.post(
            key=f"hold:{reservation.subject}",
            kind=TransferKind.HOLD,
            contract=contract,
            subject=reservation.subject,
            legs=postings.hold(reservation.held_fen),
        )
    except AccountWouldGoNegative:
        raise EscrowTooLow(f"A run costs {reservation.held_fen} fen and the escrow holds less; deposit more.") from None


def _locked(subject: str) -> Reservation:
    found = Reservation.objects.locked().select_related("meter").filter(subject=subject).first()
    if found is None:
        raise ReservationUnknown("Nothing is reserved under this reference; reserve before the run.")
    return found


def _resolve(reservation: Reservation, to: ReservationState, *, now: datetime, reason: str = "") -> None:
    current = ReservationState(reservation.state)
    if not RESERVATION.can(current, to):
        raise ReservationResolved(f"The reservation is {current} and stays so; a run is resolved once.")
    reservation.state, reservation.resolved_at, reservation.reason = to.value, now, reason
    reservation.save(update_fields=["state", "resolved_at", "reason"])


def _count(reservation: Reservation, used: int) -> None:
    if not Meter.objects.filter(pk=reservation.meter_id).commit(reservation.units, used):
        raise ReservationResolved("The meter does not hold this reservation; run: manage.py verify_money")
    if used < reservation.units:
        MeterDay.objects.filter(meter_id=reservation.meter_id, day=reservation.day).give_back(reservation.units - used)


def _give_back(reservation: Reservation, to: ReservationState, *, reason: str, now: datetime) -> None:
    _resolve(reservation, to, now=now, reason=reason)
    Meter.objects.filter(pk=reservation.meter_id).give_back(reservation.units)
    MeterDay.objects.filter(meter_id=reservation.meter_id, day=reservation.day).give_back(reservation.units)
    contract = Contract.objects.get(pk=reservation.meter.contract_id)
    if reservation.held_fen:
        transfers.post(
            key=f"release:{reservation.subject}",
            kind=TransferKind.RELEASE,
            contract=contract,
            subject=reservation.subject,
            legs=postings.release(reservation.held_fen),
        )
    ledger.record(
        kind=EntryKind.QUOTA_RELEASED,
        subject=reservation.subject,
        issuer=exchange_organization().urn,
        payload={
            "contract": contract.urn,
            "computation": reservation.subject,
            "units": reservation.units,
            "reason": reason,
        },
        key=f"quota.released:{reservation.subject}",
    )


def _record_charge(contract: Contract, record: UsageRecord) -> None:
    issuer = exchange_organization().urn
    about = {"contract": contract.urn, "computation": record.subject, "terms_digest": contract.terms_digest}
    ledger.record(
        kind=EntryKind.QUOTA_COMMITTED,
        subject=record.subject,
        issuer=issuer,
        payload={**about, "units": record.units, "reports": record.report_digests},
        key=f"quota.committed:{record.subject}",
    )
    ledger.record(
        kind=EntryKind.SETTLEMENT_CHARGED,
        subject=record.subject,
        issuer=issuer,
        payload={
            **about,
            "units": record.units,
            "unit_price_fen": record.unit_price_fen,
            "amount_fen": record.amount_fen,
            "currency": contract.terms["price"]["currency"],
            "reports": record.report_digests,
        },
        key=f"settlement.charged:{record.subject}",
    )


def _report_totals(contract: Contract, meter: Meter) -> None:
    """Ask for the new absolute total on the chain, under every grant that stands there."""
    used = Meter.objects.values_list("committed", flat=True).get(pk=meter.pk)
    standing = Grant.objects.filter(contract=contract).exclude(state=GrantState.REVOKED.value)
    for grant_id in standing.order_by(F("pk")).values_list("grant_id", flat=True):
        ledger.submit_chain_record(
            kind="meter", key=f"meter:{grant_id}:{used}", payload={"grant_id": grant_id, "used": used}
        )
        schedule.send_chain_records_later()
