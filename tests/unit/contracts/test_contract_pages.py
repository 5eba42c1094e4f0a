"""The pages of contracts answer for everybody who may see them, in both languages."""

import pytest
from django.test import Client

from contracts.actions import meters
from contracts.models import Account
from contracts.states import ContractState
from exchange.members.permissions import Role
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = pytest.mark.django_db


def client_of(organization, role):
    client = Client()
    client.force_login(factory.membership(organization, role).user)
    return client


@pytest.mark.parametrize("language", ["zh-hans", "en"])
@pytest.mark.parametrize("role", [Role.BUYER, Role.PROVIDER, Role.SETTLEMENT_CLERK, Role.COMPLIANCE_REVIEWER])
def test_list_and_contract_answer(language, role):
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    meters.commit(subject=subject(), units=1, report_digests=["a" * 64])
    place = {Role.BUYER: agreement.buyer, Role.PROVIDER: agreement.providers[0]}.get(role, factory.exchange())
    client = client_of(place, role)

    for path in ("/contracts/", f"/contracts/{agreement.contract.ref}/"):
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.status_code == 200
        assert agreement.contract.number in answer.content.decode()


def test_the_proposal_page_is_the_buyers():
    agreement = factory.contract()

    assert client_of(agreement.buyer, Role.BUYER).get("/contracts/propose/").status_code == 200
    assert client_of(agreement.providers[0], Role.PROVIDER).get("/contracts/propose/").status_code == 403


def test_the_clerk_books_a_bank_line_on_the_page():
    agreement = factory.contract(state=ContractState.SIGNED, escrow_fen=0)
    client = client_of(factory.exchange(), Role.SETTLEMENT_CLERK)
    path = f"/contracts/{agreement.contract.ref}/"

    for amount in ("1,5", "0.005", "1000.01"):
        answer = client.post(path + "deposit/", {"amount_yuan": amount, "reference": "ICBC 9"})
        assert answer.status_code == 302

    assert Account.objects.balance_of(agreement.contract, "escrow") == 100_001
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE


def test_the_buyer_takes_a_proposal_back_on_the_page():
    agreement = factory.contract(state=ContractState.PROPOSED)

    client_of(agreement.buyer, Role.BUYER).post(f"/contracts/{agreement.contract.ref}/withdraw/")

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.WITHDRAWN


def test_a_page_that_waits_is_told_when_the_contract_has_moved():
    agreement = factory.contract(state=ContractState.SIGNED, escrow_fen=0)
    client = client_of(agreement.buyer, Role.BUYER)
    path = f"/contracts/{agreement.contract.ref}/"
    seen = client.get(path).context["seen"]

    def ask():
        return client.get(path, {"seen": seen}, headers={"HX-Request": "true"})

    assert (ask().status_code, "HX-Refresh" in ask()) == (204, False)
    clerk = client_of(factory.exchange(), Role.SETTLEMENT_CLERK)
    clerk.post(path + "deposit/", {"amount_yuan": "1000.00", "reference": "ICBC 10"})
    assert ask()["HX-Refresh"] == "true"


def test_a_provider_is_told_how_its_node_learns_of_the_signed_terms():
    agreement = factory.contract()

    page = client_of(agreement.providers[0], Role.PROVIDER).get(f"/contracts/{agreement.contract.ref}/")

    assert f"hengshu contract show {agreement.contract.number} --out contract.json" in page.content.decode()
    assert f"consent standing {agreement.contract.urn}" in page.content.decode()
