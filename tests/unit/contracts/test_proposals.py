"""Proposals: listed products and a buyer's choices become frozen terms; everything else is refused."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from compute.protocol import terms as protocol
from contracts.actions import proposals
from contracts.errors import PartyKeysMissing, ProductNotOffered
from contracts.models import Contract, ContractParty, Meter
from contracts.terms import Choices, ProposalInvalid
from exchange.kernel.errors import DomainError, PermissionRefused
from exchange.members.models import SigningKey
from exchange.members.permissions import Role
from ledger.models import Entry
from listings.models import Column, Product, ProductVersion, RegistrationCertificate
from tests.factories import contracts as factory

pytestmark = pytest.mark.django_db


def product(name, number, *, state="listed"):
    """A certified product of a provider, with two computable columns and one that is not."""
    provider = factory.organization(name, kinds=("provider",))
    user = factory.membership(provider, Role.PROVIDER).user
    made = Product.objects.create(
        number=f"DP-HS-202611-00000{number}", provider=provider, name_zh=name[:40], name_en=name, state=state
    )
    version = ProductVersion.objects.create(
        product=made,
        version=1,
        dataset="housing_fund",
        dataset_commitment=f"{number:064x}",
        specification_digest=f"{number + 8:064x}",
        grade=2,
        created_by=user,
    )
    for position, (column, kind) in enumerate((("person_id", "text"), ("district", "category"), ("base", "decimal"))):
        Column.objects.create(version=version, position=position, name=column, title_zh=column, type=kind)
    RegistrationCertificate.objects.create(
        version=version,
        number=f"DPC-HS-202611-00000{number}",
        document={},
        record_digest="0" * 64,
        entry_ref="0" * 26,
        issued_by=user,
        issued_at=timezone.now(),
        valid_until=timezone.now() + timedelta(days=365),
    )
    made.current = version
    made.save()
    return made


def two_products():
    return [product("Chengjiang Housing Fund", 1), product("Yunling Housing Fund", 2)]


def bank():
    return factory.membership(factory.organization("Yuanshan Bank"), Role.BUYER)


def choices(**changes):
    now = timezone.now().replace(microsecond=0)
    story = {
        "operation": "joint_statistics",
        "purpose": "credit_risk_statistics",
        "effective_from": now,
        "effective_to": now + timedelta(days=30),
        "unit_price_fen": 50_000,
        **changes,
    }
    return Choices(**story)


def test_a_proposal_is_frozen_terms_that_wait_for_signatures():
    products = two_products()

    contract = proposals.propose(products=[one.ref for one in products], choices=choices(), by=bank())

    protocol.check(contract.terms)
    assert contract.state == "proposed"
    assert contract.number.startswith("DTC-HS-")
    assert [item["columns"] for item in contract.terms["objects"]] == [["district", "base"]] * 2
    assert [party.role for party in ContractParty.objects.filter(contract=contract)] == [
        "provider",
        "provider",
        "buyer",
    ]
    assert Meter.objects.get(contract=contract).limit == 20
    assert contract.terms["evidence"]["chain"] == "none"
    assert [entry.kind for entry in Entry.objects.about(contract.urn)] == ["contract.proposed"]


def test_numbers_follow_each_other():
    products = [one.number for one in two_products()]

    numbers = [proposals.propose(products=products, choices=choices(), by=bank()).number for _ in range(2)]

    assert [number[-7:-1] for number in numbers] == ["000001", "000002"]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"operation": "aligned_statistics"}, ProposalInvalid),
        ({"operation": "guess"}, DomainError),
        ({"effective_to": factory.LATER}, ProposalInvalid),
        ({"effective_to": factory.EARLIER}, DomainError),
        ({"quota_total": 1, "quota_per_day": 2}, ProposalInvalid),
        ({"columns": {"DP-X": ["base"]}}, ProposalInvalid),
        ({"columns": {"DP-HS-202611-000001": ["person_id"]}}, ProposalInvalid),
        ({"min_cell": 9}, DomainError),
        ({"unit_price_fen": -1}, DomainError),
        ({"unit": "per_subject"}, ProposalInvalid),  # a statistic names no persons
        ({"unit": "per_moon"}, ProposalInvalid),
    ],
)
def test_choices_that_make_no_contract_are_refused(changes, refusal):
    products = [one.ref for one in two_products()]

    with pytest.raises(refusal):
        proposals.propose(products=products, choices=choices(**changes), by=bank())

    assert not Contract.objects.exists()


def test_only_what_is_listed_by_members_with_keys_is_sold():
    first, second = two_products()
    suspended = product("Third Fund", 3, state="suspended")

    with pytest.raises(ProductNotOffered):
        proposals.propose(products=[first.ref, suspended.ref], choices=choices(), by=bank())
    with pytest.raises(ProposalInvalid):
        proposals.propose(products=[first.ref], choices=choices(), by=bank())
    provider = factory.membership(first.provider, Role.PROVIDER)
    with pytest.raises(PermissionRefused):
        proposals.propose(products=[first.ref, second.ref], choices=choices(), by=provider)
    SigningKey.objects.filter(organization=second.provider, purpose="chain").update(revoked_at=timezone.now())
    with pytest.raises(PartyKeysMissing):
        proposals.propose(products=[first.ref, second.ref], choices=choices(), by=bank())


def test_the_buyer_proposes_over_the_api_with_little_said():
    products, client = two_products(), APIClient()
    client.force_login(bank().user)
    body = {
        "products": [one.ref for one in products],
        "operation": "joint_statistics",
        "purpose": {"code": "credit_risk_statistics", "legal_basis": "PIPL 13(1)(3)"},
        "unit_price_fen": 50_000,
        "quota": {"total": 7, "per_day": 3},
    }

    answer = client.post("/api/v1/contracts/", body, format="json", headers={"Idempotency-Key": "p"})
    again = client.post("/api/v1/contracts/", body, format="json", headers={"Idempotency-Key": "p"})

    assert answer.status_code == 201, answer.content
    assert again.json()["ref"] == answer.json()["ref"]
    assert answer.json()["terms"]["quota"] == {"total": 7, "per_day": 3, "rate_per_minute": 10}
    assert client.post("/api/v1/contracts/", {"products": []}, format="json").status_code == 400
