"""What the rows of computations owe the log: requests, reviews, consents, jobs, results and nodes."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F

from compute.models import Authorization, Computation, Consent, DataNode, Result
from compute.states import COMPUTATION, ComputationState, ConsentState
from ledger.audits.counterparts import (
    REF,
    Counterpart,
    Owed,
    Standing,
    Stands,
    Untabled,
    agreed_digest,
    entry_ref,
    in_order,
    table_of,
    text,
    urn,
)
from ledger.kinds import EntryKind

_E = EntryKind
_S = ComputationState
_ENDS = {
    _S.WITHDRAWN: _E.COMPUTATION_WITHDRAWN,
    _S.REJECTED: _E.COMPUTATION_REJECTED,
    _S.EXPIRED: _E.COMPUTATION_EXPIRED,
    _S.FAILED: _E.COMPUTATION_FAILED,
    _S.WITHHELD: _E.RESULT_WITHHELD,
}
_ANSWERS = {ConsentState.GRANTED.value: _E.CONSENT_GRANTED, ConsentState.REFUSED.value: _E.CONSENT_REFUSED}


def _requests() -> Iterator[Owed]:
    rows = Computation.objects.select_related("contract")
    for row in in_order(rows, text("computation-requested:", F("ref"))):
        facts = {
            "computation": row.urn,
            "contract": row.contract.urn,
            "request_digest": agreed_digest(row.request_digest, row.request),
            "operation": row.operation,
        }
        yield Owed(row.token, row.urn, row.ref, facts)


def _reviews() -> Iterator[Owed]:
    rows = Computation.objects.filter(reviewed_at__isnull=False)
    for row in in_order(rows, text("computation-reviewed:", F("ref"))):
        yield Owed(row.token, row.urn, row.ref, {"request_digest": row.request_digest, "role": row.reviewer_role})


def _ends() -> Iterator[Owed]:
    rows = Computation.objects.filter(state__in=[state.value for state in _ENDS]).select_related("end_party")
    for row in in_order(rows, text("computation-ended:", F("ref"))):
        facts = {
            "request_digest": row.request_digest,
            "code": row.end_code,
            "stage": row.end_stage,
            "party": None if row.end_party is None else row.end_party.urn,
        }
        yield Owed(row.token, row.urn, row.ref, facts, kind=_ENDS[_S(row.state)])


def _consents() -> Iterator[Owed]:
    rows = Consent.objects.filter(state__in=_ANSWERS).select_related("computation", "organization")
    for row in in_order(rows, text("consent:", F("computation__ref"), ":", F("organization__ref"))):
        facts = {
            "request_digest": row.computation.request_digest,
            "consent_digest": agreed_digest(row.digest, row.document),
            "organization": row.organization.urn,
        }
        ref = f"{row.computation.ref} {row.organization.ref}"
        yield Owed(row.token, row.computation.urn, ref, facts, kind=_ANSWERS[row.state])


def _authorizations() -> Iterator[Owed]:
    for row in _of_computations(Authorization.objects.all(), "computation-authorized"):
        facts = {"job_digest": agreed_digest(row.job_digest, row.job)}
        yield Owed(row.token, row.computation.urn, row.computation.ref, facts)


def _authorization_entries() -> Iterator[Owed]:
    """The entry that each authorization names is its own."""
    for row in in_order(Authorization.objects.select_related("computation"), entry_ref("entry_id")):
        yield Owed(row.token, row.computation.urn, row.computation.ref)


def _dispatches() -> Iterator[Owed]:
    """Tasks are made when a job is dispatched, all at once."""
    rows = Computation.objects.annotate(made=Count("tasks"), job_digest=F("authorization__job_digest"))
    for row in in_order(rows.filter(made__gt=0), text("computation-dispatched:", F("ref"))):
        facts = {"job_digest": row.job_digest, "tasks": row.made}
        yield Owed(row.token, row.urn, row.ref, facts)


def _accepted() -> Iterator[Owed]:
    for row in _of_computations(Result.objects.prefetch_related("computation__tasks"), "result-accepted"):
        tasks = sorted(row.computation.tasks.all(), key=lambda task: task.rank)
        yield Owed(
            row.token, row.computation.urn, row.computation.ref, {"reports": [task.report_digest for task in tasks]}
        )


def _released() -> Iterator[Owed]:
    for row in _of_computations(Result.objects.filter(released_entry__isnull=False), "result-released"):
        yield Owed(row.token, row.computation.urn, row.computation.ref, {"receiver": row.computation.buyer.urn})


def _of_computations(rows: Any, word: str) -> Iterator[Any]:
    return in_order(rows.select_related("computation__buyer"), text(f"{word}:", F("computation__ref")))


def _nodes() -> Iterator[Owed]:
    rows = DataNode.objects.select_related("organization")
    for row in in_order(rows, text("node-registered:", F("organization__ref"))):
        yield Owed(row.token, row.organization.urn, row.organization.ref, {"organization": row.organization.urn})


def _states() -> Iterator[Stands]:
    for row in in_order(Computation.objects.all(), urn("computation", "ref")):
        yield Stands(row.token, row.state, row.ref)


COUNTERPARTS = (
    Counterpart(table_of(Computation), (_E.COMPUTATION_REQUESTED,), _requests),
    Counterpart(table_of(Computation), (_E.COMPUTATION_REVIEWED,), _reviews),
    Counterpart(table_of(Computation), tuple(_ENDS.values()), _ends),
    Counterpart(table_of(Consent), tuple(_ANSWERS.values()), _consents),
    Counterpart(table_of(Authorization), (_E.COMPUTATION_AUTHORIZED,), _authorizations),
    Counterpart(table_of(Authorization), (_E.COMPUTATION_AUTHORIZED,), _authorization_entries, by=REF),
    Counterpart("compute_nodetask", (_E.COMPUTATION_DISPATCHED,), _dispatches),
    Counterpart(table_of(Result), (_E.RESULT_ACCEPTED,), _accepted),
    Counterpart(table_of(Result), (_E.RESULT_RELEASED,), _released),
    Counterpart(table_of(DataNode), (_E.NODE_REGISTERED,), _nodes),
    Standing(
        table=table_of(Computation),
        states={
            _E.COMPUTATION_REQUESTED: _S.REQUESTED,
            _E.COMPUTATION_AUTHORIZED: _S.AUTHORIZED,
            _E.COMPUTATION_DISPATCHED: _S.DISPATCHED,
            _E.RESULT_ACCEPTED: _S.SEALED,
            _E.RESULT_RELEASED: _S.RELEASED,
            **{kind: state for state, kind in _ENDS.items()},
        },
        rows=_states,
        transitions=COMPUTATION,
        start=frozenset({_S.REQUESTED}),
    ),
    Untabled(
        kinds=(_E.RESULT_DELIVERED,),
        reason="the entry is the record of a retrieval; the part it names stays in its own table",
    ),
)
