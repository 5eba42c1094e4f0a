"""What a provider sends to the chain itself takes effect here: its grant, its revocation, its void."""

import pytest
from django.utils import timezone

from contracts.actions import chain_following, grants, lifecycle
from contracts.errors import ContractRevoked
from contracts.models import Grant
from contracts.policies import check_effective
from contracts.signals import contract_revoked
from contracts.states import ContractState, GrantState
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import deployments
from ledger.backends.base import own_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.kinds import EntryKind
from ledger.models import ChainEvent, Entry
from ledger.proofs import grants as chain_grants
from tests.factories import contracts as factory
from tests.factories.ledger import exchange_key_files
from tests.unit.ledger.test_chain_events import send

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""


@pytest.fixture(params=["memory", "evm"])
def chain(request):
    return MemoryBackend() if request.param == "memory" else EVMBackend(request.getfixturevalue("chain_rpc"))


@pytest.fixture
def deployment(chain):
    return deployments.deploy(backend=chain, anchor=own_keys.log_keys(), record=own_keys.exchange_keys())


@pytest.fixture
def agreement(deployment):
    return factory.contract(chain=True, state=ContractState.SIGNED)


def direct(chain, deployment, agreement, kind, payload, *, index=0):
    keys = agreement.keys_of(agreement.providers[index])
    chain.fund(keys.chain_address)
    send(chain, deployment, own_call(kind, payload), by=keys)


def grant_directly(chain, deployment, agreement, *, index=0, **changes):
    wanted = grants.expected(agreement.contract, organization=agreement.providers[index].urn)
    direct(chain, deployment, agreement, "grant", {**wanted, **changes}, index=index)
    return chain_grants.grant_id(grantor=wanted["grantor"], terms_digest=wanted["terms_digest"])


def follow(chain) -> None:
    ledger.read_chain_events(backend=chain)


def in_force(chain, deployment, agreement) -> list[str]:
    ids = [grant_directly(chain, deployment, agreement, index=index) for index in range(len(agreement.providers))]
    follow(chain)
    lifecycle.advance()
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE
    return ids


def test_grants_sent_to_the_chain_by_their_providers_bring_the_contract_into_force(chain, deployment, agreement):
    in_force(chain, deployment, agreement)
    states = set(Grant.objects.filter(contract=agreement.contract).values_list("state", flat=True))
    assert states == {GrantState.ACTIVE}
    assert Entry.objects.filter(kind=EntryKind.CONTRACT_GRANTED).count() == len(agreement.providers)


def test_a_grant_on_the_chain_that_does_not_say_what_the_terms_say_is_not_taken(chain, deployment, agreement):
    grant_directly(chain, deployment, agreement, cap=99)
    follow(chain)
    assert ChainEvent.objects.filter(name="Granted").count() == 1
    assert not Grant.objects.filter(contract=agreement.contract).exists()


@pytest.mark.parametrize("way", ["revoke", "void"])
def test_a_revocation_sent_to_the_chain_by_its_owner_ends_the_contract_here(chain, deployment, agreement, way):
    ids = in_force(chain, deployment, agreement)
    told = []
    contract_revoked.connect(lambda **news: told.append(news["organization"]), weak=False, dispatch_uid="test.told")
    try:
        payload = {"grant_id": ids[0]} if way == "revoke" else {"digest": agreement.contract.terms_digest}
        direct(chain, deployment, agreement, way, payload)
        follow(chain)
        follow(chain)
    finally:
        contract_revoked.disconnect(dispatch_uid="test.told")

    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.REVOKED
    with pytest.raises(ContractRevoked):
        check_effective(agreement.contract, now=timezone.now())
    assert told == [agreement.providers[0]]
    noted = Entry.objects.get(kind=EntryKind.CONTRACT_REVOKED)
    assert (noted.subject, noted.issuer) == (agreement.contract.urn, agreement.providers[0].urn)
    assert Grant.objects.get(grant_id=ids[0]).state == GrantState.REVOKED


def test_a_void_by_somebody_who_is_no_provider_of_the_contract_changes_nothing(chain, deployment, agreement):
    in_force(chain, deployment, agreement)
    stranger = factory.keys("stranger")
    chain.fund(stranger.chain_address)
    send(chain, deployment, own_call("void", {"digest": agreement.contract.terms_digest}), by=stranger)
    follow(chain)
    assert ChainEvent.objects.filter(name="Voided").count() == 1
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE


def test_the_pass_finds_by_itself_what_the_wake_up_lost(chain, deployment, agreement, monkeypatch):
    ids = in_force(chain, deployment, agreement)
    direct(chain, deployment, agreement, "revoke", {"grant_id": ids[0]})
    with monkeypatch.context() as patch:
        patch.setattr(chain_following, "follow_chain_events", lambda: 1 / 0)  # the listener dies
        follow(chain)
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.EFFECTIVE

    assert chain_following.follow_chain_events() == 1
    assert chain_following.follow_chain_events() == 0
    agreement.contract.refresh_from_db()
    assert agreement.contract.state == ContractState.REVOKED
