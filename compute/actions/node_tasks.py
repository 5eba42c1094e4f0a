"""What a node does with its task: claim, offer, beat, refuse, fail, submit.

Every step names the fencing token of its claim. A token that is not the newest, or a lease that has run
out, is refused with LEASE_LOST, so that a node which slept through its lease can neither disturb a
newer claim nor deliver a late result.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from compute import agreements, deadlines, schedule
from compute.actions import leases, moves, notices, reports
from compute.errors import (
    LeaseLost,
    OfferInvalid,
    PartInvalid,
    PartTooLarge,
    ReportConflict,
    ReportInvalid,
    TaskNotAvailable,
)
from compute.models import Computation, NodeTask, SealedPart, TaskEvent
from compute.protocol import documents, sealing, shapes, terms
from compute.states import ComputationState, TaskState
from exchange.kernel.errors import DomainError
from exchange.members.models import Organization
from ledger import actions as ledger
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Claim:
    """A task taken: the token to name from now on, how long the lease lasts, and all the node must check."""

    fencing_token: int
    lease_seconds: int
    bundle: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a sign of life.

    Args:
        go: all parties are ready; `offers` then holds every party's link offer.
        cancel: the run is over for everybody, for the code in `reason`.
    """

    go: bool
    cancel: bool = False
    reason: str | None = None
    offers: list[dict[str, Any]] = field(default_factory=list)


@transaction.atomic
def claim(*, organization: Organization, task: str, now: datetime) -> Claim:
    """Take a waiting task under a lease.

    Raises:
        TaskNotAvailable: no such task of this organisation, taken already, or over.
    """
    found, computation = leases.lock(organization, task)
    if found.state != TaskState.PENDING or computation.state != ComputationState.DISPATCHED:
        raise TaskNotAvailable(f"The task is {found.state} and its computation {computation.state}; poll again.")
    token = found.fencing_token + 1
    moves.move_task(
        found,
        TaskState.CLAIMED,
        now=now,
        fencing_token=token,
        lease_until=leases.until(now),
        stage="admission",
        percent=0,
    )
    authorization = computation.authorization
    checkpoint = ledger.checkpoint_of(authorization.entry)
    bundle = {
        "contract": agreements.signed_terms(computation.contract),
        "request": computation.request,
        "job": authorization.job,
        "consents": [consent.document for consent in computation.consents.order_by("pk")],
        "authorization": ledger.entry_proof(authorization.entry, checkpoint=checkpoint),
        "checkpoint": checkpoint.note if checkpoint else "",
    }
    return Claim(token, settings.TASK_LEASE_SECONDS, bundle)


@transaction.atomic
def offer(
    *, organization: Organization, task: str, fencing_token: int, document: Mapping[str, Any], now: datetime
) -> None:
    """Record that a node has admitted the job and where its peers reach it; the last offer starts the run.

    Raises:
        OfferInvalid: it does not fit the job, the party or its signer.
        LeaseLost, TaskClosed: the task is no longer this claim's.
    Idempotent: the same offer again changes nothing.
    """
    found, computation = leases.lock(organization, task)
    leases.check(found, fencing_token, now)
    if found.offer is not None:
        if statements.digest(found.offer) == statements.digest(document):
            return
        raise OfferInvalid("Another offer was recorded for this claim; keep to the first.")
    _check_offer(document, task=found, computation=computation, now=now)
    moves.move_task(found, TaskState.READY, now=now, offer=dict(document), lease_until=leases.until(now), stage="link")
    waiting = computation.tasks.in_states({TaskState.PENDING, TaskState.CLAIMED}).exists()
    if computation.state == ComputationState.DISPATCHED and not waiting:
        seconds = computation.authorization.job["deadline_seconds"] + deadlines.DELIVERY_SECONDS
        moves.move(computation, ComputationState.EXECUTING, now=now, deadline=now + timedelta(seconds=seconds))


@transaction.atomic
def beat(
    *,
    organization: Organization,
    task: str,
    fencing_token: int,
    stage: str,
    percent: int,
    now: datetime,
    events: Sequence[Mapping[str, Any]] = (),
) -> Beat:
    """Extend the lease, note progress and the stages passed since, and tell whether to go on.

    Raises:
        LeaseLost: the lease ran out or a newer claim holds the task.
    """
    found, computation = leases.lock(organization, task)
    if found.state == TaskState.CANCELLED and found.fencing_token == fencing_token:
        return Beat(go=False, cancel=True, reason=computation.end_code or "RUN_CANCELLED")
    leases.check(found, fencing_token, now)
    _keep(events, task=found, now=now)
    go = computation.state == ComputationState.EXECUTING and found.state in {TaskState.READY, TaskState.RUNNING}
    fields: dict[str, Any] = {
        "lease_until": leases.until(now),
        "stage": stage[:64],
        "percent": max(0, min(100, percent)),
    }
    if go and found.state == TaskState.READY:
        moves.move_task(found, TaskState.RUNNING, now=now, **fields)
    else:
        NodeTask.objects.filter(pk=found.pk).update(changed=now, **fields)
    offers = [item.offer for item in computation.tasks.order_by("rank") if item.offer] if go else []
    return Beat(go=go, offers=offers)


@transaction.atomic
def stop(
    *,
    organization: Organization,
    task: str,
    fencing_token: int,
    report: Mapping[str, Any],
    outcome: str,
    now: datetime,
    events: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Record that a node refused or failed, with its signed report; the computation ends for everybody.

    A report that comes after the computation was cancelled is kept and changes nothing else.

    Raises:
        ReportInvalid: the report does not fit the task or its signer.
        ReportConflict: another report is recorded.
        LeaseLost: a newer claim holds the task, or its lease ran out.
    Idempotent: by the report's digest.
    """
    found, computation = leases.lock(organization, task)
    if _is_repeat(found, report):
        return
    if found.state != TaskState.CANCELLED:
        leases.check(found, fencing_token, now)
    elif found.fencing_token != fencing_token:
        raise LeaseLost("A newer claim holds this task; stop this run.")
    reports.check(report, task=found, computation=computation)
    if report["outcome"] != outcome:
        raise ReportInvalid(f"The report's outcome is not `{outcome}`.")
    _keep(events, task=found, now=now)
    fields = {"report": dict(report), "report_digest": statements.digest(report), "lease_until": None}
    if found.state == TaskState.CANCELLED:
        NodeTask.objects.filter(pk=found.pk).update(changed=now, **fields)
        return
    to = TaskState.REFUSED if outcome == "refused" else TaskState.FAILED
    moves.move_task(found, to, now=now, **fields)
    moves.end(
        computation,
        ComputationState.FAILED,
        code=report["code"],
        stage=report["stage"],
        party=organization,
        issuer=organization.urn,
        now=now,
    )


@transaction.atomic
def submit(
    *,
    organization: Organization,
    task: str,
    fencing_token: int,
    report: Mapping[str, Any],
    sealed_part: str,
    now: datetime,
    events: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Take a party's sealed part with its signed report; acceptance follows when all parties' are in.

    Raises:
        PartInvalid, PartTooLarge: the part is not what the report says, or larger than agreed.
        ReportInvalid: the report does not fit the task, the job or its signer, or notices that are due are missing.
        ReportConflict: another report is recorded for this task.
        LeaseLost, TaskClosed: the task is no longer this claim's.
    Idempotent: by the report's digest; the part is stored once.
    """
    found, computation = leases.lock(organization, task)
    if _is_repeat(found, report):
        return
    leases.check(found, fencing_token, now)
    if found.state != TaskState.RUNNING:
        raise TaskNotAvailable("The run has not begun: send progress until the answer is go.")
    reports.check(report, task=found, computation=computation)
    if report["outcome"] != "completed":
        raise ReportInvalid("Only a completed run has a part to submit; use refuse or fail.")
    part = report["part"]
    ciphertext = _open_base64(sealed_part, limit=computation.contract.terms["output"]["max_bytes"])
    if len(ciphertext) != part["size_bytes"] or hashlib.sha256(ciphertext).hexdigest() != part["digest"]:
        raise PartInvalid("The part's size or SHA-256 is not that of the report; send the bytes that were reported.")
    if part["suite"] != sealing.SUITE:
        raise PartInvalid(f"Parts are sealed with {sealing.SUITE}.")
    notices.check(report, task=found, computation=computation)
    _keep(events, task=found, now=now)
    SealedPart.objects.create(
        task=found,
        ciphertext=ciphertext,
        digest=part["digest"],
        size_bytes=len(ciphertext),
        suite=part["suite"],
        received=now,
    )
    moves.move_task(
        found,
        TaskState.SUBMITTED,
        now=now,
        report=dict(report),
        report_digest=statements.digest(report),
        lease_until=None,
        stage="delivery",
        percent=100,
    )
    schedule.advance_later()


def _keep(events: Sequence[Mapping[str, Any]], *, task: NodeTask, now: datetime) -> None:
    """Keep what a node says of its stages; an event that is known by its number stays as it was first told."""
    TaskEvent.objects.bulk_create(
        [
            TaskEvent(
                task=task,
                fencing_token=task.fencing_token,
                sequence=event["sequence"],
                stage=event["stage"],
                percent=event["percent"],
                seconds=event["seconds"],
                size_bytes=event["bytes"],
                received=now,
            )
            for event in events
        ],
        ignore_conflicts=True,
    )


def _is_repeat(task: NodeTask, report: Mapping[str, Any]) -> bool:
    """Whether exactly this report is recorded; ReportConflict when another one is."""
    if not task.report_digest:
        return False
    try:
        same = statements.digest(report) == task.report_digest
    except VerificationError as error:
        raise ReportInvalid(f"The report has no canonical form: {error.message}.") from error
    if not same:
        raise ReportConflict("Another report is recorded for this task; the first one counts.")
    return True


def _check_offer(document: Mapping[str, Any], *, task: NodeTask, computation: Computation, now: datetime) -> None:
    try:
        documents.check_link_offer(document)
    except DomainError as error:
        raise OfferInvalid(f"The offer is not one this version reads: {error.message}") from error
    expected = {
        "computation": computation.urn,
        "job_digest": computation.authorization.job_digest,
        "organization": task.organization.urn,
        "rank": task.rank,
    }
    wrong = [name for name, value in expected.items() if document[name] != value]
    if wrong:
        raise OfferInvalid(f"The offer's {', '.join(wrong)} is not that of this task.")
    if shapes.parse_time(document["expires"]) <= now:
        raise OfferInvalid("The offer has expired; make a new one and check the node's clock.")
    party = terms.party(computation.contract.terms, task.organization.urn)
    try:
        statements.verify(document, signers=[party["document_key"]] if party else [])
    except VerificationError as error:
        raise OfferInvalid(f"The offer is not signed by the key in the contract: {error.message}.") from error


def _open_base64(text: str, *, limit: int) -> bytes:
    if len(text) > (limit + 2) // 3 * 4:
        raise PartTooLarge(f"The contract allows parts of at most {limit} bytes.")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PartInvalid("The part is not base64.") from None
    if len(raw) > limit:
        raise PartTooLarge(f"The contract allows parts of at most {limit} bytes.")
    return raw
