"""Objections: filed by a person, marked and answered by the provider's node, found overdue by the clock."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from compute.models import Computation, NoticeBatch
from compute.protocol import notices, objections, terms
from exchange.kernel import identifiers
from exchange.kernel.errors import NotFound
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Organization
from exchange.subjects import deadlines
from exchange.subjects.errors import NoticeTokenUnknown, ObjectionClosed, ObjectionExists, ObjectionNotToProvider
from exchange.subjects.models import Objection
from exchange.subjects.states import OBJECTION, ObjectionState
from ledger import actions as ledger
from ledger.kinds import EntryKind

SWEEP = 200  # in one pass; the rest come with the next


@transaction.atomic
def file(*, token: bytes, organization: str, sealed: bytes, now: datetime) -> Objection:
    """Take a person's objection to one provider of the run that a notice was about.

    Args:
        token: from the opened notice, 16 bytes; organization: URN; sealed: see `compute.protocol.objections`.
    Raises:
        NoticeTokenUnknown: no published notice has this token.
        ObjectionNotToProvider: the organisation is no provider of that run.
        DocumentInvalid: sealed bytes of another length than objections have.
        ObjectionExists: the token has filed another objection to this organisation.
    Idempotent: one objection for each token and organisation; the same bytes again return it.
    """
    objections.check_sealed(sealed)
    computation = _computation_of(token)
    provider = _provider(computation, organization)
    digest, token_digest = hashlib.sha256(sealed).hexdigest(), notices.token_digest(token)
    try:
        with transaction.atomic():
            filed = Objection.objects.create(
                token_digest=token_digest,
                computation=computation,
                organization=provider,
                sealed=sealed,
                digest=digest,
                filed_at=now,
                due_at=deadlines.due(now),
            )
    except IntegrityError:
        return _first(token_digest, provider, digest=digest)
    _record(filed, EntryKind.OBJECTION_FILED, sealed_digest=digest, last_day=filed.last_day)
    return filed


@transaction.atomic
def mark(*, ref: str, organization: Organization, now: datetime) -> Objection:
    """Note that the provider has marked the record as disputed.

    Raises:
        NotFound: no objection to this organisation by this reference.
    Idempotent: a marked or answered objection stays as it is.
    """
    found = _of(ref, organization)
    if found.state != ObjectionState.FILED.value or not _move(found, ObjectionState.MARKED, marked_at=now):
        return _of(ref, organization)
    _record(found, EntryKind.OBJECTION_MARKED, issuer=organization)
    return found


@transaction.atomic
def answer(*, ref: str, organization: Organization, outcome: str, sealed: bytes, now: datetime) -> Objection:
    """Take the provider's answer, sealed to the person.

    Args:
        outcome: `corrected` or `upheld`; the reasons are in the sealed bytes.
    Raises:
        NotFound: no objection to this organisation by this reference.
        DocumentInvalid: sealed bytes of another length than answers have.
        InvalidTransition: the record is not marked yet.
        ObjectionClosed: it has been answered otherwise.
    Idempotent: the same bytes again return the objection.
    """
    objections.check_sealed(sealed)
    found, digest = _of(ref, organization), hashlib.sha256(sealed).hexdigest()
    fields = {"answered_at": now, "outcome": outcome, "sealed_answer": sealed, "answer_digest": digest}
    if found.state != ObjectionState.ANSWERED.value:
        OBJECTION.check(ObjectionState(found.state), ObjectionState.ANSWERED)
        if _move(found, ObjectionState.ANSWERED, **fields):
            _record(found, EntryKind.OBJECTION_ANSWERED, issuer=organization, outcome=outcome, sealed_digest=digest)
            return found
        found = _of(ref, organization)  # somebody was faster
    if (found.answer_digest, found.outcome) != (digest, outcome):
        raise ObjectionClosed("This objection has been answered; an answer is not changed afterwards.")
    return found


def sweep(*, now: datetime) -> int:
    """Mark what was not answered in time; returns how many. Answers still count: late is better than never."""
    due = Objection.objects.newly_overdue(now).order_by("due_at", "pk")[:SWEEP]
    return sum(_miss(found, now=now) for found in due)


@transaction.atomic
def _miss(found: Objection, *, now: datetime) -> bool:
    if not Objection.objects.newly_overdue(now).filter(pk=found.pk).update(overdue_at=now):
        return False  # answered meanwhile, or another worker's
    found.overdue_at = now
    _record(found, EntryKind.OBJECTION_OVERDUE, last_day=found.last_day)
    return True


def _move(found: Objection, to: ObjectionState, **fields: Any) -> bool:
    """Change the state if it is still the one seen; False when somebody else was faster."""
    seen = ObjectionState(found.state)
    OBJECTION.check(seen, to)
    values = {"state": to.value, **fields}
    if not Objection.objects.filter(pk=found.pk, state=seen.value).update(**values):
        return False
    for name, value in values.items():
        setattr(found, name, value)
    return True


def _first(token_digest: str, provider: Organization, *, digest: str) -> Objection:
    first = Objection.objects.with_token(token_digest).to(provider).get()
    if first.digest != digest:
        raise ObjectionExists("You have objected to this organisation about this run; look at the state of it.")
    return first


def _computation_of(token: bytes) -> Computation:
    batch = NoticeBatch.objects.with_token(token).first()
    if batch is None:
        raise NoticeTokenUnknown("No notice of this exchange has this token; open your notice again.")
    return batch.computation


def _provider(computation: Computation, organization: str) -> Organization:
    providers = {item["organization"] for item in terms.parties(computation.contract.terms, "provider")}
    found = None
    if organization in providers:
        found = Organization.objects.filter(ref=identifiers.parse_urn(organization, kind="org")).first()
    if found is None:
        raise ObjectionNotToProvider("This organisation gave nothing to that run; choose one that the notice names.")
    return found


def _of(ref: str, organization: Organization) -> Objection:
    found = Objection.objects.to(organization).by_ref(ref)
    if found is None:
        raise NotFound("There is no objection to this organisation by this reference.")
    return found


def _record(found: Objection, kind: EntryKind, *, issuer: Organization | None = None, **facts: Any) -> None:
    """One entry for each step: run, provider, times and digests of sealed bytes; nothing of the person."""
    payload: Mapping[str, Any] = {
        "objection": found.urn,
        "computation": found.computation.urn,
        "organization": found.organization.urn,
        **facts,
    }
    ledger.record(
        kind=kind,
        subject=found.urn,
        issuer=(issuer or exchange_organization()).urn,
        payload=payload,
        key=f"{kind.replace('.', '-')}:{found.ref}",
    )
