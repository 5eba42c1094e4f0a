"""Signing: only the proposed terms, only by a party's valid key, once; and what follows by itself."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from contracts.actions import deposits, lifecycle, signatures
from contracts.errors import BankLineUsed, NotFundable, NotSignable, SignatureRefused, SignerNotParty, TermsChanged
from contracts.models import Account, Signature
from contracts.states import ContractState
from exchange.kernel.errors import InvalidInput, PermissionRefused
from exchange.members.models import SigningKey
from exchange.members.permissions import Role
from ledger.models import Entry
from ledger.proofs import statements
from tests.factories import contracts as factory

pytestmark = pytest.mark.django_db


def proposal(**terms):
    return factory.contract(state=ContractState.PROPOSED, **terms)


def person(agreement, organization):
    role = Role.BUYER if organization == agreement.buyer else Role.PROVIDER
    return factory.membership(organization, role)


def sign_all(agreement):
    for one in (*agreement.providers, agreement.buyer):
        signatures.sign(contract=agreement.contract, document=agreement.sign(one), by=person(agreement, one))
    agreement.contract.refresh_from_db()


def clerk():
    return factory.membership(factory.exchange(), Role.SETTLEMENT_CLERK)


def test_a_contract_is_signed_when_every_party_has_signed():
    agreement = proposal()
    provider = agreement.providers[0]

    signatures.sign(contract=agreement.contract, document=agreement.sign(provider), by=person(agreement, provider))
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.SIGNING
    sign_all(agreement)

    assert agreement.contract.state == ContractState.SIGNED
    kinds = [entry.kind for entry in Entry.objects.about(agreement.contract.urn)]
    assert kinds == ["contract.signed"] * 3 + ["contract.agreed"]
    statements.verify(
        {**agreement.contract.terms, "proof": list(Signature.objects.values_list("proof", flat=True))},
        signers=[party["document_key"] for party in agreement.contract.terms["parties"]],
    )


def test_signing_twice_is_signing_once():
    agreement = proposal()

    for _ in range(2):
        signatures.sign(
            contract=agreement.contract, document=agreement.sign(agreement.buyer), by=person(agreement, agreement.buyer)
        )

    assert Signature.objects.count() == 1
    assert Entry.objects.about(agreement.contract.urn).count() == 1


@pytest.mark.parametrize(
    ("member", "value"),
    [("number", "DTC-HS-202611-0000099"), ("price", {"currency": "CNY"}), ("type", "hengshu/contract/v2")],
)
def test_a_changed_term_is_refused(member, value):
    agreement = proposal()
    agreement.contract.terms = {**agreement.contract.terms, member: value}
    document = agreement.sign(agreement.buyer)

    with pytest.raises(TermsChanged):
        signatures.sign(contract=agreement.contract, document=document, by=person(agreement, agreement.buyer))

    assert not Signature.objects.exists()


def test_a_term_changed_after_signing_is_refused():
    agreement = proposal()
    document = agreement.sign(agreement.buyer)
    document["quota"] = {**document["quota"], "total": 21}

    with pytest.raises(TermsChanged):
        signatures.sign(contract=agreement.contract, document=document, by=person(agreement, agreement.buyer))


def test_the_signature_of_another_key_is_refused():
    agreement = proposal()
    stranger = factory.keys("a stranger")
    document = statements.sign(agreement.contract.terms, key=stranger.document, created="2026-11-21T06:00:00Z")

    with pytest.raises(SignatureRefused):
        signatures.sign(contract=agreement.contract, document=document, by=person(agreement, agreement.buyer))


def test_one_party_cannot_sign_for_another():
    agreement = proposal()
    first, second = agreement.providers

    with pytest.raises(SignatureRefused):
        signatures.sign(contract=agreement.contract, document=agreement.sign(first), by=person(agreement, second))


def test_a_proof_of_a_third_key_beside_ones_own_must_hold_too():
    agreement = proposal()
    document = agreement.sign(agreement.buyer, agreement.providers[0])
    document["proof"][1]["created"] = "2020-01-01T00:00:00Z"

    with pytest.raises(SignatureRefused):
        signatures.sign(contract=agreement.contract, document=document, by=person(agreement, agreement.buyer))


def test_a_key_that_is_no_longer_valid_does_not_sign():
    agreement = proposal()
    SigningKey.objects.filter(organization=agreement.buyer, purpose="document").update(revoked_at=timezone.now())

    with pytest.raises(SignerNotParty):
        signatures.sign(
            contract=agreement.contract, document=agreement.sign(agreement.buyer), by=person(agreement, agreement.buyer)
        )


def test_staff_sign_nothing():
    agreement = proposal()

    with pytest.raises(PermissionRefused):
        signatures.sign(contract=agreement.contract, document=agreement.sign(agreement.buyer), by=clerk())


def test_a_withdrawn_proposal_takes_no_signature():
    agreement = proposal()
    lifecycle.withdraw(contract=agreement.contract, by=person(agreement, agreement.buyer))

    with pytest.raises(NotSignable):
        signatures.sign(
            contract=agreement.contract, document=agreement.sign(agreement.buyer), by=person(agreement, agreement.buyer)
        )


def test_a_signed_contract_is_in_force_once_it_is_funded():
    agreement = proposal(unit_price_fen=50_000)
    sign_all(agreement)

    deposits.confirm(contract=agreement.contract, amount_fen=99_999, reference="ICBC 1", by=clerk())
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.SIGNED
    deposits.confirm(contract=agreement.contract, amount_fen=1, reference="ICBC 2", by=clerk())

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE
    assert Account.objects.balance_of(agreement.contract, "escrow") == 100_000


def test_a_bank_line_is_booked_once():
    agreement = factory.contract(escrow_fen=0)
    other = factory.contract(escrow_fen=0)
    for _ in range(2):
        deposits.confirm(contract=agreement.contract, amount_fen=500, reference="ICBC 1", by=clerk())

    for contract, amount in ((other.contract, 500), (agreement.contract, 501)):
        with pytest.raises(BankLineUsed), transaction.atomic():
            deposits.confirm(contract=contract, amount_fen=amount, reference="ICBC 1", by=clerk())

    assert Account.objects.balance_of(agreement.contract, "escrow") == 500


@pytest.mark.parametrize(
    ("amount", "reference"), [(0, "x"), (-5, "x"), (True, "x"), (1.5, "x"), (5, " "), (5, "y" * 101)]
)
def test_a_deposit_is_a_whole_positive_amount_with_a_reference(amount, reference):
    agreement = factory.contract(escrow_fen=0)

    with pytest.raises(InvalidInput):
        deposits.confirm(contract=agreement.contract, amount_fen=amount, reference=reference, by=clerk())


def test_only_the_clerk_confirms_money_and_only_for_a_signed_contract():
    agreement = proposal()

    with pytest.raises(PermissionRefused):
        deposits.confirm(
            contract=agreement.contract, amount_fen=1, reference="x", by=person(agreement, agreement.buyer)
        )
    with pytest.raises(NotFundable):
        deposits.confirm(contract=agreement.contract, amount_fen=1, reference="x", by=clerk())


def test_what_ends_returns_its_escrow_after_the_inspection_days():
    agreement = factory.contract(escrow_fen=70_000, effective_to=factory.EARLIER + timedelta(days=5))
    now = timezone.now()

    lifecycle.advance(now=now)
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EXPIRED
    lifecycle.advance(now=now + timedelta(days=2))
    assert Account.objects.balance_of(agreement.contract, "escrow") == 70_000
    lifecycle.advance(now=now + timedelta(days=3, seconds=1))
    lifecycle.advance(now=now + timedelta(days=4))

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.CLOSED
    assert Account.objects.balance_of(agreement.contract, "escrow") == 0
    assert Account.objects.get(kind="payable", organization=agreement.buyer).balance_fen == 70_000


def test_a_mediator_suspends_and_resumes_with_a_reason():
    agreement = factory.contract()
    mediator = factory.membership(factory.exchange(), Role.MEDIATOR)

    suspended = lifecycle.suspend(contract=agreement.contract, by=mediator, reason="objection of the provider")
    assert (suspended.state, suspended.end_reason) == (ContractState.SUSPENDED, "objection of the provider")
    with pytest.raises(InvalidInput):
        lifecycle.resume(contract=agreement.contract, by=mediator, reason="  ")
    assert lifecycle.resume(contract=agreement.contract, by=mediator, reason="settled").state == "effective"
    assert lifecycle.terminate(contract=agreement.contract, by=mediator, reason="agreed").state == "terminated"
    with pytest.raises(PermissionRefused):
        lifecycle.suspend(contract=agreement.contract, by=person(agreement, agreement.buyer), reason="x")
