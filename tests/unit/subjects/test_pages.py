"""Who sees which objections on which page, and that no page says who objects or to what."""

import pytest
from django.test import Client

from exchange.members.permissions import Role
from tests.factories.compute import member
from tests.factories.objections import DISPUTED, IDENTIFIER, Subject

pytestmark = pytest.mark.django_db
OWN, DESK = "/objections/", "/desk/objections/"


@pytest.fixture
def subject():
    return Subject()


def page(membership, path):
    http = Client(headers={"Accept-Language": "en"})
    http.force_login(membership.user)
    return http.get(path)


def test_a_provider_sees_its_own_and_hears_of_them_on_its_workplace(subject):
    filed = subject.file()
    other = member(subject.world.organizations["fund-b"], Role.PROVIDER)

    own, others = page(subject.world.provider, OWN), page(other, OWN)
    workplace = page(subject.world.provider, "/workplace/").content.decode()

    assert [one.pk for one in own.context["page"]] == [filed.pk]
    assert list(others.context["page"]) == []
    assert "answer an objection by" in workplace
    assert filed.last_day in workplace
    assert "answer an objection by" not in page(other, "/workplace/").content.decode()


def test_an_answered_one_waits_for_nobody(subject):
    subject.answer(subject.file())

    assert "answer an objection by" not in page(subject.world.provider, "/workplace/").content.decode()
    assert "Record corrected" in page(subject.world.provider, OWN).content.decode()


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.SUPERVISOR, Role.COMPLIANCE_REVIEWER])
def test_oversight_sees_all_and_nothing_of_the_person(subject, role):
    subject.file()

    answer = page(member(subject.world.exchange, role), DESK)

    assert answer.status_code == 200
    assert not any(secret in answer.content.decode() for secret in (IDENTIFIER, DISPUTED, subject.token.hex()))
    assert len(answer.context["page"].object_list) == 1


def test_nobody_else_sees_them(subject):
    filed = subject.file()
    clerk = member(subject.world.exchange, Role.SETTLEMENT_CLERK)

    assert page(subject.world.buyer, OWN).status_code == 403
    assert page(subject.world.buyer, DESK).status_code == 403
    assert page(clerk, DESK).status_code == 403
    for path in (OWN, DESK):
        answer = Client().get(path)
        assert (answer.status_code, filed.ref in answer.content.decode()) == (302, False)
