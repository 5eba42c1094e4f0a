"""From parts to a result: accepted once, charged once, released when its evidence stands, receipted once."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from compute import agreements, schedule
from compute.actions import moves, notices
from compute.errors import NotReleased
from compute.models import Computation, ReceiptSerial, Result, SealedPart
from compute.protocol import documents, shapes
from compute.states import ComputationState, TaskState
from contracts.actions import meters
from contracts.models import Grant, UsageRecord
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError, PermissionRefused
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission, has_permission
from ledger import actions as ledger
from ledger.errors import NotYetSealed
from ledger.kinds import EntryKind
from ledger.models import Entry
from ledger.proofs import canonical, statements

RELEASE_WITHIN = timedelta(hours=1)  # a checkpoint takes seconds, an anchor a minute; a chain may be away for hours


@transaction.atomic
def accept(*, computation: Computation, now: datetime) -> Result | None:
    """Accept a result when every party's part is in: one charge, one entry, state SEALED, in one transaction.

    Where the quota can no longer be committed (its reservation is gone), the computation fails and
    nothing is charged.

    Idempotent: a computation has one result, and its reservation is committed once.
    """
    locked = moves.lock(computation.pk)
    if locked.state != ComputationState.EXECUTING:
        return Result.objects.filter(computation=locked).first()
    tasks = list(locked.tasks.select_related("part").order_by("rank"))
    if not tasks or any(task.state != TaskState.SUBMITTED for task in tasks):
        return None
    digests = [task.report_digest for task in tasks]
    try:
        with transaction.atomic():
            meters.commit(subject=locked.urn, units=locked.units, report_digests=digests, now=now)
    except DomainError as error:
        moves.end(locked, ComputationState.FAILED, code=error.code, stage="acceptance", now=now)
        return None
    entry = ledger.record(
        kind=EntryKind.RESULT_ACCEPTED,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={
            "computation": locked.urn,
            "contract": locked.contract.urn,
            "job_digest": locked.authorization.job_digest,
            "reports": digests,
            "parts": [{"rank": task.rank, "digest": task.part.digest, "suite": task.part.suite} for task in tasks],
        },
        key=f"result-accepted:{locked.ref}",
    )
    notices.publish(locked, now=now)
    # Charged, so it never ends but in a release: past this moment staff are told, again every hour.
    moves.move(locked, ComputationState.SEALED, now=now, deadline=now + RELEASE_WITHIN)
    schedule.advance_later()
    return Result.objects.create(computation=locked, accepted_entry=entry, accepted_at=now)


@transaction.atomic
def release(*, computation: Computation, now: datetime) -> Result | None:
    """Let the buyer have the parts once `result.accepted` stands as the contract demands; None until then.

    Idempotent: a result is released once.
    """
    locked = moves.lock(computation.pk)
    result = Result.objects.filter(computation=locked).select_related("accepted_entry").first()
    if result is None or locked.state != ComputationState.SEALED:
        return result
    if not _stands(result.accepted_entry, computation=locked):
        return None
    result.released_entry = ledger.record(
        kind=EntryKind.RESULT_RELEASED,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={
            "computation": locked.urn,
            "contract": locked.contract.urn,
            "job_digest": locked.authorization.job_digest,
            "receiver": locked.buyer.urn,
        },
        key=f"result-released:{locked.ref}",
    )
    result.released_at = now
    result.save(update_fields=["released_entry", "released_at"])
    moves.move(locked, ComputationState.RELEASED, now=now, deadline=None)
    schedule.advance_later()
    return result


@transaction.atomic
def write_receipt(*, computation: Computation, now: datetime) -> bytes | None:
    """Build the receipt bundle once all its entries stand; its bytes are kept and never made again.

    Returns: the bytes, or None while an entry waits for its checkpoint or anchor.
    Idempotent: a repeat returns the stored bytes.
    """
    locked = moves.lock(computation.pk)
    result = Result.objects.filter(computation=locked).first()
    if result is None or result.released_entry is None:
        return None
    if result.receipt is not None:
        return bytes(result.receipt)
    entries = _entries(locked)
    try:
        evidence = ledger.evidence(entries, grants=_grants(locked))
    except NotYetSealed:
        return None
    if evidence["anchor"] is None and needs_chain(locked):
        return None
    result.number = _next_number(now)
    bundle = documents.receipt_bundle(
        number=result.number,
        computation=locked.urn,
        contract=agreements.signed_terms(locked.contract),
        request=locked.request,
        job=locked.authorization.job,
        consents=[consent.document for consent in locked.consents.order_by("pk") if consent.document],
        reports=[task.report for task in locked.tasks.order_by("rank") if task.report],
        entries=evidence["entries"],
        checkpoint=evidence["checkpoint"],
        anchor=evidence["anchor"],
        charge=_charge(locked),
    )
    signed = statements.sign(bundle, key=exchange_keys().document, created=shapes.write_time(now))
    result.receipt = canonical.encode(signed)
    result.save(update_fields=["number", "receipt"])
    return bytes(result.receipt)


def check_may_read_receipt(computation: Computation, *, by: Membership | None) -> None:
    """Raise unless the receipt (terms, prices, reports) is the asker's business: the parties and those who audit.

    Raises:
        PermissionRefused: other staff; reviewers see the request, not what was paid.
    """
    is_party = by is not None and Computation.objects.seen_by(by.organization).filter(pk=computation.pk).exists()
    if not (is_party or has_permission(by, Permission.LEDGER_AUDIT)):
        raise PermissionRefused("The receipt is for the parties and the auditors; ask one of them for it.")


def receipt_of(computation: Computation) -> bytes:
    """The stored receipt bundle.

    Raises:
        NotReleased: there is none yet.
    """
    result = Result.objects.filter(computation=computation).first()
    if result is None or result.receipt is None:
        raise NotReleased("The receipt waits for its last entry to be sealed and anchored; ask again in some seconds.")
    return bytes(result.receipt)


def receipt_number(computation: Computation) -> str:
    """The receipt's number; empty while there is none."""
    return Result.objects.filter(computation=computation).values_list("number", flat=True).first() or ""


def has_receipt(computation: Computation) -> bool:
    """Whether the receipt bundle can be fetched."""
    return Result.objects.filter(computation=computation, receipt__isnull=False).exists()


def parts_of(computation: Computation, *, by: Membership) -> list[SealedPart]:
    """The sealed parts in rank order, for the buyer of a released result.

    Raises:
        PermissionRefused: not the buyer, or a role that receives no results.
        NotReleased: not released yet, or never.
    """
    check_permission(by, Permission.RESULT_RECEIVE)
    if computation.buyer_id != by.organization_id:
        raise PermissionRefused("Only the buyer of this computation receives its result.")
    if computation.state != ComputationState.RELEASED:
        raise NotReleased(f"The computation is {computation.state}; its result is there once it is released.")
    parts = SealedPart.objects.filter(task__computation=computation).select_related("task__organization")
    return list(parts.order_by("task__rank"))


@transaction.atomic
def deliver(computation: Computation, *, by: Membership) -> list[SealedPart]:
    """Hand the sealed parts to the buyer, and log each part's first retrieval.

    The entry is written before the bytes leave: what may have arrived is on record. What the buyer does with
    them afterwards, it does on its own machine, and the exchange does not know.

    Raises:
        PermissionRefused, NotReleased: as `parts_of`.
    Idempotent: one entry for each part and receiver.
    """
    found = parts_of(computation, by=by)
    for part in found:
        ledger.record(
            kind=EntryKind.RESULT_DELIVERED,
            subject=computation.urn,
            issuer=exchange_organization().urn,
            payload={
                "computation": computation.urn,
                "contract": computation.contract.urn,
                "task": part.task.urn,
                "part_digest": part.digest,
                "receiver": by.organization.urn,
                "role": str(by.role),
            },
            key=f"result-delivered:{part.task.ref}:{by.organization.ref}",
        )
    return found


def needs_chain(computation: Computation) -> bool:
    """Whether evidence must be on the chain: the contract says so, and this exchange has a chain."""
    return bool(settings.CHAIN_RPC_URL) and computation.contract.terms["evidence"]["chain"] == "required"


def _stands(entry: Entry, *, computation: Computation) -> bool:
    return ledger.is_anchored(entry) if needs_chain(computation) else ledger.is_sealed(entry)


def _entries(computation: Computation) -> list[Entry]:
    """What the receipt proves: the computation's own facts, and its charge."""
    wanted = [
        EntryKind.COMPUTATION_REQUESTED,
        EntryKind.COMPUTATION_AUTHORIZED,
        EntryKind.RESULT_ACCEPTED,
        EntryKind.RESULT_RELEASED,
        EntryKind.SETTLEMENT_CHARGED,
    ]
    return list(Entry.objects.about(computation.urn).filter(kind__in=wanted))


def _grants(computation: Computation) -> list[dict[str, str]]:
    """What the chain is asked to prove of the contract's grants; nothing where none are needed."""
    if not needs_chain(computation):
        return []
    found = Grant.objects.filter(contract=computation.contract)
    return [
        {
            "grant_id": grant.grant_id,
            "signer": grant.document["grantor"],
            "terms_digest": computation.contract.terms_digest,
        }
        for grant in found
    ]


def _charge(computation: Computation) -> dict[str, Any]:
    usage = UsageRecord.objects.get(subject=computation.urn)
    return {
        "unit_price_fen": usage.unit_price_fen,
        "units": usage.units,
        "amount_fen": usage.amount_fen,
        "currency": computation.contract.terms["price"]["currency"],
    }


def _next_number(now: datetime) -> str:
    year_month = now.strftime("%Y%m")
    try:
        with transaction.atomic():
            ReceiptSerial.objects.get_or_create(year_month=year_month)
    except IntegrityError:  # another worker made the row first
        pass
    serial = ReceiptSerial.objects.select_for_update().get(year_month=year_month)
    serial.last += 1
    serial.save(update_fields=["last"])
    return identifiers.number("UMR", exchange=settings.EXCHANGE_CODE, year_month=year_month, serial=serial.last)
