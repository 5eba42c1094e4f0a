"""The contract follows the log: its new key, and its next shard only when the old one is anchored whole."""

import pytest

from ledger import actions as ledger
from ledger import keys
from ledger.actions import anchoring, chain_shards, deployments, shards
from ledger.actions.anchoring import AnchorOutcome
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.errors import ChainLagsBehind
from ledger.models import Anchor, Log
from ledger.proofs import chain as proofs
from ledger.proofs import layout
from tests.factories.ledger import EXCHANGE, exchange_key_files, record

pytestmark = pytest.mark.django_db
NEXT = "hengshu.example/ledger/2027"


class Place:
    def __init__(self, address):
        self.contract_address, self.code_hash, self.validators = address, None, ()


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""
    settings.CHAIN_CONFIRMATIONS = 0


@pytest.fixture(params=["memory", "evm"])
def chain(request):
    return MemoryBackend() if request.param == "memory" else EVMBackend(request.getfixturevalue("chain_rpc"))


@pytest.fixture
def deployment(chain):
    record(3)
    ledger.seal()
    return deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())


def anchored(chain, times=6):
    for _ in range(times):
        found = anchoring.anchor_pass(backend=chain)
    return found


def open_next():
    return shards.open_shard(origin=NEXT, new=shards.make_next_key(), issuer=EXCHANGE)


def test_a_new_key_is_named_in_the_contract_and_anchoring_goes_on(chain, deployment):
    anchored(chain)
    shards.rotate_key(new=shards.make_next_key(), issuer=EXCHANGE)
    log = Log.objects.current()

    chain_shards.show_log_key(log, backend=chain, keys=keys.exchange_keys())
    chain_shards.show_log_key(log, backend=chain, keys=keys.exchange_keys())

    events = chain.events(deployment.contract_address, from_block=0, to_block=chain.block_number())
    changes = [event for event in events if event.name == "LogKeyChanged"]
    assert changes[-1].arguments["new"] == "0x" + shards.key_hash(log.vkey)
    assert anchored(chain).anchored_size == 4


def test_the_next_shard_opens_on_chain_once_the_old_one_is_anchored_whole(chain, deployment):
    after = open_next()
    record(2)
    ledger.seal()
    before = Log.objects.get(number=1)

    chain_shards.open_next(after, backend=chain, keys=keys.exchange_keys(), seconds=30)
    said = chain_shards.open_next(after, backend=chain, keys=keys.exchange_keys(), seconds=1)

    assert said == "shard 2 is open"
    assert anchored(chain).outcome in {AnchorOutcome.ANCHORED, AnchorOutcome.NOTHING_NEW}
    head = chain.anchored(deployment.contract_address)
    assert (head.shard, head.size, head.root.removeprefix("0x")) == (2, 3, Log.objects.get(number=2).root)
    assert Anchor.objects.filter(log=before, size=before.size).exists()


def test_until_then_the_new_logs_roots_wait_and_nothing_alarms(chain, deployment):
    open_next()
    record()
    ledger.seal()

    outcome = anchored(chain, times=8)

    assert outcome.outcome == AnchorOutcome.SHARD_NOT_OPEN
    assert chain.anchored(deployment.contract_address).shard == 1
    assert not Log.objects.exclude(alarm="").exists()


def test_a_call_too_early_is_not_made(chain, deployment, monkeypatch):
    after = open_next()
    monkeypatch.setattr(anchoring, "anchor_pass", lambda **_: None)

    with pytest.raises(ChainLagsBehind):
        chain_shards.open_next(after, backend=chain, keys=keys.exchange_keys(), seconds=1)

    assert chain.anchored(deployment.contract_address).shard == 1


def test_roots_of_both_shards_are_proven_from_the_chain(chain_rpc):
    chain = EVMBackend(chain_rpc)
    record(2)
    ledger.seal()
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    after = open_next()
    chain_shards.open_next(after, backend=chain, keys=keys.exchange_keys(), seconds=30)
    anchored(chain)
    before, after = Log.objects.get(number=1), Log.objects.get(number=2)

    slots = [layout.root_in(log.number, log.size) for log in (before, after)]
    evidence = chain.evidence(deployment.contract_address, slots=slots)
    held = proofs.read(evidence, chain=Place(deployment.contract_address))

    assert [held.value(slot) for slot in slots] == [int(before.root, 16), int(after.root, 16)]
