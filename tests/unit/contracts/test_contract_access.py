"""The door: who sees which contract, and how much of it, by page and by API."""

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from contracts import policies
from contracts.access import access_contract, view_of, visible_contracts
from contracts.errors import (
    ColumnNotGranted,
    ContractNotEffective,
    ContractNotFound,
    EscrowTooLow,
    MeterExhausted,
    OperationNotAllowed,
    PurposeNotAllowed,
)
from contracts.models import Meter
from contracts.states import ContractState
from exchange.members.permissions import Role
from tests.factories import contracts as factory

pytestmark = pytest.mark.django_db


def people(agreement):
    """One person of each kind, by name."""
    exchange = factory.exchange()
    found = {
        "buyer": factory.membership(agreement.buyer, Role.BUYER),
        "provider": factory.membership(agreement.providers[0], Role.PROVIDER),
        "other buyer": factory.membership(factory.organization("Another Bank"), Role.BUYER),
        "visitor": None,
    }
    for role in (Role.SETTLEMENT_CLERK, Role.COMPLIANCE_REVIEWER, Role.AUDITOR, Role.REGISTRAR, Role.LISTING_OFFICER):
        found[role.value] = factory.membership(exchange, role)
    if agreement.compute_party:
        found["compute party"] = factory.membership(agreement.compute_party, Role.DELIVERY_PARTY)
    return found


def client_of(membership):
    client = APIClient()
    client.force_login(membership.user)
    return client


@pytest.mark.parametrize(
    ("person", "purpose", "money"),
    [
        ("buyer", True, True),
        ("provider", True, True),
        ("compute party", True, False),
        ("settlement_clerk", False, True),
        ("compliance_reviewer", True, False),
        ("auditor", True, True),
    ],
)
def test_each_sees_its_part(person, purpose, money):
    agreement = factory.contract(operation="aligned_statistics")
    by = people(agreement)[person]

    contract = access_contract(agreement.contract.ref, by=by)
    view = view_of(contract, by=by)

    assert (view.purpose, view.money) == (purpose, money)
    hidden = view.terms(contract)["purpose"]["legal_basis"] != contract.terms["purpose"]["legal_basis"]
    assert hidden is not purpose
    assert view.terms(contract)["purpose"]["code"] == "credit_risk_statistics"


@pytest.mark.parametrize("person", ["other buyer", "visitor", "registrar", "listing_officer"])
def test_to_others_it_does_not_exist(person):
    agreement = factory.contract()
    by = people(agreement)[person]

    assert not visible_contracts(by=by).exists()
    with pytest.raises(ContractNotFound):
        access_contract(agreement.contract.ref, by=by)


@pytest.mark.parametrize("reference", ["ref", "urn", "number"])
def test_a_contract_is_found_by_each_of_its_names(reference):
    agreement = factory.contract()

    found = access_contract(getattr(agreement.contract, reference), by=people(agreement)["buyer"])

    assert found == agreement.contract


def test_the_api_shows_the_signed_terms_and_hides_the_money_from_reviewers():
    agreement = factory.contract()
    who = people(agreement)
    path = f"/api/v1/contracts/{agreement.contract.ref}/"

    bank = client_of(who["buyer"]).get(path).json()
    reviewer = client_of(who["compliance_reviewer"]).get(path).json()

    assert len(bank["terms"]["proof"]) == 3
    assert bank["money"]["escrow_fen"] == 1_000_000
    assert reviewer["money"] is None
    assert client_of(who["compliance_reviewer"]).get(path + "statement/").status_code == 403
    assert client_of(who["other buyer"]).get(path).json()["code"] == "CONTRACT_NOT_FOUND"


def test_signing_and_funding_over_the_api():
    agreement = factory.contract(state=ContractState.PROPOSED)
    path = f"/api/v1/contracts/{agreement.contract.ref}/"

    for one in (*agreement.providers, agreement.buyer):
        role = Role.BUYER if one == agreement.buyer else Role.PROVIDER
        client = client_of(factory.membership(one, role))
        terms = client.get(path).json()["terms"]
        signed = {**terms, "proof": [*terms.get("proof", []), *agreement.sign(one)["proof"]]}
        answer = client.post(
            path + "signatures/", {"document": signed}, format="json", headers={"Idempotency-Key": "s"}
        )
        assert answer.status_code == 200, answer.content
    clerk = client_of(people(agreement)["settlement_clerk"])
    answers = [
        clerk.post(
            path + "deposits/",
            {"amount_fen": 200_000, "reference": "ICBC 7"},
            format="json",
            headers={"Idempotency-Key": "d"},
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json()["state"] == "effective"
    assert answers[1].json()["money"]["escrow_fen"] == 200_000
    assert client_of(people(agreement)["buyer"]).post(path + "deposits/", {}, format="json").status_code == 400


def test_a_statement_over_the_api_can_be_asked_by_month():
    agreement = factory.contract()
    client = client_of(people(agreement)["provider"])
    path = f"/api/v1/contracts/{agreement.contract.ref}/statement/"

    assert client.get(path).json()["statement"]["period"] == "all"
    assert client.get(path, {"period": "2026-11"}).json()["statement"]["totals"]["units"] == 0
    assert client.get(path, {"period": "november"}).json()["code"] == "PERIOD_INVALID"


def ask(contract, **changes):
    story = {
        "operation": "joint_statistics",
        "parameters": factory.parameters(),
        "purpose": "credit_risk_statistics",
        "now": timezone.now(),
        **changes,
    }
    policies.check_can_request(contract, **story)


def test_a_use_within_the_terms_is_allowed():
    contract = factory.contract().contract

    ask(contract)

    assert policies.can_request(contract, now=timezone.now())


@pytest.mark.parametrize(
    ("terms", "changes", "refusal"),
    [
        ({"state": ContractState.SIGNED}, {}, ContractNotEffective),
        ({}, {"now": factory.LATER}, ContractNotEffective),
        ({}, {"purpose": "marketing"}, PurposeNotAllowed),
        ({}, {"operation": "aligned_statistics"}, OperationNotAllowed),
        ({}, {"parameters": {**factory.parameters(), "values": ["salary"]}}, ColumnNotGranted),
        ({"escrow_fen": 1}, {}, EscrowTooLow),
    ],
    ids=["state", "term", "purpose", "operation", "column", "escrow"],
)
def test_a_use_outside_the_terms_is_refused(terms, changes, refusal):
    contract = factory.contract(**terms).contract

    with pytest.raises(refusal):
        ask(contract, **changes)


def test_without_quota_left_nothing_is_asked():
    agreement = factory.contract(limit=1)
    Meter.objects.filter(contract=agreement.contract).update(reserved=1)
    agreement.contract.refresh_from_db()

    with pytest.raises(MeterExhausted):
        ask(agreement.contract)
    assert not policies.can_request(agreement.contract, now=timezone.now())
