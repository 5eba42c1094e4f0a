"""Staff reviews of computations that the policy does not let through on its own."""

from django.db import transaction
from django.utils import timezone

from compute import schedule
from compute.actions import moves
from compute.errors import ReviewRefused
from compute.models import Computation
from compute.states import ComputationState
from exchange.kernel.errors import PermissionRefused
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind

MAX_REASON = 500


@transaction.atomic
def approve(*, computation: Computation, by: Membership, reason: str) -> Computation:
    """Let a computation that waits for review go on to the parties' consent.

    Raises:
        ReviewRefused: nothing is to be reviewed, or the reason is missing or too long.
        PermissionRefused: no reviewer, or one who belongs to an organisation that takes part.
    Idempotent: approving again what this reviewer approved changes nothing.
    """
    locked = moves.lock(computation.pk)
    _check_may_review(locked, by)
    if locked.reviewed_by_id == by.user_id and locked.state == ComputationState.CONSENTING:
        return locked
    _check_due(locked, reason)
    now = timezone.now()
    moves.move(
        locked,
        ComputationState.CONSENTING,
        now=now,
        deadline=locked.deadline,
        reviewed_by=by.user,
        reviewed_at=now,
        reviewer_role=str(by.role),
        review_reason=reason,
    )
    _record(locked, EntryKind.COMPUTATION_REVIEWED, by, decision="approved")
    schedule.advance_later()
    return locked


@transaction.atomic
def reject(*, computation: Computation, by: Membership, reason: str) -> Computation:
    """End a computation that waits for review; the quota goes back and nothing is charged.

    Raises: as `approve`.
    """
    locked = moves.lock(computation.pk)
    _check_may_review(locked, by)
    _check_due(locked, reason)
    now = timezone.now()
    Computation.objects.filter(pk=locked.pk).update(
        reviewed_by=by.user, reviewed_at=now, reviewer_role=str(by.role), review_reason=reason
    )
    _record(locked, EntryKind.COMPUTATION_REVIEWED, by, decision="rejected")
    moves.end(locked, ComputationState.REJECTED, code="REVIEW_REJECTED", now=now, issuer=by.organization.urn)
    locked.refresh_from_db()
    return locked


def _check_may_review(computation: Computation, by: Membership) -> None:
    check_permission(by, Permission.COMPUTATION_REVIEW)
    parties = {computation.buyer_id, *computation.consents.values_list("organization_id", flat=True)}
    if Membership.objects.of(by.user).filter(organization__in=parties).exists():
        raise PermissionRefused(
            "You belong to an organisation that takes part in this computation; another reviewer must decide."
        )


def _check_due(computation: Computation, reason: str) -> None:
    if computation.state != ComputationState.REVIEWING:
        raise ReviewRefused(f"The computation is {computation.state}; no review is due.")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise ReviewRefused(f"Give a reason of 1 to {MAX_REASON} characters; the buyer reads it.")


def _record(computation: Computation, kind: EntryKind, by: Membership, *, decision: str) -> None:
    ledger.record(
        kind=kind,
        subject=computation.urn,
        issuer=by.organization.urn,
        payload={
            "computation": computation.urn,
            "request_digest": computation.request_digest,
            "decision": decision,
            "role": str(by.role),
            "policy_rule": computation.policy_rule,
            "policy_version": computation.policy_version,
        },
        key=f"computation-reviewed:{computation.ref}",
    )
