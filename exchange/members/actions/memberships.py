"""Who acts for whom, in which role."""

from django.db import transaction
from django.utils import timezone

from exchange.kernel.errors import PermissionRefused
from exchange.members.errors import OwnAffair, RoleUnsuited
from exchange.members.exchange_keys import exchange_organization
from exchange.members.models import Membership, Organization, User
from exchange.members.permissions import MEMBER_ROLES, STAFF_ROLES, Permission, Role, check_permission
from exchange.members.states import MerchantKind
from ledger import actions as ledger
from ledger.kinds import EntryKind

# What a person of such an organisation does by default.
KIND_ROLES = {
    MerchantKind.SUPPLIER: Role.PROVIDER,
    MerchantKind.DEMANDER: Role.BUYER,
    MerchantKind.DELIVERY: Role.DELIVERY_PARTY,
    MerchantKind.ASSESSMENT: Role.QUALITY_ASSESSOR,
    MerchantKind.INTERMEDIARY: Role.BROKER,
    MerchantKind.CONSULTING: Role.COMPLIANCE_ASSESSOR,
    MerchantKind.OTHER: Role.SOURCE_UNIT,
}
# Which roles need which kind of organisation; the others suit any member.
_NEEDS = {
    Role.PROVIDER: MerchantKind.SUPPLIER,
    Role.OPERATOR: MerchantKind.SUPPLIER,
    Role.BUYER: MerchantKind.DEMANDER,
    Role.DELIVERY_PARTY: MerchantKind.DELIVERY,
    Role.BROKER: MerchantKind.INTERMEDIARY,
}


@transaction.atomic
def grant(*, user: User, organization: Organization, role: Role, by: Membership | None) -> Membership:
    """Let a person act for an organisation.

    Args:
        by: a colleague of that organisation, or for the exchange's staff somebody who manages staff; None when
            the exchange itself is set up.
    Raises:
        OwnAffair: nobody gives a role to themselves.
        RoleUnsuited: a staff role outside the exchange, or a member role inside, or not of its kinds.
        PermissionRefused: `by` may not.
    Idempotent: a role that is held already is returned.
    """
    _check_suits(organization, role)
    if by is not None:
        _check_may_manage(by, organization)
        if by.user_id == user.pk:
            raise OwnAffair("Nobody gives a role to themselves; ask a colleague.")
    membership, is_new = Membership.objects.get_or_create(
        user=user, organization=organization, role=role.value, ended_at=None
    )
    if is_new:
        _record(EntryKind.ROLE_GRANTED, membership, by)
    return membership


@transaction.atomic
def end(*, membership: Membership, by: Membership) -> None:
    """Stop a person acting for an organisation; tokens issued for it stop too.

    Raises:
        PermissionRefused: `by` may not.
    Idempotent: an ended membership stays as it is.
    """
    _check_may_manage(by, membership.organization)
    now = timezone.now()
    if Membership.objects.filter(pk=membership.pk, ended_at__isnull=True).update(ended_at=now):
        membership.api_tokens.filter(revoked_at__isnull=True).update(revoked_at=now)
        _record(EntryKind.ROLE_WITHDRAWN, membership, by)


def _check_suits(organization: Organization, role: Role) -> None:
    wanted = STAFF_ROLES if organization.is_exchange else MEMBER_ROLES
    needed = _NEEDS.get(role)
    if role not in wanted or (needed is not None and needed.value not in organization.kinds):
        raise RoleUnsuited(f"The role {role} does not belong to this kind of organisation; choose another.")


def _check_may_manage(by: Membership, organization: Organization) -> None:
    if organization.is_exchange:
        check_permission(by, Permission.STAFF_MANAGE)
        return
    check_permission(by, Permission.MEMBERSHIP_MANAGE)
    if by.organization_id != organization.pk:
        raise PermissionRefused("Only a colleague of that organisation can do this.")


def _record(kind: EntryKind, membership: Membership, by: Membership | None) -> None:
    issuer = by.organization if by is not None else exchange_organization()
    ledger.record(
        kind=kind,
        subject=membership.organization.urn,
        issuer=issuer.urn,
        payload={"membership": membership.ref, "role": membership.role},
    )
