"""Grants say what the terms say; a revocation ends the contract at once, for everybody."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from django.utils import timezone

from compute.protocol import documents
from contracts.actions import grants, lifecycle, meters, revocations
from contracts.errors import (
    ChainUnavailable,
    ContractRevoked,
    GrantInvalid,
    RevocationInvalid,
    SignatureRefused,
    SignerNotParty,
)
from contracts.models import Contract, Grant, Revocation
from contracts.policies import check_effective
from contracts.signals import contract_revoked
from contracts.states import ContractState
from exchange.kernel.errors import PermissionRefused
from exchange.members.permissions import Role
from ledger.models import ChainDeployment, ChainRecord, ChainRecordState, Log
from ledger.proofs import grants as chain
from ledger.proofs import statements, typed_data
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = pytest.mark.django_db
PLACE = {"chain_id": 31337, "contract_address": "0x5FbDB2315678afecb367f032d93F642f64180aa3"}


@pytest.fixture
def deployment():
    Log.objects.update_or_create(
        pk=1, defaults={"origin": "hengshu.example/test", "vkey": "", "size": 0, "root": "0" * 64, "epoch": 1}
    )
    return ChainDeployment.objects.create(**PLACE, genesis_hash="0x" + "1" * 64, code_hash="0x" + "2" * 64, epoch=1)


def provider_of(agreement, index=0):
    return factory.membership(agreement.providers[index], Role.PROVIDER)


def signed_grant(agreement, index=0, **changes):
    provider = agreement.providers[index]
    wanted = grants.expected(agreement.contract, organization=provider.urn)
    fields = {**wanted, **changes}
    fields.pop("grantor")
    return chain.sign_grant(key=agreement.keys_of(provider).chain, **fields)


def confirm_all():
    ChainRecord.objects.filter(kind="grant").update(state=ChainRecordState.CONFIRMED, confirmed_at=timezone.now())


def revocation(agreement, index=0, *, sequence=1, signer=None, **changes):
    provider = agreement.providers[index]
    document = documents.revocation(
        contract=agreement.contract.urn,
        terms_digest=agreement.contract.terms_digest,
        organization=provider.urn,
        sequence=sequence,
        issued=datetime(2026, 11, 21, tzinfo=UTC),
        reason="no longer wanted",
    )
    key = (signer or agreement.keys_of(provider)).document
    return statements.sign({**document, **changes}, key=key, created="2026-11-21T06:00:00Z")


def test_a_contract_waits_for_every_providers_grant_to_stand_on_the_chain(deployment):
    agreement = factory.contract(state=ContractState.SIGNED, chain=True)
    for index in (0, 1):
        grants.grant(
            contract=agreement.contract, document=signed_grant(agreement, index), by=provider_of(agreement, index)
        )

    lifecycle.advance()
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.FUNDED
    ChainRecord.objects.filter(key=Grant.objects.first().record_key).update(
        state=ChainRecordState.CONFIRMED, confirmed_at=timezone.now()
    )
    lifecycle.advance()
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.FUNDED
    confirm_all()
    lifecycle.advance()

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE
    assert set(Grant.objects.values_list("state", flat=True)) == {"active"}


def test_a_confirmation_that_is_taken_back_shows(deployment):
    agreement = factory.contract(chain=True)
    grants.grant(contract=agreement.contract, document=signed_grant(agreement), by=provider_of(agreement))
    confirm_all()
    lifecycle.advance()
    ChainRecord.objects.update(state=ChainRecordState.PENDING)

    lifecycle.advance()

    assert Grant.objects.get().state == "pending"


def test_each_charge_raises_the_total_under_every_grant(deployment):
    agreement = factory.contract(chain=True)
    for index in (0, 1):
        grants.grant(
            contract=agreement.contract, document=signed_grant(agreement, index), by=provider_of(agreement, index)
        )

    for number in (1, 2):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)
        meters.commit(subject=subject(number), units=1, report_digests=["a" * 64])
        meters.commit(subject=subject(number), units=1, report_digests=["a" * 64])

    totals = sorted(record.payload["used"] for record in ChainRecord.objects.filter(kind="meter"))
    assert totals == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"cap": 21},
        {"not_before": 1},
        {"not_after": 99},
        {"chain_id": 1},
        {"terms_digest": "0" * 64},
        {"contract_address": "0x" + "1" * 40},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_grant_that_says_something_else_is_refused(deployment, changes):
    agreement = factory.contract(state=ContractState.SIGNED, chain=True)

    with pytest.raises(GrantInvalid):
        grants.grant(
            contract=agreement.contract, document=signed_grant(agreement, **changes), by=provider_of(agreement)
        )

    assert not Grant.objects.exists()


def test_a_grant_signed_by_another_key_is_refused(deployment):
    agreement = factory.contract(state=ContractState.SIGNED, chain=True)
    document = {**signed_grant(agreement), "signature": signed_grant(agreement, 1)["signature"]}

    with pytest.raises(GrantInvalid):
        grants.grant(contract=agreement.contract, document=document, by=provider_of(agreement))


def test_the_same_grant_again_is_the_first_one(deployment):
    agreement = factory.contract(state=ContractState.SIGNED, chain=True)
    document = signed_grant(agreement)

    first = grants.grant(contract=agreement.contract, document=document, by=provider_of(agreement))

    assert grants.grant(contract=agreement.contract, document=document, by=provider_of(agreement)) == first
    assert ChainRecord.objects.count() == 1


def test_only_providers_grant_and_only_where_there_is_a_chain(deployment):
    agreement = factory.contract(state=ContractState.SIGNED, chain=True)
    without = factory.contract(state=ContractState.SIGNED)

    with pytest.raises(SignerNotParty):
        grants.grant(
            contract=agreement.contract,
            document=signed_grant(agreement),
            by=factory.membership(agreement.buyer, Role.BUYER),
        )
    with pytest.raises(ChainUnavailable):
        grants.expected(without.contract, organization=agreement.providers[0].urn)


def test_a_revocation_ends_the_contract_at_once_and_tells_the_apps_above():
    agreement, heard = factory.contract(), []

    def listen(sender, *, contract, organization, **_):
        heard.append((contract.pk, organization.pk))

    contract_revoked.connect(listen)
    try:
        revocations.revoke(contract=agreement.contract, document=revocation(agreement), by=provider_of(agreement))
    finally:
        contract_revoked.disconnect(listen)

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.REVOKED
    assert heard == [(agreement.contract.pk, agreement.providers[0].pk)]
    with pytest.raises(ContractRevoked):
        check_effective(agreement.contract, now=timezone.now())
    with pytest.raises(ContractRevoked), transaction.atomic():
        meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)


def test_revoking_twice_with_one_document_is_revoking_once():
    agreement = factory.contract()
    document = revocation(agreement)

    first = revocations.revoke(contract=agreement.contract, document=document, by=provider_of(agreement))

    assert revocations.revoke(contract=agreement.contract, document=document, by=provider_of(agreement)) == first
    assert Revocation.objects.count() == 1


def test_the_other_provider_may_revoke_too_and_numbers_only_grow():
    agreement = factory.contract()
    for index in (0, 1):
        revocations.revoke(
            contract=agreement.contract,
            document=revocation(agreement, index, sequence=5),
            by=provider_of(agreement, index),
        )

    with pytest.raises(RevocationInvalid):
        revocations.revoke(
            contract=agreement.contract, document=revocation(agreement, sequence=4), by=provider_of(agreement)
        )
    assert Revocation.objects.count() == 2


def test_a_revocation_for_something_else_or_by_somebody_else_is_refused():
    agreement, other = factory.contract(), factory.contract()
    by = provider_of(agreement)

    with pytest.raises(RevocationInvalid):
        revocations.revoke(contract=other.contract, document=revocation(agreement), by=by)
    with pytest.raises(RevocationInvalid):
        revocations.revoke(contract=agreement.contract, document=revocation(agreement, 1), by=by)
    strangers = revocation(agreement, signer=factory.keys("a stranger"))
    changed = {**revocation(agreement), "reason": "another reason"}
    for document in (strangers, changed):
        with pytest.raises(SignatureRefused):
            revocations.revoke(contract=agreement.contract, document=document, by=by)
    buyer = factory.membership(agreement.buyer, Role.BUYER)
    with pytest.raises(PermissionRefused):
        revocations.revoke(contract=agreement.contract, document=revocation(agreement), by=buyer)

    assert Contract.objects.get(pk=agreement.contract.pk).state == ContractState.EFFECTIVE


def test_with_a_chain_signature_the_grant_ends_on_the_chain_too(deployment):
    agreement = factory.contract(chain=True)
    made = grants.grant(contract=agreement.contract, document=signed_grant(agreement), by=provider_of(agreement))
    digest = chain.revoke_digest(**PLACE, grant=made.grant_id)
    good = typed_data.sign(digest, key=agreement.keys_of(agreement.providers[0]).chain)
    wrong = typed_data.sign(digest, key=agreement.keys_of(agreement.providers[1]).chain)

    with pytest.raises(SignatureRefused), transaction.atomic():
        revocations.revoke(
            contract=agreement.contract,
            document=revocation(agreement),
            by=provider_of(agreement),
            chain_signature=wrong,
        )
    revocations.revoke(
        contract=agreement.contract, document=revocation(agreement), by=provider_of(agreement), chain_signature=good
    )

    assert ChainRecord.objects.get(kind="revoke").payload == {"grant_id": made.grant_id, "signature": good}
    assert Grant.objects.get().state == "revoked"
