"""The tree of RFC 6962: known answers, a naive twin, and every proof up to 130 leaves."""

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest

from ledger.proofs import merkle
from ledger.proofs.errors import VerificationError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle" / "rfc6962.json").read_text())
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


def test_every_inclusion_up_to_130_verifies_and_fails_elsewhere():
    for size in range(1, 131):
        for index in range(size):
            path = naive_path(index, LEAVES[:size])
            claim = {"index": index, "size": size, "leaf_hash": LEAVES[index], "path": path, "root": root(size)}
            merkle.verify_inclusion(**claim)
            for lie in (
                {"index": (index + 1) % size} if size > 1 else {"index": 1},
                {"leaf_hash": LEAVES[index - 1] if size > 1 else bytes(32)},
                {"path": [*path, bytes(32)]},
                {"path": path[:-1]} if path else {"index": 1},
                {"root": bytes(32)},
            ):
                assert refuses(merkle.verify_inclusion, **{**claim, **lie}), (index, size, lie)


def test_every_consistency_up_to_130_verifies_and_fails_elsewhere():
    for new_size in range(1, 131):
        for old_size in range(1, new_size):
            proof = merkle.consistency_proof(old_size, LEAVES[:new_size])
            claim = {"old_size": old_size, "new_size": new_size, "proof": proof}
            claim |= {"old_root": root(old_size), "new_root": root(new_size)}
            merkle.verify_consistency(**claim)
            for lie in (
                {"old_root": root(new_size)},
                {"new_root": root(old_size)},
                {"proof": [*proof, bytes(32)]},
                {"proof": proof[:-1]},
                {"proof": [bytes(32), *proof[1:]]},
                {"old_size": new_size, "new_size": old_size},
            ):
                assert refuses(merkle.verify_consistency, **{**claim, **lie}), (old_size, new_size, lie)


@pytest.mark.parametrize(
    ("_case", "old_size", "new_size", "old_root", "new_root", "proof", "holds"),
    [
        ("empty to empty", 0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [], True),
        ("empty to something", 0, 1, merkle.EMPTY_ROOT, LEAVES[0], [], False),
        ("empty to something, junk proof", 0, 1, merkle.EMPTY_ROOT, LEAVES[0], [LEAVES[0]], False),
        ("equal sizes", 1, 1, LEAVES[0], LEAVES[0], [], True),
        ("equal sizes, two roots", 1, 1, LEAVES[0], LEAVES[1], [], False),
        ("equal sizes, junk proof", 1, 1, LEAVES[0], LEAVES[0], [LEAVES[0]], False),
        ("shrinking", 2, 1, root(2), LEAVES[0], [], False),
        ("growing without a proof", 1, 2, LEAVES[0], root(2), [], False),
    ],
)
def test_odd_sizes_answer_as_transparency_dev_does(_case, old_size, new_size, old_root, new_root, proof, holds):
    claim = {"old_size": old_size, "new_size": new_size, "old_root": old_root, "new_root": new_root, "proof": proof}

    assert refuses(merkle.verify_consistency, **claim) is not holds


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
    try:
        verify(**claim)
    except VerificationError as error:
        return error.code in {"INCLUSION_INVALID", "CONSISTENCY_INVALID"}
    return False
