"""Leases: units that the chain counts before they are used.

A lease belongs to a reservation. Its total is what the meter has reserved and committed at that moment:
absolute, so sending it twice does no harm, and never above the quota, because the meter is not. A run that
fails gives its unit back to the meter but not to the chain, whose totals only rise; the next run then fits
under a total that stands already, and the chain is asked no more than whether the grant is still open.

So at any time: units in use <= reserved + committed at the newest lease <= the chain's total <= the cap.

A costly run has a lease of one unit. Quick calls share one of METER_LEASE_UNITS: `take` counts each in the
database before it is served, and nothing is taken back by a crash.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute.protocol import operations
from contracts import schedule
from contracts.actions import meters
from contracts.errors import ContractRevoked, LeasePending, LeaseRefused, MeterExhausted
from contracts.models import Contract, Grant, Lease, Meter, MeterDay, Reservation, UsageRecord
from contracts.policies import check_effective
from contracts.states import GrantState, ReservationState
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from ledger import actions as ledger
from ledger.models import ChainRecordState
from ledger.proofs import canonical

logger = logging.getLogger(__name__)

LIFE = timedelta(hours=1)  # then what was served is charged and the rest returns to the quota
_BATCH = 100
_REVOKED = frozenset({"GRANT_REVOKED", "TERMS_VOIDED"})
_SPENT = frozenset({"CAP_EXCEEDED"})


def is_needed(contract: Contract, *, operation: str) -> bool:
    """Whether a run of this operation waits for the chain's total: costly, and its contract stands on the chain."""
    return operation in settings.METER_ON_CHAIN_BEFORE and operations.get(operation).is_costly and _on_chain(contract)


@transaction.atomic
def ask(*, reservation: Reservation, now: datetime | None = None, serves_calls: bool = False) -> Lease:
    """Ask for the total that includes this reservation, under every grant of its contract.

    Idempotent: one lease per reservation; asking again returns it.
    """
    now = now or timezone.now()
    # The meter's row first: a total is worked out and written down by one caller at a time.
    meter = (
        Meter.objects.select_for_update(no_key=True, of=("self",))
        .select_related("contract")
        .get(pk=reservation.meter_id)
    )
    found = Lease.objects.filter(reservation=reservation).first()
    if found is not None:
        return found
    lease = Lease.objects.create(
        reservation=reservation,
        total=meter.reserved + meter.committed,
        units=reservation.units,
        serves_calls=serves_calls,
        asked=now,
    )
    for grant_id in _grant_ids(meter.contract):
        # `open`: the chain must hold the grant open even where its total is high enough already.
        payload = {"grant_id": grant_id, "used": lease.total, "open": True}
        ledger.submit_chain_record(kind="meter", key=_record_key(lease, grant_id), payload=payload)
        schedule.send_chain_records_later()
    return lease


def look(lease: Lease, *, now: datetime | None = None) -> bool:
    """Whether the chain has confirmed the lease's total under every grant.

    Raises:
        ContractRevoked: a grant was revoked, or its terms voided, on the chain or here.
        MeterExhausted: the grant's cap is below the total.
        LeaseRefused: the contract on the chain does not take the total for another reason.
    """
    if lease.confirmed_at is not None:
        return True
    contract = lease.reservation.meter.contract
    if contract.state == "revoked":
        raise ContractRevoked("A provider has revoked this contract; propose a new one.")
    for grant_id in _grant_ids(contract):
        record = ledger.chain_record(_record_key(lease, grant_id))
        if record is None or record.state != ChainRecordState.CONFIRMED:
            if record is not None and record.state == ChainRecordState.FAILED:
                _refuse(record.error_code)
            return False
    moment = now or timezone.now()
    Lease.objects.filter(pk=lease.pk, confirmed_at=None).update(confirmed_at=moment)
    lease.confirmed_at = moment
    return True


def take(contract: Contract, units: int = 1, *, now: datetime | None = None) -> Lease:
    """Count `units` calls of this contract as used; serve them only after this returns.

    Call it outside a transaction: what is counted must be durable before it is served.

    Raises:
        LeasePending: a lease is on its way to the chain; ask again in a second.
        ContractNotEffective, ContractRevoked, MeterExhausted, DailyQuotaExhausted, EscrowTooLow, LeaseRefused.
    """
    now = now or timezone.now()
    check_effective(Contract.objects.get(pk=contract.pk), now=now)
    for lease in Lease.objects.open_for_calls(contract, now).select_related("reservation__meter__contract"):
        if _looked(lease, now=now) and Lease.objects.filter(pk=lease.pk).serve(units):
            return lease
    fresh = _next(contract, units, now=now)
    if _looked(fresh, now=now) and Lease.objects.filter(pk=fresh.pk).serve(units):
        return fresh
    raise LeasePending("The next lease is on its way to the chain; ask again in a second.")


@transaction.atomic
def close(lease: Lease, *, report_digests: Sequence[str] = (), now: datetime | None = None) -> UsageRecord | None:
    """Charge what a lease for calls has served and give the rest back; None when it served nothing.

    Args:
        report_digests: digests of signed reports of the calls; without any, the lease's own count stands for them.
    Idempotent: a closed lease is resolved once.
    """
    now = now or timezone.now()
    locked = Lease.objects.locked().select_related("reservation").get(pk=lease.pk)
    if locked.closed_at is None:
        locked.closed_at = now
        locked.save(update_fields=["closed_at"])
    subject = locked.reservation.subject
    if not locked.served:
        meters.release(subject=subject, reason="LEASE_UNUSED", now=now)
        return None
    digests = list(report_digests) or [_digest(locked)]
    return meters.commit(subject=subject, units=locked.served, report_digests=digests, now=now)


def close_overdue(*, now: datetime | None = None) -> int:
    """Close the leases for calls whose time is over; returns how many.

    Idempotent: each in a transaction of its own.
    """
    now = now or timezone.now()
    overdue = Lease.objects.filter(
        serves_calls=True,
        reservation__state=ReservationState.PENDING.value,
        reservation__expires_at__lte=now,
    )
    closed = 0
    for lease in overdue.select_related("reservation")[:_BATCH]:
        try:
            close(lease, now=now)
        except DomainError as error:  # the next ones must not wait for it
            logger.warning("lease %d did not close: %s", lease.pk, error.code)
        else:
            closed += 1
    return closed


def _next(contract: Contract, units: int, *, now: datetime) -> Lease:
    """The lease that is on its way, or a new one; one at a time for each contract."""
    with transaction.atomic():
        meter = Meter.objects.select_for_update(no_key=True).get(contract=contract)
        for lease in Lease.objects.open_for_calls(contract, now).select_related("reservation__meter__contract"):
            if lease.units - lease.served >= units:
                return lease
        day = MeterDay.objects.filter(meter=meter, day=timezone.localdate(now)).first()
        left = min(meter.left, meter.per_day if day is None else day.limit - day.used)
        wanted = max(units, min(settings.METER_LEASE_UNITS, left))
        reservation = meters.reserve(
            contract=contract,
            subject=identifiers.make_urn("lease", identifiers.new_ulid()),
            units=wanted,
            expires_at=now + LIFE,
            now=now,
        )
        return ask(reservation=reservation, now=now, serves_calls=True)


def _looked(lease: Lease, *, now: datetime) -> bool:
    """Like `look`; a lease that the chain refused is given back, so that it does not bar the next."""
    try:
        return look(lease, now=now)
    except (ContractRevoked, MeterExhausted, LeaseRefused):
        close(lease, now=now)
        raise


def _refuse(word: str) -> None:
    if word in _REVOKED:
        raise ContractRevoked("A provider has revoked its grant on the chain; propose a new contract.")
    if word in _SPENT:
        raise MeterExhausted("The grant on the chain is used up; agree on a new contract.")
    raise LeaseRefused(f"The chain does not count this use ({word}); tell the exchange.")


def _on_chain(contract: Contract) -> bool:
    return bool(settings.CHAIN_RPC_URL) and contract.terms["evidence"]["chain"] == "required"


def _grant_ids(contract: Contract) -> list[str]:
    """The grants whose totals the lease raises; none where no chain is configured, and then nothing is waited for."""
    if not _on_chain(contract):
        return []
    standing = Grant.objects.filter(contract=contract).exclude(state=GrantState.REVOKED.value)
    return list(standing.order_by("pk").values_list("grant_id", flat=True))


def _record_key(lease: Lease, grant_id: str) -> str:
    return f"meter:{grant_id}:{lease.total}:{lease.reservation.subject.rpartition(':')[2]}"


def _digest(lease: Lease) -> str:
    counted = {"lease": lease.reservation.subject, "served": lease.served, "total": lease.total}
    return hashlib.sha256(canonical.encode(counted)).hexdigest()
