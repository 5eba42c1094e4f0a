"""The only door to a computation: who may know that it exists."""

from compute.models import Computation
from compute.querysets import ComputationQuerySet
from exchange.kernel.errors import NotFound
from exchange.members.models import Membership
from exchange.members.permissions import Permission, has_permission


def visible_computations(*, by: Membership | None) -> ComputationQuerySet:
    """Those a member may see: its organisation's own as buyer or party; staff with the right, all."""
    if by is None:
        return Computation.objects.none()
    if has_permission(by, Permission.COMPUTATION_VIEW_ANY):
        return Computation.objects.all()
    if has_permission(by, Permission.COMPUTATION_VIEW):
        return Computation.objects.seen_by(by.organization)
    return Computation.objects.none()


def access_computation(ref: str, *, by: Membership | None) -> Computation:
    """Reach one computation by its reference.

    Raises:
        NotFound: there is none, or none that this member may know of; the two look the same.
    """
    found = visible_computations(by=by).with_parties().filter(ref=ref.rsplit(":", 1)[-1]).first()
    if found is None:
        raise NotFound("There is no computation by this reference that you may see.")
    return found
