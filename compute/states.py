"""The states of a computation and of each party's task, as tables; docs/states is drawn from them."""

from enum import StrEnum

from exchange.kernel.states import Owner, Transitions


class ComputationState(StrEnum):
    """Where a computation stands; the value is what the API shows."""

    REQUESTED = "requested"
    REVIEWING = "reviewing"
    CONSENTING = "consenting"
    AUTHORIZED = "authorized"
    DISPATCHED = "dispatched"
    EXECUTING = "executing"
    SEALED = "sealed"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"
    WITHHELD = "withheld"


class TaskState(StrEnum):
    """Where one party's share of a computation stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    READY = "ready"
    RUNNING = "running"
    SUBMITTED = "submitted"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ConsentState(StrEnum):
    """One party's answer to one computation."""

    PENDING = "pending"
    GRANTED = "granted"
    REFUSED = "refused"


_C = ComputationState
_T = TaskState
# Before anyone runs, a computation may be withdrawn, may time out, or may lose its contract.
_BEFORE_RUN = frozenset({_C.WITHDRAWN, _C.EXPIRED, _C.WITHHELD})

COMPUTATION: Transitions[ComputationState] = Transitions(
    {
        _C.REQUESTED: _BEFORE_RUN | {_C.REVIEWING, _C.CONSENTING},
        _C.REVIEWING: _BEFORE_RUN | {_C.CONSENTING, _C.REJECTED},
        _C.CONSENTING: _BEFORE_RUN | {_C.AUTHORIZED, _C.REJECTED},
        _C.AUTHORIZED: _BEFORE_RUN | {_C.DISPATCHED, _C.REJECTED},
        _C.DISPATCHED: _BEFORE_RUN | {_C.EXECUTING, _C.FAILED},  # a node may refuse before all are ready
        # Until it is charged the buyer may still cancel: the nodes stop within a heartbeat.
        _C.EXECUTING: frozenset({_C.SEALED, _C.FAILED, _C.WITHHELD, _C.WITHDRAWN}),
        _C.SEALED: frozenset({_C.RELEASED}),  # charged: what is paid for is handed over, revoked or not
        _C.RELEASED: frozenset(),
        _C.WITHDRAWN: frozenset(),
        _C.REJECTED: frozenset(),
        _C.EXPIRED: frozenset(),
        _C.FAILED: frozenset(),
        _C.WITHHELD: frozenset(),
    },
    owners={
        _C.REQUESTED: Owner.SYSTEM,
        _C.REVIEWING: Owner.STAFF,
        _C.CONSENTING: Owner.PARTIES,
        _C.AUTHORIZED: Owner.SYSTEM,
        _C.DISPATCHED: Owner.PARTIES,
        _C.EXECUTING: Owner.PARTIES,
        _C.SEALED: Owner.SYSTEM,
        _C.RELEASED: Owner.NOBODY,
        _C.WITHDRAWN: Owner.NOBODY,
        _C.REJECTED: Owner.NOBODY,
        _C.EXPIRED: Owner.NOBODY,
        _C.FAILED: Owner.NOBODY,
        _C.WITHHELD: Owner.NOBODY,
    },
)

TASK: Transitions[TaskState] = Transitions(
    {
        _T.PENDING: frozenset({_T.CLAIMED, _T.CANCELLED}),
        # A claim whose lease ran out before any offer goes back: nobody else has begun.
        _T.CLAIMED: frozenset({_T.PENDING, _T.READY, _T.REFUSED, _T.FAILED, _T.CANCELLED}),
        _T.READY: frozenset({_T.RUNNING, _T.REFUSED, _T.FAILED, _T.CANCELLED}),
        _T.RUNNING: frozenset({_T.SUBMITTED, _T.REFUSED, _T.FAILED, _T.CANCELLED}),
        _T.SUBMITTED: frozenset(),
        _T.REFUSED: frozenset(),
        _T.FAILED: frozenset(),
        _T.CANCELLED: frozenset(),
    },
    owners={
        _T.PENDING: Owner.PARTIES,
        _T.CLAIMED: Owner.PARTIES,
        _T.READY: Owner.PARTIES,
        _T.RUNNING: Owner.PARTIES,
        _T.SUBMITTED: Owner.NOBODY,
        _T.REFUSED: Owner.NOBODY,
        _T.FAILED: Owner.NOBODY,
        _T.CANCELLED: Owner.NOBODY,
    },
)

BEFORE_DISPATCH = frozenset({_C.REQUESTED, _C.REVIEWING, _C.CONSENTING, _C.AUTHORIZED})
RUNNING = frozenset({_C.DISPATCHED, _C.EXECUTING})
OPEN_TASKS = frozenset({_T.PENDING, _T.CLAIMED, _T.READY, _T.RUNNING})
LEASED_TASKS = frozenset({_T.CLAIMED, _T.READY, _T.RUNNING})

# The words as the API description names them (settings.SPECTACULAR_SETTINGS).
COMPUTATION_CHOICES = [(state.value, state.value) for state in ComputationState]
