"""From a logged authorization to one task for each party, and the clearing away of what ran out of time."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from compute import deadlines
from compute.actions import moves
from compute.actions.results import RELEASE_WITHIN
from compute.models import Computation, NodeTask, SeenMessage
from compute.states import BEFORE_DISPATCH, LEASED_TASKS, ComputationState, TaskState
from contracts.actions import leases
from contracts.errors import UsageRefused
from contracts.models import Reservation
from exchange.kernel import identifiers
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Organization
from ledger import actions as ledger
from ledger.kinds import EntryKind

logger = logging.getLogger(__name__)

MAX_CLAIMS = 3  # how often a task that nobody has begun may be taken again after its lease ran out
REPLAY_WINDOW = timedelta(minutes=15)  # nonces are kept three times as long as a message may be old


@transaction.atomic
def dispatch(*, computation: Computation, now: datetime) -> list[NodeTask]:
    """Give every party of the job its task, once the authorization is under a signed checkpoint.

    It waits while a party's node is at work on a long run. A costly run also waits until the chain's total includes
    it; where the chain refuses that, the run ends with the refusal's code, and nothing is charged.

    Idempotent: one task for each (computation, party), by constraint; asking again returns them.
    """
    locked = moves.lock(computation.pk)
    if locked.state != ComputationState.AUTHORIZED:
        return list(locked.tasks.all())
    if not ledger.is_sealed(locked.authorization.entry) or deadlines.waits_for_node(locked):
        return []
    try:
        if not _is_counted(locked, now=now):
            return []
    except UsageRefused as refusal:
        moves.end(locked, ComputationState.REJECTED, code=refusal.code, stage="meter", now=now)
        return []
    parties = locked.authorization.job["parties"]
    refs = [identifiers.parse_urn(party["organization"], kind="org") for party in parties]
    organizations = {organization.urn: organization for organization in Organization.objects.filter(ref__in=refs)}
    tasks = NodeTask.objects.bulk_create(
        [
            NodeTask(
                computation=locked,
                organization=organizations[party["organization"]],
                rank=party["rank"],
                role=party["role"],
                created=now,
                changed=now,
            )
            for party in parties
        ]
    )
    moves.move(
        locked,
        ComputationState.DISPATCHED,
        now=now,
        deadline=now + timedelta(seconds=settings.COMPUTATION_DEADLINE_SECONDS),
    )
    ledger.record(
        kind=EntryKind.COMPUTATION_DISPATCHED,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={"computation": locked.urn, "job_digest": locked.authorization.job_digest, "tasks": len(tasks)},
        key=f"computation-dispatched:{locked.ref}",
    )
    return tasks


def _is_counted(computation: Computation, *, now: datetime) -> bool:
    """Whether the chain's total includes this run already, where that is asked for; otherwise it is asked now."""
    if not leases.is_needed(computation.contract, operation=computation.operation):
        return True
    reservation = Reservation.objects.get(subject=computation.urn)
    return leases.look(leases.ask(reservation=reservation, now=now), now=now)


def expire(*, now: datetime) -> int:
    """Take back lapsed leases, end what ran out of time, and forget old nonces; returns how many changed.

    Every computation is its own transaction; one that another worker holds is left to it.
    """
    lapsed = NodeTask.objects.lapsed(now).values_list("computation_id", flat=True)
    overdue = Computation.objects.overdue(now).values_list("pk", flat=True)
    changed = 0
    for pk in sorted({*lapsed, *overdue}):
        with transaction.atomic():
            computation = Computation.objects.locked_if_free().select_related("contract").filter(pk=pk).first()
            if computation is not None:
                changed += _take_back_leases(computation, now) or _expire(computation, now)
    SeenMessage.objects.older_than(now - REPLAY_WINDOW).delete()
    return changed


def _take_back_leases(computation: Computation, now: datetime) -> int:
    if not moves.is_running(computation):
        return 0
    lapsed = list(NodeTask.objects.locked().select_related("organization").filter(computation=computation).lapsed(now))
    for task in lapsed:
        if task.state == TaskState.CLAIMED and task.fencing_token < MAX_CLAIMS:
            moves.move_task(task, TaskState.PENDING, now=now, lease_until=None)
            continue
        moves.move_task(task, TaskState.FAILED, now=now, lease_until=None)
        moves.end(
            computation,
            ComputationState.FAILED,
            code="LEASE_LOST",
            stage=task.stage or "admission",
            party=task.organization,
            now=now,
        )
        break
    return len(lapsed)


def _expire(computation: Computation, now: datetime) -> int:
    if computation.deadline is None or computation.deadline > now:
        return 0
    state = ComputationState(computation.state)
    if state in BEFORE_DISPATCH:
        moves.end(computation, ComputationState.EXPIRED, code="REQUEST_EXPIRED", stage=state.value, now=now)
        return 1
    if state == ComputationState.SEALED:
        # No end but the release: it is charged. What the deadline asks for is that somebody looks.
        logger.error("a charged result waits for its evidence since %s: %s", computation.state_since, computation.ref)
        Computation.objects.filter(pk=computation.pk).update(deadline=now + RELEASE_WITHIN)
        return 1
    late = list(computation.tasks.select_related("organization").in_states(LEASED_TASKS | {TaskState.PENDING}))
    if state == ComputationState.DISPATCHED:
        waiting = [task for task in late if task.state in {TaskState.PENDING, TaskState.CLAIMED}]
        party = waiting[0].organization if waiting else None
        moves.end(
            computation, ComputationState.EXPIRED, code="PARTIES_NOT_READY", stage="admission", party=party, now=now
        )
        return 1
    if state == ComputationState.EXECUTING and late:
        moves.end(
            computation,
            ComputationState.FAILED,
            code="DEADLINE_PASSED",
            stage=late[0].stage or "run",
            party=late[0].organization,
            now=now,
        )
        return 1
    return 0
