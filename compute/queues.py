"""Read models for the staff desk: what waits for a reviewer, and what nodes have not been heard of."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from compute.models import Computation, DataNode
from compute.querysets import ComputationQuerySet
from compute.states import ComputationState
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Permission, has_permission

ONLINE_WITHIN = timedelta(seconds=30)  # a node polls every two seconds; fifteen missed polls are silence


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """An organisation's node as the desk shows it: `online`, `offline` or `never_seen`."""

    organization: Organization
    state: str
    last_seen: datetime | None
    version: str


def to_review(*, by: Membership | None) -> ComputationQuerySet:
    """Computations that wait for a reviewer, the earliest deadline first; none for who may not review."""
    if not has_permission(by, Permission.COMPUTATION_REVIEW):
        return Computation.objects.none()
    waiting = Computation.objects.in_states({ComputationState.REVIEWING})
    return waiting.select_related("contract", "buyer").order_by("deadline", "pk")


def nodes(*, now: datetime) -> list[NodeStatus]:
    """The node of every admitted organisation that has a document key, by name."""
    heard = {node.organization_id: node for node in DataNode.objects.all()}
    found = []
    for organization in Organization.objects.admitted().filter(is_exchange=False, keys__purpose="document").distinct():
        node = heard.get(organization.pk)
        online = node is not None and node.last_seen > now - ONLINE_WITHIN
        state = "never_seen" if node is None else "online" if online else "offline"
        found.append(NodeStatus(organization, state, node.last_seen if node else None, node.version if node else ""))
    return found
