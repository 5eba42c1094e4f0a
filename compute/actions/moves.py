"""The one way a computation changes state, and the one way it ends without a result."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from compute.models import Computation, NodeTask, SealedPart
from compute.states import COMPUTATION, OPEN_TASKS, RUNNING, TASK, ComputationState, TaskState
from contracts.actions import meters
from exchange.kernel.errors import InvalidTransition
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Organization
from ledger import actions as ledger
from ledger.kinds import EntryKind

_EXIT_ENTRIES: Mapping[ComputationState, EntryKind] = {
    ComputationState.WITHDRAWN: EntryKind.COMPUTATION_WITHDRAWN,
    ComputationState.REJECTED: EntryKind.COMPUTATION_REJECTED,
    ComputationState.EXPIRED: EntryKind.COMPUTATION_EXPIRED,
    ComputationState.FAILED: EntryKind.COMPUTATION_FAILED,
    ComputationState.WITHHELD: EntryKind.RESULT_WITHHELD,
}


def lock(pk: int) -> Computation:
    """Take a computation for this transaction. It is always the first row locked, then its tasks."""
    return Computation.objects.locked().select_related("contract", "buyer").get(pk=pk)


def move(
    computation: Computation, to: ComputationState, *, now: datetime, deadline: datetime | None, **fields: Any
) -> None:
    """Change the state of a locked computation; the conditional update stands behind the lock.

    Raises:
        InvalidTransition: the table does not lead there, or somebody else was faster.
    """
    current = ComputationState(computation.state)
    COMPUTATION.check(current, to)
    values = {"state": to.value, "state_since": now, "deadline": deadline, **fields}
    if not Computation.objects.filter(pk=computation.pk, state=current.value).update(**values):
        raise InvalidTransition(f"The computation is no longer {current}; look at it again.")
    for name, value in values.items():
        setattr(computation, name, value)


def move_task(task: NodeTask, to: TaskState, *, now: datetime, **fields: Any) -> None:
    """Change the state of a locked task; like `move`."""
    current = TaskState(task.state)
    TASK.check(current, to)
    values = {"state": to.value, "changed": now, **fields}
    if not NodeTask.objects.filter(pk=task.pk, state=current.value).update(**values):
        raise InvalidTransition(f"The task is no longer {current}; look at it again.")
    for name, value in values.items():
        setattr(task, name, value)


def end(
    computation: Computation,
    to: ComputationState,
    *,
    code: str,
    now: datetime,
    issuer: str | None = None,
    party: Organization | None = None,
    stage: str = "",
) -> None:
    """End a locked computation without a result: others cancelled, quota and money given back, parts deleted.

    Args:
        code: why, for programs; it goes into the entry with the stage and the party.
        issuer: URN of who ended it; the exchange by default.
    """
    move(computation, to, now=now, deadline=None, end_code=code, end_stage=stage, end_party=party)
    NodeTask.objects.filter(computation=computation).in_states(OPEN_TASKS).update(
        state=TaskState.CANCELLED.value, lease_until=None, changed=now
    )
    SealedPart.objects.filter(task__computation=computation).delete()
    meters.release(subject=computation.urn, reason=code, now=now)
    ledger.record(
        kind=_EXIT_ENTRIES[to],
        subject=computation.urn,
        issuer=issuer or exchange_organization().urn,
        payload={
            "computation": computation.urn,
            "contract": computation.contract.urn,
            "request_digest": computation.request_digest,
            "code": code,
            "stage": stage,
            "party": party.urn if party else None,
        },
        key=f"computation-ended:{computation.ref}",
    )


def is_running(computation: Computation) -> bool:
    """Whether nodes may be at work on it."""
    return ComputationState(computation.state) in RUNNING
