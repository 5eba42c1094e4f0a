"""Grants, revocations and totals on their way to the chain: once each, whatever happens in between."""

from datetime import timedelta

import pytest
from django.utils import timezone

from compute.protocol import keyfiles
from exchange.kernel.errors import InvalidInput
from ledger import actions as ledger
from ledger import keys
from ledger.actions import deployments
from ledger.backends.base import ChainRefused, LedgerBackend
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.models import ChainDeployment, ChainRecord, ChainRecordState
from ledger.proofs import grants, typed_data
from tests.factories.ledger import exchange_key_files

pytestmark = [pytest.mark.django_db, pytest.mark.chain]

TERMS = "cd" * 32


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""


@pytest.fixture(params=["memory", "evm"])
def chain(request) -> LedgerBackend:
    if request.param == "memory":
        return MemoryBackend()
    return EVMBackend(request.getfixturevalue("chain_rpc"))


@pytest.fixture
def deployment(chain) -> ChainDeployment:
    return deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())


@pytest.fixture
def provider():
    return keyfiles.generate("fund-a")


def signed_grant(provider, deployment, **changes):
    place = {"chain_id": deployment.chain_id, "contract_address": deployment.contract_address}
    fields = {"terms_digest": TERMS, "not_before": 1_700_000_000, "not_after": 1_900_000_000, "cap": 5}
    return grants.sign_grant(key=provider.chain, **{**place, **fields, **changes})


def signed_revocation(provider, deployment, grant_id):
    digest = grants.revoke_digest(
        chain_id=deployment.chain_id, contract_address=deployment.contract_address, grant=grant_id
    )
    return {"grant_id": grant_id, "signature": typed_data.sign(digest, key=provider.chain)}


def test_a_grant_its_use_and_its_end_reach_the_chain(chain, deployment, provider):
    grant = signed_grant(provider, deployment)
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    ledger.submit_chain_record(kind="grant", key="grant:1", payload=grant)
    ledger.submit_chain_record(kind="meter", key="meter:1", payload={"grant_id": grant_id, "used": 2})
    _pass_until_idle(chain)
    ledger.submit_chain_record(kind="revoke", key="revoke:1", payload=signed_revocation(provider, deployment, grant_id))
    _pass_until_idle(chain)

    held = chain.grant(deployment.contract_address, grant_id)
    assert (held.used, held.revoked_at > 0) == (2, True)
    for key in ("grant:1", "meter:1", "revoke:1"):
        found = ledger.chain_record(key)
        assert (found.state, found.block_number is not None, len(found.transaction_hash)) == ("confirmed", True, 66)


def test_asking_twice_makes_one_record(deployment, provider):
    grant = signed_grant(provider, deployment)
    first = ledger.submit_chain_record(kind="grant", key="grant:1", payload=grant)
    again = ledger.submit_chain_record(kind="grant", key="grant:1", payload={**grant, "cap": 6})
    assert (again.pk, again.payload["cap"]) == (first.pk, 5)
    assert ledger.chain_record("grant:2") is None


def test_what_is_no_record_is_refused_at_the_door():
    for kind, payload in [("grant", {"cap": 1}), ("revoke", {"grant_id": 7}), ("gift", {"grant_id": "0x"})]:
        with pytest.raises(InvalidInput):
            ledger.submit_chain_record(kind=kind, key="k", payload=payload)
    assert not ChainRecord.objects.exists()


def test_a_refused_record_keeps_the_contracts_word_and_holds_up_no_other(chain, deployment, provider):
    wrong = {**signed_grant(provider, deployment), "cap": 6}
    ledger.submit_chain_record(kind="grant", key="wrong", payload=wrong)
    right = signed_grant(provider, deployment, terms_digest="ee" * 32)
    ledger.submit_chain_record(kind="grant", key="right", payload=right)

    _pass_until_idle(chain)

    wrong_record, right_record = ledger.chain_record("wrong"), ledger.chain_record("right")
    assert (wrong_record.state, wrong_record.error_code) == (ChainRecordState.FAILED, "SIGNATURE_WRONG")
    assert right_record.state == ChainRecordState.CONFIRMED


@pytest.mark.parametrize("sent", [False, True])
def test_a_crash_around_sending_ends_in_one_grant(chain, deployment, provider, monkeypatch, sent):
    ledger.submit_chain_record(kind="grant", key="grant:1", payload=signed_grant(provider, deployment))
    send = chain.send

    def die(raw):
        if sent:
            send(raw)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(chain, "send", die)
        with pytest.raises(Crash):
            ledger.send_chain_records(backend=chain)
    saved = ledger.chain_record("grant:1")
    assert (saved.state, len(saved.transaction_hash)) == (ChainRecordState.SENT, 66)

    _pass_until_idle(chain)

    assert ledger.chain_record("grant:1").state == ChainRecordState.CONFIRMED
    assert ledger.chain_record("grant:1").transaction_hash == saved.transaction_hash


def test_a_revocation_goes_before_a_longer_queue(chain, deployment, provider):
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    _pass_until_idle(chain)
    for number in range(3):
        other = signed_grant(provider, deployment, terms_digest=f"{number:064x}")
        ledger.submit_chain_record(kind="grant", key=f"grant:{number}", payload=other)
    ledger.submit_chain_record(kind="revoke", key="revoke", payload=signed_revocation(provider, deployment, grant_id))

    _pass_until_idle(chain)

    blocks = {record.key: record.block_number for record in ChainRecord.objects.all()}
    assert blocks["revoke"] <= min(blocks[f"grant:{number}"] for number in range(3))


def test_after_a_chain_reset_live_grants_are_sent_again_and_ended_ones_are_not(provider):
    before, after = MemoryBackend(genesis="first"), MemoryBackend(genesis="second")
    first = deployments.deploy(backend=before, anchor=keys.log_keys(), record=keys.exchange_keys())
    ended = grants.grant_id(grantor=provider.chain_address, terms_digest="ee" * 32)
    ledger.submit_chain_record(kind="grant", key="live", payload=signed_grant(provider, first))
    ledger.submit_chain_record(kind="grant", key="old", payload=signed_grant(provider, first, terms_digest="ee" * 32))
    _pass_until_idle(before)
    ledger.submit_chain_record(kind="revoke", key="end", payload=signed_revocation(provider, first, ended))
    _pass_until_idle(before)

    second = deployments.deploy(backend=after, anchor=keys.log_keys(), record=keys.exchange_keys())
    _pass_until_idle(after)

    live = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    assert second.contract_address == first.contract_address
    assert after.grant(second.contract_address, live) is not None
    assert after.grant(second.contract_address, ended) is None


# --- the urgent lane -----------------------------------------------------------------------------------------


@pytest.fixture
def own_account(settings, tmp_path):
    """A key file for revocations, as `init_exchange` makes it."""
    settings.REVOCATION_KEY_FILE = tmp_path / "revocation.key.json"
    keyfiles.save(keyfiles.generate("revocation"), settings.REVOCATION_KEY_FILE)


def signed_void(provider, deployment, digest):
    message = grants.void_digest(
        chain_id=deployment.chain_id,
        contract_address=deployment.contract_address,
        signer=provider.chain_address,
        statement_digest=digest,
    )
    return {
        "signer": provider.chain_address,
        "digest": digest,
        "signature": typed_data.sign(message, key=provider.chain),
    }


def test_a_void_is_carried_like_a_revocation(own_account, chain, deployment, provider):
    ledger.submit_chain_record(kind="void", key="void", payload=signed_void(provider, deployment, TERMS))
    ledger.submit_chain_record(kind="grant", key="late", payload=signed_grant(provider, deployment))
    _pass_until_idle(chain)
    assert chain.is_voided(deployment.contract_address, signer=provider.chain_address, digest=TERMS)
    assert ledger.chain_record("void").state == ChainRecordState.CONFIRMED
    assert ledger.chain_record("late").error_code == "TERMS_VOIDED"


def test_after_a_chain_reset_a_void_stands_again_and_its_grant_does_not(own_account, provider):
    before, after = MemoryBackend(genesis="first"), MemoryBackend(genesis="second")
    first = deployments.deploy(backend=before, anchor=keys.log_keys(), record=keys.exchange_keys())
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, first))
    _pass_until_idle(before)
    ledger.submit_chain_record(kind="void", key="void", payload=signed_void(provider, first, TERMS))
    _pass_until_idle(before)

    second = deployments.deploy(backend=after, anchor=keys.log_keys(), record=keys.exchange_keys())
    for _ in range(3):
        ledger.send_chain_records(backend=after)

    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    assert after.is_voided(second.contract_address, signer=provider.chain_address, digest=TERMS)
    assert after.grant(second.contract_address, grant_id) is None


@pytest.mark.parametrize("own", [True, False])
def test_a_revocation_does_not_wait_behind_a_stuck_grant(chain_rpc, provider, settings, tmp_path, request, own):
    """The sister case: sent from the same account, the stuck nonce holds it up."""
    if own:
        request.getfixturevalue("own_account")
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    rpc = chain._web3.provider.make_request
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    _pass_until_idle(chain)
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    settings.CHAIN_MAX_GAS_PRICE_GWEI = 1
    rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**8)])  # what ran on this chain before may have left it above the cap
    rpc("evm_mine", [])
    rpc("evm_setAutomine", [False])
    try:
        # A grant at a price that no later block takes: anvil keeps it in its pool, and its nonce with it.
        stuck = signed_grant(provider, deployment, terms_digest="ee" * 32)
        ledger.submit_chain_record(kind="grant", key="stuck", payload=stuck)
        ledger.send_chain_records(backend=chain)
        assert ledger.chain_record("stuck").state == ChainRecordState.SENT
        settings.CHAIN_MAX_GAS_PRICE_GWEI = 5000
        revocation = signed_revocation(provider, deployment, grant_id)
        ledger.submit_chain_record(kind="revoke", key="revoke", payload=revocation)
        chain.gas_price = lambda: 2000 * 10**9
        ledger.send_revocations(backend=chain)
        rpc("anvil_setNextBlockBaseFeePerGas", [hex(900 * 10**9)])
        rpc("evm_mine", [])
        ledger.send_revocations(backend=chain)
        # Looked at now: with automine on again, anvil may mine the rest of its pool at any moment.
        assert bool(chain.grant(deployment.contract_address, grant_id).revoked_at) is own
        assert ledger.chain_record("stuck").state == ChainRecordState.SENT
    finally:
        rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
        rpc("evm_setAutomine", [True])


def test_the_revocations_own_pass_carries_nothing_else(own_account, chain, deployment, provider):
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    assert ledger.send_revocations(backend=chain) == 0
    assert ledger.chain_record("grant").state == ChainRecordState.PENDING


def test_a_stuck_record_is_replaced_at_its_nonce_up_to_the_cap(chain, deployment, provider, monkeypatch, settings):
    settings.CHAIN_MAX_GAS_PRICE_GWEI = 10
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    prices = []
    with monkeypatch.context() as patch:
        patch.setattr(chain, "gas_price", lambda: 5 * 10**9)
        patch.setattr(chain, "send", lambda raw: prices.append(chain.gas_price_of(raw)))
        for _ in range(10):
            ledger.send_chain_records(backend=chain)
            ChainRecord.objects.update(sent_at=timezone.now() - timedelta(minutes=1))
    assert (prices[0], len(set(prices)) > 3, max(prices) <= 10 * 10**9) == (5 * 10**9, True, True)
    assert ChainRecord.objects.get().nonce == chain.nonce(keys.exchange_keys().chain_address)
    settings.CHAIN_MAX_GAS_PRICE_GWEI = 500
    _pass_until_idle(chain)
    assert ledger.chain_record("grant").state == ChainRecordState.CONFIRMED


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_record_that_a_reorganisation_took_back_is_sent_again(own_account, chain_rpc, provider, depth):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    rpc = chain._web3.provider.make_request
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    rpc("anvil_mine", [hex(depth)])
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    _pass_until_idle(chain)
    ledger.submit_chain_record(kind="revoke", key="revoke", payload=signed_revocation(provider, deployment, grant_id))
    _pass_until_idle(chain)

    assert "error" not in rpc("anvil_rollback", [depth])
    for _ in range(5):
        ledger.send_chain_records(backend=chain)

    assert chain.grant(deployment.contract_address, grant_id).revoked_at > 0
    assert set(ChainRecord.objects.values_list("state", flat=True)) == {ChainRecordState.CONFIRMED}


def test_a_record_counts_only_below_the_demanded_confirmations(chain_rpc, provider, settings):
    settings.CHAIN_CONFIRMATIONS = 2
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))
    for _ in range(2):
        ledger.send_chain_records(backend=chain)
    assert ledger.chain_record("grant").state == ChainRecordState.SENT
    chain._web3.provider.make_request("anvil_mine", ["0x2"])
    ledger.send_chain_records(backend=chain)
    assert ledger.chain_record("grant").state == ChainRecordState.CONFIRMED


def test_trouble_at_the_endpoint_fails_no_record_for_good(chain, deployment, provider, monkeypatch):
    ledger.submit_chain_record(kind="grant", key="grant", payload=signed_grant(provider, deployment))

    def no(*args, **kwargs):
        raise ChainRefused("insufficient funds", reason="RPC_ERROR")

    for part in ("simulate", "send"):
        with monkeypatch.context() as patch:
            patch.setattr(chain, part, no)
            ledger.send_chain_records(backend=chain)
        assert ledger.chain_record("grant").state in (ChainRecordState.PENDING, ChainRecordState.SENT)
    _pass_until_idle(chain)
    assert ledger.chain_record("grant").state == ChainRecordState.CONFIRMED


def test_without_a_chain_records_wait(settings, deployment, provider):
    settings.CHAIN_RPC_URL = ""
    ledger.submit_chain_record(kind="grant", key="grant:1", payload=signed_grant(provider, deployment))
    assert ledger.send_chain_records() == 0
    assert ledger.chain_record("grant:1").state == ChainRecordState.PENDING


def _pass_until_idle(chain) -> None:
    for _ in range(6):
        ledger.send_chain_records(backend=chain)
        if not ChainRecord.objects.filter(state__in=["pending", "sent"]).exists():
            return
    raise AssertionError("records are still on their way")
