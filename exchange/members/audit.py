"""What members' rows owe the log: organisations, keys and roles."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, OuterRef

from exchange.members.actions.memberships import KIND_ROLES
from exchange.members.models import Membership, Organization, SigningKey
from exchange.members.states import ORGANIZATION, MerchantKind, OrganizationStatus
from ledger.audits.counterparts import SUBJECT, Counterpart, Owed, Standing, Stands, in_order, table_of, urn
from ledger.kinds import EntryKind


def _applications() -> Iterator[Owed]:
    for row in in_order(Organization.objects.filter(is_exchange=False), urn("org", "ref")):
        yield Owed(row.token, row.token, row.ref, {"uscc": row.uscc})


def _statuses() -> Iterator[Stands]:
    for row in in_order(Organization.objects.all(), urn("org", "ref")):
        facts = {"uscc": row.uscc} if row.is_exchange else {}
        yield Stands(row.token, row.status, row.ref, facts)


def _keys() -> Iterator[Owed]:
    for row in in_order(SigningKey.objects.all(), urn("org", "organization__ref")):
        yield Owed(row.token, row.token, row.ref, {"key": row.ref, "purpose": row.purpose, "value": row.value})


def _revoked_keys() -> Iterator[Owed]:
    rows = SigningKey.objects.filter(revoked_at__isnull=False)
    for row in in_order(rows, urn("org", "organization__ref")):
        yield Owed(row.token, row.token, row.ref, {"purpose": row.purpose, "value": row.value})


def _rotated_keys() -> Iterator[Owed]:
    """A key in force ends by a rotation, or is withdrawn; only a rotation gives it an end of validity."""
    rows = SigningKey.objects.filter(valid_to__isnull=False)
    for row in in_order(rows, urn("org", "organization__ref")):
        yield Owed(row.token, row.token, row.ref, {"purpose": row.purpose, "value": row.value})


def _granted_roles() -> Iterator[Owed]:
    """Roles that were given. Who applies acts in the roles of the kinds; that entry is the application's."""
    earlier = Membership.objects.filter(
        organization=OuterRef("organization"), role=OuterRef("role"), pk__lt=OuterRef("pk")
    )
    rows = Membership.objects.select_related("organization").annotate(is_first=~Exists(earlier))
    for row in in_order(rows, urn("org", "organization__ref")):
        of_kind = {KIND_ROLES[MerchantKind(kind)].value for kind in row.organization.kinds if kind in set(MerchantKind)}
        applied = row.is_first and not row.organization.is_exchange and row.role in of_kind
        yield _role(row, optional=applied)


def _ended_roles() -> Iterator[Owed]:
    for row in in_order(Membership.objects.filter(ended_at__isnull=False), urn("org", "organization__ref")):
        yield _role(row)


def _role(row: Any, *, optional: bool = False) -> Owed:
    return Owed(row.token, row.token, row.ref, {"membership": row.ref, "role": row.role}, optional=optional)


_S = OrganizationStatus
_E = EntryKind

COUNTERPARTS = (
    Counterpart(table_of(Organization), (_E.ORGANIZATION_APPLIED,), _applications, by=SUBJECT),
    Standing(
        table=table_of(Organization),
        states={
            _E.ORGANIZATION_APPLIED: _S.APPLIED,
            _E.ORGANIZATION_VERIFYING: _S.IN_VERIFICATION,
            _E.ORGANIZATION_MORE_INFO: _S.MORE_INFO,
            _E.ORGANIZATION_ADMITTED: _S.ADMITTED,
            _E.ORGANIZATION_SUSPENDED: _S.SUSPENDED,
            _E.ORGANIZATION_REJECTED: _S.REJECTED,
            _E.ORGANIZATION_WITHDRAWN: _S.WITHDRAWN,
        },
        rows=_statuses,
        transitions=ORGANIZATION,
        start=frozenset({_S.APPLIED, _S.ADMITTED}),  # the exchange itself begins as a member
    ),
    Counterpart(table_of(SigningKey), (_E.KEY_REGISTERED,), _keys, by=SUBJECT),
    Counterpart(table_of(SigningKey), (_E.KEY_ROTATED,), _rotated_keys, by=SUBJECT),
    Counterpart(table_of(SigningKey), (_E.KEY_REVOKED,), _revoked_keys, by=SUBJECT),
    Counterpart(table_of(Membership), (_E.ROLE_GRANTED,), _granted_roles, by=SUBJECT),
    Counterpart(table_of(Membership), (_E.ROLE_WITHDRAWN,), _ended_roles, by=SUBJECT),
)
