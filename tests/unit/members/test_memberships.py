"""Roles: given by colleagues, suited to the organisation, never to oneself."""

import pytest
from django.core.management import call_command

from exchange.kernel.errors import PermissionRefused
from exchange.members.actions import memberships
from exchange.members.errors import ExchangeNotReady, OwnAffair, RoleUnsuited
from exchange.members.exchange_keys import exchange_keys, exchange_organization
from exchange.members.permissions import Role
from ledger.models import Entry
from tests.factories import members

pytestmark = pytest.mark.django_db


def test_a_colleague_joins_once():
    provider = members.membership(Role.PROVIDER)
    colleague = members.person()

    first = memberships.grant(user=colleague, organization=provider.organization, role=Role.PROVIDER, by=provider)
    again = memberships.grant(user=colleague, organization=provider.organization, role=Role.PROVIDER, by=provider)

    assert first == again
    assert Entry.objects.filter(kind="role.granted").count() == 1


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.BUYER, Role.DATA_SUBJECT])
def test_a_supplier_s_people_get_no_role_of_others(role):
    provider = members.membership(Role.PROVIDER)

    with pytest.raises(RoleUnsuited):
        memberships.grant(user=members.person(), organization=provider.organization, role=role, by=provider)


def test_nobody_gives_a_role_to_themselves():
    ops = members.membership(Role.OPS)

    with pytest.raises(OwnAffair):
        memberships.grant(user=ops.user, organization=ops.organization, role=Role.SETTLEMENT_CLERK, by=ops)


def test_strangers_add_nobody():
    with pytest.raises(PermissionRefused):
        memberships.grant(
            user=members.person(),
            organization=members.organization(),
            role=Role.PROVIDER,
            by=members.membership(Role.PROVIDER),
        )


def test_only_who_manages_staff_appoints_staff():
    exchange = members.exchange()

    with pytest.raises(PermissionRefused):
        memberships.grant(
            user=members.person(), organization=exchange, role=Role.AUDITOR, by=members.membership(Role.REGISTRAR)
        )
    memberships.grant(user=members.person(), organization=exchange, role=Role.AUDITOR, by=members.membership(Role.OPS))


def test_an_exchange_that_was_not_set_up_says_so():
    with pytest.raises(ExchangeNotReady):
        exchange_organization()


def test_init_exchange_makes_what_is_missing_and_keeps_what_is_there(settings, tmp_path, capsys):
    settings.EXCHANGE_KEY_FILE = tmp_path / "fresh" / "exchange.key.json"
    settings.LOG_KEY_FILE = tmp_path / "fresh" / "log.key.json"

    call_command("init_exchange")
    first = exchange_organization()
    call_command("init_exchange")

    assert exchange_organization() == first
    assert (settings.LOG_KEY_FILE.stat().st_mode & 0o777) == 0o600
    printed = capsys.readouterr().out
    assert exchange_keys().document_key in printed
