"""The compliance desk: approve, return with a reason for each field, or turn down."""

from collections.abc import Mapping

from django.db import transaction

from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind
from listings import policies
from listings.actions import moves
from listings.errors import ReviewReasonMissing
from listings.models import Product, Review
from listings.states import ProductState, ReviewDecision

MAX_REASON = 500
_OUTCOMES = {
    ReviewDecision.APPROVED: (ProductState.APPROVED, EntryKind.PRODUCT_APPROVED),
    ReviewDecision.RETURNED: (ProductState.RETURNED, EntryKind.PRODUCT_RETURNED),
    ReviewDecision.REJECTED: (ProductState.REJECTED, EntryKind.PRODUCT_REJECTED),
}


@transaction.atomic
def approve(*, product: Product, by: Membership, reason: str) -> Product:
    """Find a submitted version compliant; a registrar, another person, may then certify it.

    Raises:
        PermissionRefused: not a compliance reviewer.
        OwnSubmission: the reviewer's own, or their organisation's.
        ReviewReasonMissing: no reason, or more than 500 characters.
        InvalidTransition: the version is not under review.
    """
    return _decide(ReviewDecision.APPROVED, product, by=by, reason=reason, fields={})


@transaction.atomic
def return_(*, product: Product, by: Membership, reason: str, fields: Mapping[str, str]) -> Product:
    """Send a version back, with what to correct at each field.

    Raises: as `approve`; ReviewReasonMissing also when no field is named.
    """
    named = {name[:100]: text.strip()[:MAX_REASON] for name, text in fields.items() if text.strip()}
    if not named:
        raise ReviewReasonMissing("Name at least one field and what to correct there.")
    return _decide(ReviewDecision.RETURNED, product, by=by, reason=reason, fields=named)


@transaction.atomic
def reject(*, product: Product, by: Membership, reason: str) -> Product:
    """Turn a product down for good.

    Raises: as `approve`.
    """
    return _decide(ReviewDecision.REJECTED, product, by=by, reason=reason, fields={})


def _decide(
    decision: ReviewDecision, product: Product, *, by: Membership, reason: str, fields: Mapping[str, str]
) -> Product:
    check_permission(by, Permission.PRODUCT_REVIEW)
    text = reason.strip()
    if not 0 < len(text) <= MAX_REASON:
        raise ReviewReasonMissing(f"Give a reason of 1 to {MAX_REASON} characters; the provider reads it.")
    locked = moves.lock(product)
    policies.check_not_own(locked.version, by=by)
    to, kind = _OUTCOMES[decision]
    moves.move(locked, to, reason=text)
    Review.objects.create(
        version=locked.version,
        reviewer=by.user,
        role=by.role,
        decision=decision.value,
        reason=text,
        fields=dict(fields),
    )
    ledger.record(
        kind=kind,
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={
            "number": locked.number or "",
            "version": locked.version.version,
            "digest": locked.version.specification_digest,
            "reason": text,
            "fields": dict(fields),
        },
    )
    return locked
