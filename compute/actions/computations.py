"""Asking for a computation, taking the request back, and ending what a revoked contract has under way."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute import deadlines, planner, policies, schedule
from compute.actions import decisions, moves
from compute.errors import (
    ComputationExists,
    RequestInvalid,
)
from compute.models import Computation, Consent
from compute.protocol import documents, shapes
from compute.states import COMPUTATION, ComputationState
from contracts.access import access_contract
from contracts.actions import meters
from contracts.models import Contract
from contracts.policies import check_can_request
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError, PermissionRefused
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.actions import chain_looks
from ledger.kinds import EntryKind
from ledger.proofs import statements

MAX_REQUEST_LIFE = timedelta(days=7)
MAX_SKEW = timedelta(minutes=5)


@transaction.atomic
def submit(*, document: Mapping[str, Any], by: Membership, now: datetime | None = None) -> Computation:
    """Take a buyer-signed request: policy asked, quota and money set aside, entry written, all or nothing.

    Args:
        document: a `hengshu/computation-request/v1`; its id is the computation and the idempotency key.
    Raises:
        RequestInvalid, RequestSignatureInvalid, RequestExpired, TermsChanged: the document.
        ComputationExists: another document has this id.
        TechniqueNotAllowed, GroupsTooSmall, ProductNotAvailable: the policy does not allow it now.
        ConcurrencyExceeded: as many as the contract allows are under way.
        ChainDownTooLong: the chain has been silent for longer than the bound.
        UsageRefused and its kinds (`contracts.errors`): purpose, operation, columns, quota, money, or no
            contract in effect.
    Idempotent: the same document again returns its computation.
    """
    now = now or timezone.now()
    check_permission(by, Permission.COMPUTATION_REQUEST)
    ref = _read(document)
    first = _first(ref, document, by=by)
    if first is not None:
        return first
    contract = access_contract(identifiers.parse_urn(document["contract"], kind="contract"), by=by)
    chain_looks.check(now=now)
    policies.check_document(document, contract=contract, organization=by.organization, now=now)
    check_can_request(
        contract,
        operation=document["operation"],
        parameters=document["parameters"],
        purpose=document["purpose"],
        now=now,
    )
    # From here on one request at a time under this contract: a twin of this call has committed, or waits.
    Contract.objects.locked().get(pk=contract.pk)
    first = _first(ref, document, by=by)
    if first is not None:
        return first
    policies.check_concurrency(contract)
    decision = decisions.decide(contract=contract, request=document, now=now)
    plan = planner.plan(terms=contract.terms, request=document, decision=decision)
    expires = shapes.parse_time(document["expires"])
    try:
        with transaction.atomic():
            computation = Computation.objects.create(
                ref=ref,
                contract=contract,
                buyer=by.organization,
                operation=document["operation"],
                purpose=document["purpose"],
                request=dict(document),
                request_digest=statements.digest(document),
                state=ComputationState.REQUESTED.value,
                state_since=now,
                deadline=expires,
                created=now,
                policy_rule=decision.rule,
                policy_version=decision.version,
                policy=decisions.as_json(decision),
                min_group=plan.min_group,
                plan=_plan_as_json(plan),
            )
    except IntegrityError:
        first = _first(ref, document, by=by)
        if first is None:
            raise
        return first
    # The reservation outlives the request by as long as a run may take, so that it never lapses under a run.
    held_until = deadlines.held_until(expires)
    meters.reserve(contract=contract, subject=computation.urn, units=computation.units, expires_at=held_until, now=now)
    Consent.objects.bulk_create(
        Consent(computation=computation, organization=organization) for organization in _parties(plan)
    )
    ledger.record(
        kind=EntryKind.COMPUTATION_REQUESTED,
        subject=computation.urn,
        issuer=by.organization.urn,
        payload={
            "computation": computation.urn,
            "contract": contract.urn,
            "terms_digest": contract.terms_digest,
            "request_digest": computation.request_digest,
            "operation": computation.operation,
            "policy_rule": decision.rule,
            "policy_version": decision.version,
        },
        key=f"computation-requested:{ref}",
    )
    review = decision.needs_review or contract.terms["output"]["review"] == "manual"
    to = ComputationState.REVIEWING if review else ComputationState.CONSENTING
    moves.move(computation, to, now=now, deadline=expires)
    schedule.advance_later()
    return computation


@transaction.atomic
def withdraw(*, computation: Computation, by: Membership) -> Computation:
    """Take a request back before it is charged; quota and money return, and nodes that are at work stop.

    A node hears of it with its next sign of life, a second later; it kills its engine and gives its unit back.

    Raises:
        PermissionRefused: not the buyer.
        InvalidTransition: it is charged already, or over.
    Idempotent: withdrawing again changes nothing.
    """
    check_permission(by, Permission.COMPUTATION_REQUEST)
    locked = moves.lock(computation.pk)
    if locked.buyer_id != by.organization_id:
        raise PermissionRefused("Only the buyer who asked for this computation can withdraw it.")
    if locked.state != ComputationState.WITHDRAWN:
        moves.end(
            locked,
            ComputationState.WITHDRAWN,
            code="WITHDRAWN_BY_BUYER",
            stage=_reached(locked),
            issuer=by.organization.urn,
            now=timezone.now(),
        )
    return locked


@transaction.atomic
def withhold_all(*, contract: Contract, now: datetime | None = None, code: str = "CONTRACT_REVOKED") -> int:
    """End everything under way under a contract; returns how many. What is charged already stays.

    Args:
        code: why: the contract was revoked, or a key that it names.
    Idempotent: what has ended stays as it is.
    """
    now = now or timezone.now()
    open_states = [state for state in ComputationState if COMPUTATION.can(state, ComputationState.WITHHELD)]
    ended = 0
    for computation in Computation.objects.locked().filter(contract=contract).in_states(open_states).order_by("pk"):
        moves.end(computation, ComputationState.WITHHELD, code=code, stage=computation.state, now=now)
        ended += 1
    return ended


def _read(document: Mapping[str, Any]) -> str:
    try:
        documents.check_request(document)
    except DomainError as error:
        raise RequestInvalid(f"The request is not one this version reads: {error.message}") from error
    return identifiers.parse_urn(document["id"], kind="computation")


def _first(ref: str, document: Mapping[str, Any], *, by: Membership) -> Computation | None:
    """The computation that the same document made before; ComputationExists for another document."""
    found = Computation.objects.by_ref(ref)
    if found is None:
        return None
    if found.buyer_id != by.organization_id or found.request_digest != statements.digest(document):
        raise ComputationExists("Another request has this id; make a new request with a new id.")
    return found


def _parties(plan: planner.ExecutionPlan) -> list[Organization]:
    refs = [identifiers.parse_urn(party["organization"], kind="org") for party in plan.parties]
    found = {organization.ref: organization for organization in Organization.objects.filter(ref__in=refs)}
    return [found[ref] for ref in refs]


def _plan_as_json(plan: planner.ExecutionPlan) -> dict[str, Any]:
    return {
        "engine": plan.engine,
        "technique": plan.technique.value,
        "parties": [dict(party) for party in plan.parties],
        "zh": plan.zh,
        "en": plan.en,
    }


def _reached(computation: Computation) -> str:
    """How far the party that is furthest behind had come; empty before any node was at work."""
    task = computation.tasks.exclude(stage="").order_by("percent", "rank").first()
    return task.stage if task else ""


def can_withdraw(computation: Computation, *, by: Membership | None) -> bool:
    """Whether the page offers the buyer to withdraw."""
    return (
        by is not None
        and by.organization_id == computation.buyer_id
        and COMPUTATION.can(ComputationState(computation.state), ComputationState.WITHDRAWN)
    )
