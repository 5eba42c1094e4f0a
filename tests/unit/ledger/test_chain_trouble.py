"""Stuck fees, silence, lies and deep reorganisations: the anchoring pass heals, or says what is so."""

import dataclasses
import itertools
import socket
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from ledger import actions as ledger
from ledger import keys
from ledger.actions import chain_alarms, chain_looks, deployments
from ledger.actions.anchoring import AnchorOutcome, anchor_pass
from ledger.backends.base import ChainUnreachable, LedgerBackend
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.errors import ChainDownTooLong
from ledger.models import AnchorAttempt, AttemptState, ChainDeployment
from tests.factories.ledger import exchange_key_files
from tests.unit.ledger.test_chain_anchoring import _raise, events, grow

pytestmark = [pytest.mark.django_db, pytest.mark.chain]


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


# --- fees, silence and lies ----------------------------------------------------------------------------------


def test_a_fee_rises_no_further_than_the_cap_and_then_people_are_told(chain_rpc, monkeypatch, settings):
    chain = EVMBackend(chain_rpc)
    deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    settings.CHAIN_MAX_GAS_PRICE_GWEI = 10
    grow(2)
    prices = []
    with monkeypatch.context() as patch:
        patch.setattr(chain, "gas_price", lambda: 5 * 10**9)
        patch.setattr(chain, "send", lambda raw: prices.append(chain.gas_price_of(raw)))
        for _ in range(12):
            anchor_pass(backend=chain)
            AnchorAttempt.objects.filter(state="sent").update(sent_at=timezone.now() - timedelta(minutes=1))
    assert prices[0] == 5 * 10**9
    assert all(price <= 10 * 10**9 for price in prices)
    distinct = sorted(set(prices))
    assert len(distinct) > 3
    assert all(after * 1000 >= 1125 * before for before, after in itertools.pairwise(distinct))
    assert chain_alarms.ChainAlarm.FEE_AT_CAP in chain_alarms.chain_alarms(now=timezone.now())

    settings.CHAIN_MAX_GAS_PRICE_GWEI = 500  # the operator raises it, or the chain becomes quiet
    for _ in range(3):
        anchor_pass(backend=chain)
    assert ledger.anchored_size() == 2
    assert chain_alarms.ChainAlarm.FEE_AT_CAP not in chain_alarms.chain_alarms(now=timezone.now())


def test_a_base_fee_times_fifty_is_healed(chain_rpc):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    rpc = chain._web3.provider.make_request
    rpc("anvil_setNextBlockBaseFeePerGas", [hex(2 * 10**9)])
    rpc("evm_mine", [])
    before = int(rpc("eth_getBlockByNumber", ["latest", False])["result"]["baseFeePerGas"], 16)
    assert before == 2 * 10**9
    grow(2)
    rpc("evm_setAutomine", [False])
    try:
        anchor_pass(backend=chain)
        rpc("anvil_setNextBlockBaseFeePerGas", [hex(before * 50)])
        rpc("evm_mine", [])
        assert chain.anchored(deployment.contract_address).size == 0  # the price offered is too low now
        for _ in range(6):
            AnchorAttempt.objects.filter(state="sent").update(sent_at=timezone.now() - timedelta(minutes=1))
            rpc("anvil_setNextBlockBaseFeePerGas", [hex(before * 50)])
            anchor_pass(backend=chain)
            rpc("evm_mine", [])
    finally:
        rpc("evm_setAutomine", [True])
        rpc("anvil_setNextBlockBaseFeePerGas", [hex(before)])
    anchor_pass(backend=chain)
    assert ledger.anchored_size() == 2
    assert events(chain, deployment, [2]) == [2]
    assert AnchorAttempt.objects.filter(state=AttemptState.REPLACED).exists()


@pytest.fixture
def silent_endpoint():
    """A server that takes connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_an_endpoint_that_hangs_holds_a_pass_for_seconds_only(silent_endpoint):
    deployments.deploy(backend=MemoryBackend(), anchor=keys.log_keys(), record=keys.exchange_keys())
    grow(2)
    began = time.monotonic()
    assert anchor_pass(backend=EVMBackend(silent_endpoint)).outcome == AnchorOutcome.UNREACHABLE
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("lie", ["chain_id", "genesis"])
def test_another_chain_at_the_endpoint_is_not_believed(chain, deployment, monkeypatch, lie):
    grow(2)
    truth = chain.identity()
    other = {"chain_id": truth.chain_id + 1} if lie == "chain_id" else {"genesis_hash": "0x" + "ab" * 32}
    with monkeypatch.context() as patch:
        patch.setattr(chain, "identity", lambda: dataclasses.replace(truth, **other))
        assert anchor_pass(backend=chain).outcome == AnchorOutcome.WRONG_CHAIN
    assert anchor_pass(backend=chain).outcome == AnchorOutcome.ANCHORED


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_a_reorganisation_of_any_depth_is_healed_with_one_event_for_each_anchor(chain_rpc, depth):
    chain = EVMBackend(chain_rpc)
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    rpc = chain._web3.provider.make_request
    rpc("anvil_mine", [hex(depth)])
    sizes = []
    for _ in range(min(depth, 3)):
        sizes.append(grow(2))
        anchor_pass(backend=chain)
    assert ledger.anchored_size() == sizes[-1]

    assert "error" not in rpc("anvil_rollback", [depth])
    for _ in range(4):
        anchor_pass(backend=chain)

    assert ledger.anchored_size() == sizes[-1]
    assert len(chain.events(deployment.contract_address, from_block=0, to_block=chain.block_number())) > 0
    anchored = [
        event.arguments["size"]
        for event in chain.events(deployment.contract_address, from_block=0, to_block=chain.block_number())
        if event.name == "Anchored"
    ]
    assert len(anchored) == len(set(anchored))
    assert anchored[-1] == str(sizes[-1])


# --- how long the exchange goes on without the chain ---------------------------------------------------------


def test_the_last_look_is_remembered_and_bounds_what_goes_on(chain, deployment, settings, monkeypatch):
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    settings.CHAIN_DOWN_LIMIT_SECONDS = 4 * 3600
    anchor_pass(backend=chain)
    seen = chain_looks.last_look()
    assert seen is not None
    with monkeypatch.context() as patch:
        patch.setattr(chain, "anchored", _raise(ChainUnreachable("silent")))
        anchor_pass(backend=chain)
    assert chain_looks.last_look() == seen

    chain_looks.check(now=seen + timedelta(hours=3, minutes=59))
    late = seen + timedelta(hours=4, seconds=1)
    with pytest.raises(ChainDownTooLong):
        chain_looks.check(now=late)
    assert chain_alarms.ChainAlarm.DOWN_TOO_LONG in chain_alarms.chain_alarms(now=late)
    assert chain_alarms.ChainAlarm.SILENT in chain_alarms.chain_alarms(now=seen + timedelta(minutes=2))

    anchor_pass(backend=chain)  # it answers again
    assert chain_looks.last_look() > seen
    chain_looks.check(now=timezone.now())

    settings.CHAIN_RPC_URL = ""  # no chain is legal for ever
    chain_looks.check(now=late + timedelta(days=1000))
