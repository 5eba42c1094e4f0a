"""Organisations, people in their roles, and their key files."""

import itertools

from django.utils import timezone

from compute.protocol import key_documents, keyfiles
from exchange.kernel.identifiers import uscc_check_character
from exchange.members.actions import keys, organizations
from exchange.members.exchange_keys import exchange_keys
from exchange.members.models import Membership, Organization, User
from exchange.members.permissions import STAFF_ROLES, Role
from exchange.members.states import OrganizationStatus

CREATED = "2026-11-21T05:30:00Z"
PASSWORD = "correct horse battery 衡"

_count = itertools.count(1)

_KINDS = {
    Role.PROVIDER: "supplier",
    Role.OPERATOR: "supplier",
    Role.BUYER: "demander",
    Role.DELIVERY_PARTY: "delivery",
    Role.BROKER: "intermediary",
}


def uscc(serial: int | None = None) -> str:
    """An invented credit code with the right check character."""
    body = f"91990000MA{next(_count) if serial is None else serial:07d}"
    return body + uscc_check_character(body)


def exchange() -> Organization:
    """The exchange's own organisation with its keys; made once for each test."""
    return organizations.found_exchange(
        name_zh="衡数数据交易所",
        name_en="Hengshu Data Exchange",
        uscc=uscc(9_999_999),
        card=exchange_keys().card(created=CREATED),
    )


def organization(*, kinds=("supplier",), status=OrganizationStatus.ADMITTED, **fields) -> Organization:
    """An organisation without keys; admitted unless told otherwise."""
    number = next(_count)
    values = {"name_zh": f"第{number}机构", "name_en": f"Organisation {number}", "uscc": uscc()}
    return Organization.objects.create(**values | {"kinds": list(kinds), "status": status.value} | fields)


def with_keys(one: Organization, *, name: str = "member") -> keyfiles.KeyFile:
    """Make the organisation a key file and register its card; returns the key file."""
    made = keyfiles.generate(name)
    keys.register(organization=one, card=made.card(created=CREATED))
    return made


def with_new_keys(one: Organization, old: keyfiles.KeyFile, *, name: str = "member") -> keyfiles.KeyFile:
    """Rotate an organisation's keys into a new key file; returns it."""
    made = keyfiles.generate(name)
    keys.rotate(organization=one, document=rotation(one, old, made))
    return made


def rotation(one: Organization, old: keyfiles.KeyFile, new: keyfiles.KeyFile) -> dict:
    """The signed rotation of an organisation's keys."""
    return key_documents.rotate(organization=one.urn, old=old, new=new, created=timezone.now())


def revocation(one: Organization, *held: tuple[str, str], by, reason: str = "compromised") -> dict:
    """A signed revocation of keys, each as (purpose, text)."""
    return key_documents.revoke(organization=one.urn, keys=held, reason=reason, by=by, created=timezone.now())


def person(**fields) -> User:
    """A person without a password."""
    number = next(_count)
    user = User(**{"username": f"person{number}", "email": f"person{number}@example.org"} | fields)
    user.set_unusable_password()
    user.save()
    return user


def membership(role: Role = Role.PROVIDER, *, organization: Organization | None = None, user: User | None = None):
    """A person in a role: staff at the exchange, members at an organisation that suits the role."""
    place = organization
    if place is None:
        place = exchange() if role in STAFF_ROLES else globals()["organization"](kinds=(_KINDS.get(role, "other"),))
    return Membership.objects.create(user=user or person(), organization=place, role=role.value)
