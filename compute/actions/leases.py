"""A node's hold on its task: the rows that a step locks, and the lease and fencing token that it has to name."""

from datetime import datetime, timedelta

from django.conf import settings

from compute.actions import moves
from compute.errors import LeaseLost, TaskClosed, TaskNotAvailable
from compute.models import Computation, NodeTask
from compute.states import LEASED_TASKS, TaskState
from exchange.kernel import identifiers
from exchange.members.models import Organization

_CLOSED = frozenset({TaskState.SUBMITTED, TaskState.REFUSED, TaskState.FAILED, TaskState.CANCELLED})


def lock(organization: Organization, task: str) -> tuple[NodeTask, Computation]:
    """The computation first, then the task: every writer takes them in this order.

    Raises:
        TaskNotAvailable: no such task of this organisation.
    """
    try:
        ref = identifiers.parse_urn(task, kind="task")
    except ValueError:
        ref = ""
    found = NodeTask.objects.filter(ref=ref, organization=organization).values_list("computation_id", flat=True).first()
    if found is None:
        raise TaskNotAvailable("There is no such task for this organisation; poll again.")
    computation = moves.lock(found)
    return NodeTask.objects.locked().get(ref=ref), computation


def check(task: NodeTask, fencing_token: int, now: datetime) -> None:
    """Raise unless this claim still holds the task.

    Raises:
        LeaseLost, TaskClosed: it does not.
    """
    if task.fencing_token != fencing_token:
        raise LeaseLost("A newer claim holds this task; stop this run.")
    state = TaskState(task.state)
    if state == TaskState.FAILED and task.report is None:
        raise LeaseLost("The lease ran out and the computation was ended; stop this run.")
    if state in _CLOSED:
        raise TaskClosed(f"The task is {state}; nothing more is taken for it.")
    if state not in LEASED_TASKS or task.lease_until is None or task.lease_until <= now:
        raise LeaseLost("The lease ran out; stop this run and poll again.")


def until(now: datetime) -> datetime:
    """When a lease that begins now runs out."""
    return now + timedelta(seconds=settings.TASK_LEASE_SECONDS)
