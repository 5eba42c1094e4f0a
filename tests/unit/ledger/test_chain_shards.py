"""Shards on a real EVM: frozen for good, begun by name, and with the keys that were in force."""

import itertools

import pytest

from compute.protocol import keyfiles
from ledger.backends.base import Call, anchor_call, log_key_call, open_shard_call
from ledger.backends.evm import EVMBackend
from ledger.chain import artifact
from tests.solidity import pair as pairs
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import Contract, proof, root

pytestmark = pytest.mark.chain
NEXT_KEY = "09" * 32
THIRD_KEY = "0a" * 32


@pytest.fixture(scope="module")
def backend(chain_rpc):
    return EVMBackend(chain_rpc)


@pytest.fixture
def contract(backend) -> Contract:
    return chain_world.deploy(backend)


def read(contract: Contract, name: str, *arguments):
    return contract.backend._contract(contract.address).functions[name](*arguments).call()


def open_shard(contract: Contract, number: int, *, key: str = NEXT_KEY) -> None:
    contract.run(open_shard_call(number=number, log_key_hash=key), by=contract.exchange)


def first(shard: int, size: int, *, history: str = "next year") -> Call:
    return anchor_call(shard=shard, old_size=0, new_size=size, root=root(size, history=history), proof=[])


def test_opening_a_shard_freezes_the_present_one_for_good(contract):
    contract.anchor(0, 5)

    open_shard(contract, 2)

    anchored = contract.backend.anchored(contract.address)
    assert (anchored.shard, anchored.size, anchored.root) == (2, 0, "00" * 32)
    assert read(contract, "frozen", 1) == (5, bytes.fromhex(root(5)), chain_world.LOG_KEY_HASH)
    assert read(contract, "root_in", 1, 5).hex() == root(5)
    assert read(contract, "root_at", 5) == bytes(32)
    assert read(contract, "log_key_hash").hex() == NEXT_KEY
    assert contract.refusal(_anchor(5, 8), by=contract.log) == "SIZE_MOVED"


def test_a_belated_first_anchor_of_the_old_shard_cannot_begin_the_new_one(contract):
    """The transaction was signed while shard 1 was empty and is mined after shard 2 was opened."""
    belated = contract.backend.sign(
        _anchor(0, 3),
        address=contract.address,
        chain_id=contract.chain_id,
        key=contract.log.chain,
        nonce=0,
        gas_price=contract.backend.gas_price(),
    )
    open_shard(contract, 2)

    contract.backend.send(belated.raw)

    assert chain_world.wait_for(contract.backend, belated.transaction_hash).succeeded is False
    assert contract.backend.anchored(contract.address).size == 0
    assert contract.refusal(_anchor(0, 3), by=contract.log) == "SHARD_UNNAMED"


def test_a_belated_anchor_from_any_other_size_fails_on_its_proof(contract):
    contract.anchor(0, 3)
    open_shard(contract, 2)
    contract.run(first(2, 3), by=contract.log)
    assert contract.refusal(_anchor(3, 7), by=contract.log) == "OLD_ROOT_DIFFERS"


def test_a_shard_begins_by_name_and_goes_on_by_proof(contract):
    open_shard(contract, 2)
    assert contract.refusal(first(3, 4), by=contract.log) == "SHARD_MOVED"
    assert contract.refusal(Call("anchor_first", (1, 4, bytes(32))), by=contract.log) == "SHARD_MOVED"
    assert contract.refusal(Call("anchor_first", (2, 0, bytes(32))), by=contract.log) == "NOT_NEWER"
    assert contract.refusal(first(2, 4), by=contract.exchange) == "NOT_ANCHORER"

    contract.run(first(2, 4), by=contract.log)
    contract.run(first(2, 4), by=contract.log)  # said again, nothing happens
    assert contract.refusal(first(2, 5), by=contract.log) == "SIZE_MOVED"
    contract.anchor(4, 9, history="next year")

    assert contract.backend.anchored(contract.address).root == root(9, history="next year")
    assert contract.backend.anchored_event(contract.address, size=4, shard=1) is None
    assert contract.backend.anchored_event(contract.address, size=4, shard=2) is not None


def test_the_event_of_a_size_is_found_by_its_shard(contract):
    early = contract.anchor(0, 4)
    open_shard(contract, 2)
    late = contract.run(first(2, 4), by=contract.log)
    found = {shard: contract.backend.anchored_event(contract.address, size=4, shard=shard) for shard in (1, 2, None)}
    hashes = {shard: event.transaction_hash for shard, event in found.items()}
    assert hashes == {1: early.transaction_hash, 2: late.transaction_hash, None: late.transaction_hash}


def test_only_the_admin_opens_only_the_next_and_twice_is_once(contract):
    call = open_shard_call(number=2, log_key_hash=NEXT_KEY)
    assert contract.refusal(call, by=contract.log) == "NOT_ADMIN"
    for number in (0, 1, 3):
        wrong = open_shard_call(number=number, log_key_hash=NEXT_KEY)
        assert contract.refusal(wrong, by=contract.exchange) == "SHARD_MOVED"

    contract.run(call, by=contract.exchange)
    contract.run(first(2, 4), by=contract.log)
    contract.run(log_key_call(log_key_hash=THIRD_KEY), by=contract.exchange)
    contract.run(call, by=contract.exchange)  # also after the key has changed again

    assert read(contract, "size") == 4
    other_key = open_shard_call(number=2, log_key_hash=THIRD_KEY)
    assert contract.refusal(other_key, by=contract.exchange) == "SHARD_MOVED"


def test_every_key_of_the_log_is_listed_with_the_size_it_came_in_at(contract):
    contract.anchor(0, 5)
    contract.run(log_key_call(log_key_hash=NEXT_KEY), by=contract.exchange)
    contract.run(log_key_call(log_key_hash=NEXT_KEY), by=contract.exchange)  # in force already
    contract.anchor(5, 8)
    open_shard(contract, 2, key=THIRD_KEY)

    listed = [[read(contract, "log_keys", shard, at) for at in range(3)] for shard in (1, 2)]

    nothing = (bytes(32), 0)
    assert listed[0] == [(chain_world.LOG_KEY_HASH, 0), (bytes.fromhex(NEXT_KEY), 5), nothing]
    assert listed[1] == [(bytes.fromhex(THIRD_KEY), 0), nothing, nothing]
    assert [read(contract, "log_key_count", shard) for shard in (1, 2, 3)] == [2, 1, 0]
    assert read(contract, "frozen", 1)[2].hex() == NEXT_KEY


def test_grants_and_totals_go_on_across_shards(contract):
    provider = keyfiles.generate("fund-a")
    grant_id = contract.grant(provider)
    open_shard(contract, 2)
    contract.run(Call("meter", (bytes.fromhex(grant_id[2:]), 3)), by=contract.exchange)
    assert contract.backend.grant(contract.address, grant_id).used == 3


def test_a_successor_takes_over_the_shard(contract, backend):
    contract.anchor(0, 6)
    open_shard(contract, 2)
    contract.run(first(2, 4), by=contract.log)

    successor = chain_world.deploy(backend, predecessor=contract.address)

    anchored = backend.anchored(successor.address)
    assert (anchored.shard, anchored.size, anchored.root) == (2, 4, root(4, history="next year"))
    assert read(successor, "root_in", 2, 4).hex() == anchored.root
    assert read(successor, "predecessor_shard") == 2
    successor.anchor(4, 9, history="next year")


def test_a_successor_of_an_empty_later_shard_still_wants_its_name(contract, backend):
    open_shard(contract, 2)
    successor = chain_world.deploy(backend, predecessor=contract.address)
    assert successor.refusal(_anchor(0, 3), by=successor.log) == "SHARD_UNNAMED"
    successor.run(first(2, 3), by=successor.log)


def test_a_predecessor_from_before_shards_counts_as_the_first(contract, backend, chain_rpc):
    source = pairs.TWIN.parent / "BeforeShards.sol"
    bytecode = pairs.compiled(source)["BeforeShards"]["bytecode"]
    node = pairs.Node(chain_rpc)
    before = pairs.deploy(node, bytecode=bytecode, arguments=None, sender=node.ask("eth_accounts")[0])

    successor = chain_world.deploy(backend, predecessor=before)

    anchored = backend.anchored(successor.address)
    assert (anchored.shard, anchored.size, int(anchored.root, 16)) == (1, 6, 0xABCDEF)


def test_before_the_contract_stood_there_is_no_shard(contract):
    assert contract.backend.anchored(contract.address, confirmations=10_000).shard == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (999, 1_999),
        (999_999, 1_000_999),
        (10**8 - 1, 10**8 + 999),
        (2**26 - 1, 10**8),  # 28 hashes, nearly all of them hashed twice: the most awkward pair there is
        (2**26 + 2**25 - 1, 2**27 - 1),
    ],
)
def test_an_anchor_costs_less_than_a_hundred_thousand_gas(contract, old, new):
    old_root, new_root, hashes = pairs.big_tree(old, new)
    layout = artifact()["storage_layout"]
    for name, value in (("size", old.to_bytes(32, "big")), ("root", old_root)):
        contract.backend._web3.provider.make_request(
            "anvil_setStorageAt", [contract.address, hex(layout[name]["slot"]), "0x" + value.hex()]
        )
    landed = contract.run(anchor_call(old_size=old, new_size=new, root=new_root.hex(), proof=hashes), by=contract.log)
    receipt = contract.backend._web3.eth.get_transaction_receipt(landed.transaction_hash)
    assert receipt["gasUsed"] <= 100_000


def test_every_event_is_told_in_order_and_as_strict_json(contract):
    stranger = keyfiles.generate("stranger")
    head = contract.backend.block_number()
    landed = contract.anchor(0, 3)
    grant_id = contract.grant(stranger, cap=2**64 - 1)
    open_shard(contract, 2)

    events = contract.backend.events(contract.address, from_block=head + 1, to_block=head + 3)

    assert [event.name for event in events] == ["Anchored", "Granted", "ShardOpened", "LogKeyChanged"]
    assert events[0].arguments == {"shard": "1", "size": "3", "root": "0x" + root(3), "old_size": "0"}
    assert (events[0].transaction_hash, events[0].block_hash) == (landed.transaction_hash, landed.block_hash)
    assert events[1].arguments == {
        "id": grant_id,
        "grantor": stranger.chain_address,
        "terms_digest": "0x" + chain_world.TERMS,
        "not_before": "1700000000",
        "not_after": "1900000000",
        "cap": str(2**64 - 1),
    }
    assert [(event.block_number, event.log_index) for event in events[2:]] == [(head + 3, 0), (head + 3, 1)]
    one_by_one = [
        contract.backend.events(contract.address, from_block=at, to_block=at) for at in range(head + 1, head + 4)
    ]
    assert list(itertools.chain(*one_by_one)) == events


def _anchor(old: int, new: int) -> Call:
    return Call("anchor", (old, new, bytes.fromhex(root(new)), proof(old, new) if old else []))
