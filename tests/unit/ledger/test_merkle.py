"""The tree of RFC 6962: known answers, a naive twin, and every proof up to 130 leaves."""

import hashlib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proofs import merkle
from tests.unit.ledger.known_answers import code_of, load, name_of

VECTORS = load("merkle/rfc6962.json")
ODD = load("merkle/odd_claims.json")
WRONG = bytes(32)
LEAVES = [merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(130)]


def naive_root(hashes):
    """MTH of RFC 6962 section 2.1, letter by letter."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


def naive_path(index, hashes):
    """PATH of RFC 6962 section 2.1.1, letter by letter."""
    if len(hashes) == 1:
        return []
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if index < split:
        return [*naive_path(index, hashes[:split]), naive_root(hashes[split:])]
    return [*naive_path(index - split, hashes[split:]), naive_root(hashes[:split])]


def naive_consistency(old_size, hashes, *, whole=True):
    """SUBPROOF of RFC 6962 section 2.1.2, letter by letter."""
    if old_size == len(hashes):
        return [] if whole else [naive_root(hashes)]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if old_size <= split:
        return [*naive_consistency(old_size, hashes[:split], whole=whole), naive_root(hashes[split:])]
    return [*naive_consistency(old_size - split, hashes[split:], whole=False), naive_root(hashes[:split])]


@cache
def root(size):
    return naive_root(LEAVES[:size])


def vector_leaves(size):
    return [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"][:size]]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size):
    assert merkle.root(vector_leaves(size)).hex() == VECTORS["roots"][size - 1]


def test_empty_tree_has_the_hash_of_nothing():
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_paths_are_the_published_ones(case):
    path = merkle.inclusion_path(case["index"], vector_leaves(case["size"]))

    assert [step.hex() for step in path] == case["path"]


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_proofs_are_the_published_ones(case):
    proof = merkle.consistency_proof(case["old_size"], vector_leaves(case["new_size"]))

    assert [step.hex() for step in proof] == case["proof"]


def test_roots_and_paths_equal_the_naive_twin():
    for size in range(1, 131):
        assert merkle.root(LEAVES[:size]) == root(size)
    for size in (1, 2, 3, 7, 8, 33, 100, 129, 130):
        for index in range(size):
            assert merkle.inclusion_path(index, LEAVES[:size]) == naive_path(index, LEAVES[:size])
        for old_size in range(1, size + 1):
            assert merkle.consistency_proof(old_size, LEAVES[:size]) == naive_consistency(old_size, LEAVES[:size])


def root_from_path(index, size, leaf, path):
    """Where a path leads, by the definition of PATH read backwards; None where its length is wrong."""
    if size == 1:
        return None if path else leaf
    if not path:
        return None
    split = 1
    while split * 2 < size:
        split *= 2
    if index < split:
        below = root_from_path(index, split, leaf, path[:-1])
        return below and merkle.node_hash(below, path[-1])
    below = root_from_path(index - split, size - split, leaf, path[:-1])
    return below and merkle.node_hash(path[-1], below)


def roots_from_proof(old_size, new_size, proof, *, old_root, whole=True):
    """Where a proof leads, by the definition of SUBPROOF read backwards; None where its length is wrong."""
    if old_size == new_size:
        if len(proof) != (0 if whole else 1):
            return None
        return (old_root, old_root) if whole else (proof[0], proof[0])
    if not proof:
        return None
    split = 1
    while split * 2 < new_size:
        split *= 2
    if old_size <= split:
        below = roots_from_proof(old_size, split, proof[:-1], old_root=old_root, whole=whole)
        return below and (below[0], merkle.node_hash(below[1], proof[-1]))
    below = roots_from_proof(old_size - split, new_size - split, proof[:-1], old_root=old_root, whole=False)
    return below and (merkle.node_hash(proof[-1], below[0]), merkle.node_hash(proof[-1], below[1]))


def spoilt(steps):
    """Every list of hashes one change away: one replaced, one dropped, one added at any place."""
    for place in range(len(steps)):
        yield [*steps[:place], WRONG, *steps[place + 1 :]]
        yield [*steps[:place], *steps[place + 1 :]]
    for place in range(len(steps) + 1):
        yield [*steps[:place], WRONG, *steps[place:]]
        yield [*steps[:place], *steps[max(place - 1, 0) : place], *steps[place:]] if place else [*steps, WRONG, WRONG]


def test_every_inclusion_up_to_130_verifies_and_no_changed_one_does():
    for size in range(1, 131):
        for index in range(size):
            path = merkle.inclusion_path(index, LEAVES[:size])
            claim = {"index": index, "size": size, "leaf_hash": LEAVES[index], "path": path, "root": root(size)}
            assert root_from_path(index, size, LEAVES[index], path) == root(size)
            merkle.verify_inclusion(**claim)
            for steps in spoilt(path):
                assert refuses(merkle.verify_inclusion, **claim | {"path": steps}), (index, size, steps)
            longer = {"path": [*path, WRONG], "root": merkle.node_hash(WRONG, root(size))}
            for lie in (longer, {"leaf_hash": WRONG}, {"root": WRONG}, {"index": size}, {"size": index}):
                assert refuses(merkle.verify_inclusion, **claim | lie), (index, size, lie)


def test_a_path_under_another_index_or_size_is_judged_as_the_definition_judges_it():
    """One path can fit two sizes (a leaf's siblings may be the same): the signed checkpoint binds the size."""
    for size in range(1, 131):
        for index in range(size):
            path = merkle.inclusion_path(index, LEAVES[:size])
            for other_index, other_size in ((index, size + 1), (index, size - 1), (index ^ 1, size), (index + 1, size)):
                if not 0 <= other_index < other_size:
                    continue
                led = root_from_path(other_index, other_size, LEAVES[index], path)
                claim = {"index": other_index, "size": other_size, "leaf_hash": LEAVES[index], "path": path}
                assert refuses(merkle.verify_inclusion, **claim, root=root(size)) is (led != root(size))


def test_every_consistency_up_to_130_verifies_and_no_changed_one_does():
    for new_size in range(1, 131):
        for old_size in range(1, new_size):
            proof = merkle.consistency_proof(old_size, LEAVES[:new_size])
            claim = {"old_size": old_size, "new_size": new_size, "proof": proof}
            claim |= {"old_root": root(old_size), "new_root": root(new_size)}
            led = roots_from_proof(old_size, new_size, proof, old_root=root(old_size))
            assert led == (root(old_size), root(new_size))
            merkle.verify_consistency(**claim)
            for steps in spoilt(proof):
                assert refuses(merkle.verify_consistency, **claim | {"proof": steps}), (old_size, new_size, steps)
            for lie in (
                {"old_root": WRONG},
                {"new_root": WRONG},
                {"old_root": root(new_size), "new_root": root(old_size)},
                {"old_size": new_size, "new_size": old_size},
                {"old_size": 0},
                {"proof": []},
                {"old_size": new_size},
                {"new_size": old_size},
            ):
                assert refuses(merkle.verify_consistency, **claim | lie), (old_size, new_size, lie)


def test_a_proof_under_another_size_is_judged_as_the_definition_judges_it():
    for new_size in range(1, 131):
        for old_size in range(1, new_size):
            proof = merkle.consistency_proof(old_size, LEAVES[:new_size])
            claim = {"proof": proof, "old_root": root(old_size), "new_root": root(new_size)}
            for old, new in ((old_size, new_size + 1), (old_size, new_size - 1), (old_size + 1, new_size),
                             (old_size - 1, new_size)):  # fmt: skip
                if not 0 < old < new:
                    continue
                led = roots_from_proof(old, new, proof, old_root=root(old_size))
                wrong = led != (root(old_size), root(new_size))
                assert refuses(merkle.verify_consistency, old_size=old, new_size=new, **claim) is wrong


@given(st.data())
def test_large_trees_of_ranges_answer_alike(data):
    """A tree of up to 2^40 leaves that are all the same: its nodes are known by their height alone."""
    node = cache(lambda height: merkle.node_hash(node(height - 1), node(height - 1)) if height else LEAVES[0])

    def hashed(ranges):
        return [merkle.range_root(start, end, lambda height, _number: node(height)) for start, end in ranges]

    new_size = data.draw(st.integers(2, 2**40))
    old_size, index = data.draw(st.integers(1, new_size)), data.draw(st.integers(0, new_size - 1))
    [new_root], [old_root] = hashed([(0, new_size)]), hashed([(0, old_size)])
    path = hashed(merkle.inclusion_ranges(index, new_size))
    merkle.verify_inclusion(index=index, size=new_size, leaf_hash=LEAVES[0], path=path, root=new_root)
    claim = {"old_size": old_size, "new_size": new_size, "old_root": old_root, "new_root": new_root}
    proof = hashed(merkle.consistency_ranges(old_size, new_size))
    merkle.verify_consistency(**claim, proof=proof)
    assert refuses(merkle.verify_inclusion, index=index, size=new_size, leaf_hash=WRONG, path=path, root=new_root)
    assert refuses(merkle.verify_consistency, **claim, proof=[*proof, WRONG])


@pytest.mark.parametrize("case", ODD["consistency"], ids=name_of)
def test_odd_claims_of_consistency_are_judged_right(case):
    assert (
        refuses(
            merkle.verify_consistency,
            old_size=case["old_size"],
            new_size=case["new_size"],
            old_root=bytes.fromhex(case["old_root"]),
            new_root=bytes.fromhex(case["new_root"]),
            proof=[bytes.fromhex(step) for step in case["proof"]],
        )
        is not case["holds"]
    )


@pytest.mark.parametrize("case", ODD["inclusion"], ids=name_of)
def test_odd_claims_of_inclusion_are_judged_right(case):
    assert (
        refuses(
            merkle.verify_inclusion,
            index=case["index"],
            size=case["size"],
            leaf_hash=bytes.fromhex(case["leaf_hash"]),
            path=[bytes.fromhex(step) for step in case["path"]],
            root=bytes.fromhex(case["root"]),
        )
        is not case["holds"]
    )


@pytest.mark.parametrize(
    "claim",
    [
        {"index": -1},
        {"index": True},
        {"index": "0"},
        {"size": 2**63},
        {"size": 0},
        {"leaf_hash": b"short"},
        {"leaf_hash": LEAVES[0].hex()},
        {"path": [b""]},
        {"path": None},
        {"path": LEAVES[0]},
        {"path": [LEAVES[0].hex()]},
        {"path": [LEAVES[0]] * 200},
        {"root": None},
    ],
)
def test_malformed_claims_are_refused_not_crashed(claim):
    genuine = {"index": 0, "size": 1, "leaf_hash": LEAVES[0], "path": [], "root": LEAVES[0]}

    assert refuses(merkle.verify_inclusion, **{**genuine, **claim})


def test_ranges_outside_the_tree_are_mistakes_of_the_caller():
    for call in (lambda: merkle.inclusion_ranges(3, 3), lambda: merkle.consistency_ranges(0, 3)):
        with pytest.raises(ValueError, match="tree"):
            call()


def refuses(verify, **claim):
    return code_of(lambda: verify(**claim)) in {"INCLUSION_INVALID", "CONSISTENCY_INVALID"}
