"""Both contracts take every true consistency proof and no false one; the sizes are set by hand."""

import random

import pytest

from ledger.chain import artifact
from ledger.proofs import merkle
from tests.solidity import pair as pairs
from tests.solidity.pair import Node, Pair, big_tree
from tests.unit.ledger import chain_world

pytestmark = pytest.mark.chain
SENDER = "0x" + "a1" * 20
REFUSALS = {"PROOF_SHORT", "PROOF_LONG", "OLD_ROOT_DIFFERS", "NEW_ROOT_DIFFERS"}


@pytest.fixture(scope="module")
def twin():
    return pairs.compiled(pairs.TWIN)["ExchangeLedgerTwin"]


@pytest.fixture(scope="module")
def both(chain_rpc, twin) -> Pair:
    node = Node(chain_rpc)
    node.ask("anvil_autoImpersonateAccount", True)
    node.ask("anvil_setBalance", SENDER, hex(10**24))
    arguments = (SENDER, SENDER, SENDER, bytes(32), "0x" + "00" * 20)
    made = [
        pairs.deploy(node, bytecode=bytecode, arguments=arguments, sender=SENDER)
        for bytecode in (artifact()["bytecode"], twin["bytecode"])
    ]
    return Pair(node, (made[0], made[1]), artifact()["abi"])


def held(both: Pair, twin, *, size: int, root: bytes) -> dict[str, dict[str, dict[str, str]]]:
    """State in which both contracts hold this root of shard 1, to be laid over the chain for one call."""
    layout = artifact()["storage_layout"]
    vyper = {layout["size"]["slot"]: size, layout["root"]["slot"]: int.from_bytes(root, "big")}
    solidity: dict[int, int] = {}
    for entry in twin["storage"]:  # Solidity puts several small variables into one slot
        value = {"size": size, "root": int.from_bytes(root, "big"), "shard": 1}.get(entry["label"])
        if value is not None:
            slot = int(entry["slot"])
            solidity[slot] = solidity.get(slot, 0) | value << 8 * entry["offset"]
    return {
        address: {"stateDiff": {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in slots.items()}}
        for address, slots in zip(both.addresses, (vyper, solidity), strict=True)
    }


def judge(both: Pair, twin, *, old, new, old_root, tries) -> list[str]:
    """The word of both contracts for every (new root, proof); they must not differ."""
    calls = []
    for new_root, proof in tries:
        data = both.data("anchor", (old, new, new_root, proof))
        calls += [{"from": SENDER, "to": to, "data": data} for to in both.addresses]
    answers = both.node.call_all(calls, held(both, twin, size=old, root=old_root))
    reasons = [answer.reason for answer in answers]
    assert reasons[0::2] == reasons[1::2]
    return reasons[0::2]


def flipped(value: bytes, rng: random.Random) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << rng.randrange(256)).to_bytes(32, "big")


def mutations(new_root: bytes, proof: list[bytes], rng: random.Random) -> list[tuple[bytes, list[bytes]]]:
    """The truth first, then one hash wrong at a time, one too few, one too many."""
    wrong = [(new_root, [*proof[:at], flipped(proof[at], rng), *proof[at + 1 :]]) for at in range(len(proof))]
    return [
        (new_root, proof),
        *wrong,
        (flipped(new_root, rng), proof),
        (new_root, proof[:-1]),
        (new_root, [*proof, bytes(32)]),
    ]


def test_every_pair_up_to_forty_leaves(both, twin):
    rng = random.Random(40)
    leaves = chain_world.leaves(40)
    judged = 0
    for new in range(2, 41):
        for old in range(1, new):
            proof = merkle.consistency_proof(old, leaves[:new])
            tries = mutations(merkle.root(leaves[:new]), proof, rng)
            said = judge(both, twin, old=old, new=new, old_root=merkle.root(leaves[:old]), tries=tries)
            assert said[0] == "", (old, new)
            assert set(said[1:]) <= REFUSALS, (old, new)
            judged += len(said)
    assert judged > 6_000


def test_samples_up_to_two_to_the_fortieth(both, twin):
    rng = random.Random(2**40)
    edges = [(1, 2**40), (2**39, 2**40), (2**40 - 1, 2**40), (2**39 - 1, 2**39), (2**39, 2**39 + 1), (1, 2)]
    for old, new in edges + [_sizes(rng) for _ in range(40)]:
        old_root, new_root, proof = big_tree(old, new)
        merkle.verify_consistency(old_size=old, new_size=new, old_root=old_root, new_root=new_root, proof=proof)
        said = judge(both, twin, old=old, new=new, old_root=old_root, tries=mutations(new_root, proof, rng))
        assert said[0] == "", (old, new)
        assert set(said[1:]) <= REFUSALS, (old, new)


def test_the_largest_sizes_that_a_proof_can_span(both, twin):
    for old, new in [(2**63 - 1, 2**63), (1, 2**64 - 1), (2**64 - 2, 2**64 - 1)]:
        old_root, new_root, proof = big_tree(old, new)
        assert judge(both, twin, old=old, new=new, old_root=old_root, tries=[(new_root, proof)]) == [""]


def test_the_proofs_of_made_up_trees_are_as_long_as_those_of_real_ones():
    for new in range(2, 41):
        for old in range(1, new):
            assert len(big_tree(old, new)[2]) == len(merkle.consistency_proof(old, chain_world.leaves(new)))


def _sizes(rng: random.Random) -> tuple[int, int]:
    new = rng.randrange(2, 1 << rng.randrange(6, 41))
    return rng.randrange(1, new), new
