"""The desk shows each role its own work, and nobody else anything."""

import pytest

from exchange.desk import queues
from exchange.desk.forms import DepositForm, ReturnForm
from exchange.members.permissions import Role
from tests.factories import listings, members

pytestmark = pytest.mark.django_db

PAGES = ("/desk/", "/desk/organizations/", "/desk/products/", "/desk/computations/", "/desk/deposits/", "/desk/health/")
MAY = {
    Role.ADMISSION_OFFICER: {"/desk/", "/desk/organizations/"},
    Role.COMPLIANCE_REVIEWER: {"/desk/", "/desk/products/", "/desk/computations/"},
    Role.REGISTRAR: {"/desk/", "/desk/products/"},
    Role.LISTING_OFFICER: {"/desk/", "/desk/products/"},
    Role.SETTLEMENT_CLERK: {"/desk/", "/desk/deposits/"},
    Role.OPS: {"/desk/", "/desk/health/"},
    Role.AUDITOR: set(PAGES),
    Role.PROVIDER: set(),
    Role.BUYER: set(),
}


@pytest.mark.parametrize("role", list(MAY), ids=str)
def test_each_role_opens_its_own_pages_only(client, role):
    client.force_login(members.membership(role).user)

    opened = {path for path in PAGES if client.get(path).status_code == 200}

    assert opened == MAY[role]


def test_a_visitor_is_sent_to_sign_in(client):
    for path in PAGES:
        assert client.get(path).url.startswith("/accounts/login/")


def test_the_queue_of_products_is_that_of_the_readers_role():
    submitted, approved = listings.submitted(), listings.approved(name_zh="另一产品")

    def queue(role: Role) -> list[str]:
        return [one.ref for one in queues.products_to_do(by=members.membership(role))]

    assert queue(Role.COMPLIANCE_REVIEWER) == [submitted.ref]
    assert queue(Role.REGISTRAR) == [approved.ref]
    assert queue(Role.LISTING_OFFICER) == []
    assert queue(Role.AUDITOR) == [submitted.ref, approved.ref]


def test_a_reviewer_who_is_no_registrar_cannot_certify(client):
    product = listings.approved()
    client.force_login(members.membership(Role.COMPLIANCE_REVIEWER).user)

    answer = client.post(f"/desk/products/{product.ref}/", {"decision": "certify"})

    product.refresh_from_db()
    assert product.state == "approved"
    assert "您的角色不包含这一步" in answer.content.decode()


def test_an_unknown_decision_changes_nothing(client):
    product = listings.submitted()
    client.force_login(members.membership(Role.COMPLIANCE_REVIEWER).user)

    client.post(f"/desk/products/{product.ref}/", {"decision": "explode", "reason": "x"})

    product.refresh_from_db()
    assert product.state == "submitted"


def test_the_figures_of_the_desk_count_what_waits():
    officer = members.membership(Role.ADMISSION_OFFICER)
    members.organization(status=members.OrganizationStatus.APPLIED)

    assert queues.desks(by=officer) == [queues.Desk("organizations", 1, is_mine=True)]


def test_yuan_become_fen_exactly():
    form = DepositForm({"amount": "1234567890.29", "reference": "B1"})

    assert form.is_valid()
    assert form.amount_fen() == 123_456_789_029


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "1e5x", "NaN", ""])
def test_what_is_no_amount_is_refused(amount):
    assert not DepositForm({"amount": amount, "reference": "B1"}).is_valid()


def test_a_return_names_only_rows_that_were_filled():
    form = ReturnForm({"reason": "r", "field_1": "rights", "text_1": "缺期限", "field_2": "sample", "text_2": ""})

    assert form.is_valid()
    assert form.by_field() == {"rights": "缺期限"}
