"""Admission: applying, being checked, let in, held back, let go. Every decision carries a reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from exchange.kernel import identifiers
from exchange.kernel.errors import InvalidInput
from exchange.members.actions import keys
from exchange.members.actions.memberships import KIND_ROLES
from exchange.members.errors import OrganizationExists, OwnAffair, ReasonMissing
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Membership, Organization, User
from exchange.members.permissions import Permission, check_permission
from exchange.members.states import ORGANIZATION, MerchantKind, OrganizationStatus
from ledger import actions as ledger
from ledger.kinds import EntryKind

MAX_REASON = 500

_ENTRY_KINDS = {
    OrganizationStatus.IN_VERIFICATION: EntryKind.ORGANIZATION_VERIFYING,
    OrganizationStatus.MORE_INFO: EntryKind.ORGANIZATION_MORE_INFO,
    OrganizationStatus.ADMITTED: EntryKind.ORGANIZATION_ADMITTED,
    OrganizationStatus.SUSPENDED: EntryKind.ORGANIZATION_SUSPENDED,
    OrganizationStatus.REJECTED: EntryKind.ORGANIZATION_REJECTED,
    OrganizationStatus.WITHDRAWN: EntryKind.ORGANIZATION_WITHDRAWN,
}


@transaction.atomic
def apply(
    *,
    by: User,
    name_zh: str,
    name_en: str,
    uscc: str,
    kinds: Sequence[str],
    card: Mapping[str, Any] | None = None,
    business_status: Mapping[str, Any] | None = None,
    contact: Mapping[str, Any] | None = None,
) -> Organization:
    """Ask for admission; the person who applies acts for the organisation in the roles of its kinds.

    Args:
        kinds: what it will do here, as `MerchantKind` words; at least one.
        card: the signed key card; may follow later.
    Raises:
        InvalidInput: an empty name, a wrong credit code, or an unknown kind.
        OrganizationExists: the credit code takes part already.
        KeyCardInvalid, KeyTaken: as `keys.register`.
    """
    _check_identity(name_zh=name_zh, name_en=name_en, uscc=uscc, kinds=kinds)
    organization = _create(
        name_zh=name_zh.strip(),
        name_en=name_en.strip(),
        uscc=uscc,
        kinds=sorted(set(kinds)),
        business_status=dict(business_status or {}),
        contact=dict(contact or {}),
    )
    for role in dict.fromkeys(KIND_ROLES[MerchantKind(kind)] for kind in organization.kinds):
        Membership.objects.create(user=by, organization=organization, role=role)
    ledger.record(
        kind=EntryKind.ORGANIZATION_APPLIED,
        subject=organization.urn,
        issuer=organization.urn,
        payload={"uscc": uscc, "name_zh": organization.name_zh, "kinds": organization.kinds},
    )
    if card is not None:
        keys.register(organization=organization, card=card)
    return organization


@transaction.atomic
def verify(*, organization: Organization, by: Membership) -> Organization:
    """Take an application up, or again after more information came.

    Raises: as `admit`, without a reason.
    """
    return _decide(organization, OrganizationStatus.IN_VERIFICATION, by=by, reason="")


@transaction.atomic
def ask_for_more(*, organization: Organization, by: Membership, reason: str) -> Organization:
    """Send an application back with what is missing.

    Raises: as `admit`.
    """
    return _decide(organization, OrganizationStatus.MORE_INFO, by=by, reason=_reason(reason))


@transaction.atomic
def admit(*, organization: Organization, by: Membership, reason: str) -> Organization:
    """Let an organisation take part, or take part again after a suspension.

    Raises:
        PermissionRefused: not an admission officer.
        OwnAffair: the officer acts for the organisation too.
        ReasonMissing: no reason, or more than 500 characters.
        InvalidTransition: it cannot be admitted from where it stands.
    Idempotent: admitting a member again changes nothing.
    """
    return _decide(organization, OrganizationStatus.ADMITTED, by=by, reason=_reason(reason))


@transaction.atomic
def reject(*, organization: Organization, by: Membership, reason: str) -> Organization:
    """Turn an application down for good; a new one may follow.

    Raises: as `admit`.
    """
    return _decide(organization, OrganizationStatus.REJECTED, by=by, reason=_reason(reason))


@transaction.atomic
def suspend(*, organization: Organization, by: Membership, reason: str) -> Organization:
    """Hold a member back: no new product, contract or run until it is admitted again.

    Raises: as `admit`.
    """
    return _decide(organization, OrganizationStatus.SUSPENDED, by=by, reason=_reason(reason))


@transaction.atomic
def withdraw(*, organization: Organization, by: Membership, reason: str) -> Organization:
    """Let a member leave; staff carry it out at the member's request.

    Raises: as `admit`.
    """
    return _decide(organization, OrganizationStatus.WITHDRAWN, by=by, reason=_reason(reason))


@transaction.atomic
def found_exchange(*, name_zh: str, name_en: str, uscc: str, card: Mapping[str, Any]) -> Organization:
    """Make the exchange's own organisation and register its keys; part of setting an exchange up.

    Idempotent: an exchange that is there stays as it is.
    """
    existing = Organization.objects.filter(is_exchange=True).first()
    if existing is not None:
        return existing
    _check_identity(name_zh=name_zh, name_en=name_en, uscc=uscc, kinds=[MerchantKind.OTHER])
    organization = _create(
        name_zh=name_zh,
        name_en=name_en,
        uscc=uscc,
        kinds=[MerchantKind.OTHER.value],
        is_exchange=True,
        status=OrganizationStatus.ADMITTED.value,
    )
    ledger.record(
        kind=EntryKind.ORGANIZATION_ADMITTED,
        subject=organization.urn,
        issuer=organization.urn,
        payload={"uscc": uscc, "name_zh": name_zh, "reason": "the exchange itself"},
    )
    keys.register(organization=organization, card=card)
    return organization


def _decide(organization: Organization, to: OrganizationStatus, *, by: Membership, reason: str) -> Organization:
    check_permission(by, Permission.ORGANIZATION_REVIEW)
    locked = Organization.objects.locked().get(pk=organization.pk)
    if locked.is_exchange or Membership.objects.of(by.user).filter(organization=locked).exists():
        raise OwnAffair("You act for this organisation yourself; a colleague must decide.")
    if locked.status == to:
        return locked
    ORGANIZATION.check(OrganizationStatus(locked.status), to)
    now = timezone.now()
    locked.status, locked.status_since, locked.status_reason = to.value, now, reason
    locked.decided_by, locked.decided_at = by.user, now
    locked.save(update_fields=["status", "status_since", "status_reason", "decided_by", "decided_at"])
    ledger.record(
        kind=_ENTRY_KINDS[to],
        subject=locked.urn,
        issuer=exchange_organization().urn,
        payload={"status": to.value, "reason": reason, "role": by.role},
    )
    return locked


def _reason(reason: str) -> str:
    text = reason.strip()
    if not 0 < len(text) <= MAX_REASON:
        raise ReasonMissing(f"Give a reason of 1 to {MAX_REASON} characters; the organisation reads it.")
    return text


def _check_identity(*, name_zh: str, name_en: str, uscc: str, kinds: Sequence[str]) -> None:
    fields = {}
    for name, value in (("name_zh", name_zh), ("name_en", name_en)):
        if not 0 < len(value.strip()) <= 200:
            fields[name] = "must have 1 to 200 characters"
    if not identifiers.uscc_is_valid(uscc):
        fields["uscc"] = "must be an 18-character unified social credit code with the right check character"
    if not kinds or any(kind not in list(MerchantKind) for kind in kinds):
        fields["kinds"] = f"must name at least one of {', '.join(MerchantKind)}"
    if fields:
        raise InvalidInput("Correct the marked fields and apply again.", fields=fields)


def _create(**fields: Any) -> Organization:
    try:
        with transaction.atomic():
            return Organization.objects.create(**fields)
    except IntegrityError:
        raise OrganizationExists("An organisation with this credit code takes part or has applied already.") from None
