"""When policy, reviews and consents are complete: the signed job, and the logged authorization."""

from datetime import datetime, timedelta

from django.db import transaction

from compute import deadlines, planner, schedule
from compute.actions import decisions, moves
from compute.models import Authorization, Computation
from compute.protocol import documents, shapes
from compute.states import ComputationState, ConsentState
from contracts.policies import check_effective
from exchange.kernel.errors import DomainError
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from ledger import actions as ledger
from ledger.actions import chain_looks
from ledger.kinds import EntryKind
from ledger.proofs import statements


@transaction.atomic
def authorize(*, computation: Computation, now: datetime) -> Authorization | None:
    """Build and sign the job once every party has granted; None while one has not.

    The policy is asked again with the products as they are now, and the contract must still be in
    effect; otherwise the computation ends and the quota goes back. While the chain has been silent for
    longer than CHAIN_DOWN_LIMIT_SECONDS, nothing is authorized and nothing ends.

    Idempotent: a computation has one authorization.
    """
    locked = moves.lock(computation.pk)
    if locked.state != ComputationState.CONSENTING:
        return Authorization.objects.filter(computation=locked).first()
    consents = list(locked.consents.order_by("pk"))
    if any(consent.state != ConsentState.GRANTED for consent in consents):
        return None
    if chain_looks.is_down_too_long(now=now):
        return None  # it waits, and goes on when the chain is back or ends when the request expires
    try:
        check_effective(locked.contract, now=now)
        decision = decisions.decide(contract=locked.contract, request=locked.request, now=now)
        planner.plan(terms=locked.contract.terms, request=locked.request, decision=decision)
    except DomainError as error:
        moves.end(locked, ComputationState.REJECTED, code=error.code, stage="authorization", now=now)
        return None
    if decision.needs_review and locked.reviewed_at is None:
        moves.end(locked, ComputationState.REJECTED, code="POLICY_CHANGED", stage="authorization", now=now)
        return None
    expires = min(
        shapes.parse_time(locked.request["expires"]),
        *(shapes.parse_time(consent.document["expires"]) for consent in consents if consent.document),
    )
    keys = exchange_keys()
    job = statements.sign(
        documents.job(
            request=locked.request,
            terms=locked.contract.terms,
            not_before=now - timedelta(seconds=1),
            expires=expires,
            deadline_seconds=deadlines.run_seconds([consent.document for consent in consents if consent.document]),
        ),
        key=keys.document,
        created=shapes.write_time(now),
    )
    payload = documents.authorization(
        job=job,
        consents=[consent.document for consent in consents if consent.document],
        policy_rule=decision.rule,
        policy_version=decision.version,
        reviewed_by=[locked.reviewer_role] if locked.reviewer_role else [],
    )
    entry = ledger.record(
        kind=EntryKind.COMPUTATION_AUTHORIZED,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload=payload,
        key=f"computation-authorized:{locked.ref}",
    )
    moves.move(
        locked,
        ComputationState.AUTHORIZED,
        now=now,
        deadline=expires,
        policy=decisions.as_json(decision),
        policy_rule=decision.rule,
        policy_version=decision.version,
    )
    schedule.advance_later()
    return Authorization.objects.create(
        computation=locked, job=job, job_digest=statements.digest(job), entry=entry, created=now
    )
