"""The catalogue desk: list, hold back, take down. The certificate follows where it must."""

from django.db import transaction
from django.utils import timezone

from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger import actions as ledger
from ledger.kinds import EntryKind
from listings import policies
from listings.actions import moves
from listings.errors import ReviewReasonMissing
from listings.models import Product, RegistrationCertificate
from listings.states import CERTIFICATE, CertificateState, ProductState

MAX_REASON = 500


@transaction.atomic
def list_(*, product: Product, by: Membership) -> Product:
    """Put a certified product into the catalogue, or back after a suspension.

    Raises:
        PermissionRefused: not a listing officer.
        OwnSubmission: the officer's own, or their organisation's.
        InvalidTransition: not certified, nor suspended.
    """
    locked = _lock(product, by)
    moves.move(locked, ProductState.LISTED)
    locked.listed_at = timezone.now()
    locked.save(update_fields=["listed_at"])
    _set_certificate(locked, CertificateState.ACTIVE)
    _record(EntryKind.PRODUCT_LISTED, locked)
    return locked


@transaction.atomic
def suspend(*, product: Product, by: Membership, reason: str) -> Product:
    """Hold a listed product back at once: no new contract and no new run.

    Raises: as `list_`; ReviewReasonMissing without a reason.
    """
    locked = _lock(product, by)
    moves.move(locked, ProductState.SUSPENDED, reason=_reason(reason))
    _set_certificate(locked, CertificateState.SUSPENDED)
    _record(EntryKind.PRODUCT_SUSPENDED, locked, reason=locked.state_reason)
    return locked


@transaction.atomic
def delist(*, product: Product, by: Membership, reason: str) -> Product:
    """Take a product down for good; contracts that run come to their own end.

    Raises: as `suspend`.
    """
    locked = _lock(product, by)
    moves.move(locked, ProductState.DELISTED, reason=_reason(reason))
    _set_certificate(locked, CertificateState.CANCELLED)
    _record(EntryKind.PRODUCT_DELISTED, locked, reason=locked.state_reason)
    return locked


def _lock(product: Product, by: Membership) -> Product:
    check_permission(by, Permission.PRODUCT_LIST)
    locked = moves.lock(product)
    policies.check_not_own(locked.version, by=by)
    return locked


def _reason(reason: str) -> str:
    text = reason.strip()
    if not 0 < len(text) <= MAX_REASON:
        raise ReviewReasonMissing(f"Give a reason of 1 to {MAX_REASON} characters; the provider reads it.")
    return text


def _set_certificate(product: Product, to: CertificateState) -> None:
    certificate = RegistrationCertificate.objects.filter(version=product.version).first()
    if certificate is None or certificate.state == to:
        return
    CERTIFICATE.check(CertificateState(certificate.state), to)
    certificate.state = to.value
    certificate.save(update_fields=["state"])


def _record(kind: EntryKind, product: Product, **more: str) -> None:
    ledger.record(
        kind=kind,
        subject=product.urn,
        issuer=exchange_organization().urn,
        payload={"number": product.number or "", "version": product.version.version, **more},
    )
