"""RLP and the tries of Ethereum: the published vectors, and every shape that is almost right."""

import json
import random
from pathlib import Path

import pytest

from ledger.proofs import rlp, trie
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256
from tests.unit.ledger.trie_world import Trie, hex_prefix

VECTORS = Path(__file__).parents[2] / "vectors" / "chain"
RLP = json.loads((VECTORS / "rlp.json").read_text())
TRIES = {name: case for name, case in json.loads((VECTORS / "trie.json").read_text()).items() if name != "source"}


def raw(value):
    if isinstance(value, list):
        return [raw(item) for item in value]
    if isinstance(value, str):
        return bytes.fromhex(value[2:]) if value.startswith("0x") else value.encode()
    return value


def as_item(value):
    """What decoding gives: integers come back as their bytes."""
    if isinstance(value, list):
        return [as_item(item) for item in value]
    return value.to_bytes((value.bit_length() + 7) // 8, "big") if isinstance(value, int) else value


def code(call, *arguments, **named) -> str:
    try:
        call(*arguments, **named)
    except VerificationError as error:
        return error.code
    return ""


@pytest.mark.parametrize(("value", "encoded"), RLP["valid"])
def test_published_encodings_are_read_and_written(value, encoded):
    assert rlp.encode(raw(value)) == raw(encoded)
    assert rlp.decode(raw(encoded)) == as_item(raw(value))


@pytest.mark.parametrize("name", RLP["invalid"])
def test_published_broken_encodings_are_refused(name):
    assert code(rlp.decode, raw(RLP["invalid"][name])) == "RLP_INVALID"


def test_bytes_after_the_item_deep_nesting_and_size_are_refused():
    assert code(rlp.decode, b"\xc0\x00") == code(rlp.decode, b"") == "RLP_INVALID"
    nested = b"\xc0"
    for _ in range(rlp.MAX_DEPTH - 1):
        nested = rlp.encode([rlp.decode(nested)])
    assert code(rlp.decode, nested) == ""
    assert code(rlp.decode, bytes([0xC0 + len(nested)]) + nested) == "RLP_INVALID"
    assert code(rlp.decode, rlp.encode(bytes(100)), max_bytes=101) == "RLP_INVALID"
    assert code(rlp.decode, rlp.encode(bytes(100)), max_bytes=102) == ""
    assert code(rlp.decode, b"\xff" * 4000) == "RLP_INVALID"
    assert code(rlp.decode, bytes.fromhex("c3c18180")) == "RLP_INVALID"  # a member that outgrows its list


def test_one_value_has_one_encoding():
    seeded = random.Random(20)
    read = 0
    for _ in range(20_000):
        data = bytes(
            seeded.choice((0x80, 0x81, 0xB8, 0xC0, 0xC1, 0xC2, 0xF8, 0, 5, 0x7F, 0xFF))
            for _ in range(seeded.randint(1, 9))
        )
        try:
            item = rlp.decode(data)
        except VerificationError:
            continue
        read += 1
        assert rlp.encode(item) == data
    assert read > 1000


@pytest.mark.parametrize(("item", "bits"), [(b"\0", 64), (b"\0\1", 64), (b"\1" * 9, 64), ([], 64)])
def test_integers_have_no_leading_zeros_and_fit(item, bits):
    assert code(rlp.integer, item, bits=bits) == "RLP_INVALID"
    assert rlp.integer(b"", bits=bits) == 0
    assert rlp.integer(b"\xff" * 8, bits=bits) == 2**64 - 1


@pytest.mark.parametrize("name", TRIES)
def test_published_tries_hold_their_entries_and_nothing_else(name):
    entries = {raw(key): raw(value) for key, value in TRIES[name]["in"].items()}
    built, root = Trie(entries), raw(TRIES[name]["root"])
    assert built.root == root
    for key, value in entries.items():
        assert trie.verify(root, key, built.proof(key)) == value
        for absent in (key + b"\0", key[:-1], key[:-1] + bytes([key[-1] ^ 1]), b"zebra"):
            if absent not in entries:
                assert trie.verify(root, absent, built.proof(absent)) is None


def test_nodes_inside_their_parents_are_followed():
    # The published trie of doe, dog and dogglesworth; the leaf of doe has 11 bytes and stands in the branch.
    root = raw("0x8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3")
    nodes = [
        raw("0xe5831646f6a0db6ae1fda66890f6693f36560d36b4dca68b4d838f17016b151efe1d4c95c453"),
        raw(
            "0xf83b8080808080ca20887265696e6465657280a037efd11993cb04a54048c25320e9f29c50a432d28afdf01598b2978ce1ca3068"
            "808080808080808080"
        ),
    ]
    assert trie.verify(root, b"doe", nodes) == b"reindeer"
    assert trie.verify(root, b"dof", nodes) is None
    assert code(trie.verify, root, b"dog", nodes) == "CHAIN_PROOF_INVALID"  # its node is missing
    inline = raw("0xca20887265696e64656572")
    assert code(trie.verify, root, b"doe", [*nodes, inline]) == "CHAIN_PROOF_INVALID"


def test_the_empty_trie_holds_nothing():
    assert trie.verify(trie.EMPTY_ROOT, b"key", []) is None
    assert trie.verify(trie.EMPTY_ROOT, b"key", [b"\x80"]) is None
    assert code(trie.verify, bytes(32), b"key", []) == "CHAIN_PROOF_INVALID"
    assert code(trie.verify, trie.EMPTY_ROOT, b"key", [b"\x80", b"\x80"]) == "CHAIN_PROOF_INVALID"
    assert code(trie.verify, keccak256(b"\x01"), b"key", [b"\x01"]) == "CHAIN_PROOF_INVALID"


def test_random_tries_prove_presence_and_absence_and_no_proof_serves_another_key():
    seeded = random.Random(7)
    for size in (1, 2, 3, 17, 300):
        entries = {keccak256(seeded.randbytes(8)): seeded.randbytes(seeded.randint(1, 40)) for _ in range(size)}
        built = Trie(entries)
        keys = list(entries)
        for key in keys[:20]:
            proof = built.proof(key)
            assert trie.verify(built.root, key, proof) == entries[key]
            other = keccak256(key)
            assert trie.verify(built.root, other, built.proof(other)) is None
            assert code(trie.verify, built.root, key, proof[:-1]) == "CHAIN_PROOF_INVALID"
            assert code(trie.verify, built.root, key, [*proof, proof[-1]]) == "CHAIN_PROOF_INVALID"
            assert code(trie.verify, built.root, key, proof[::-1]) == ("CHAIN_PROOF_INVALID" if len(proof) > 1 else "")


BRANCH = [keccak256(b"a"), keccak256(b"b"), *[b""] * 15]


@pytest.mark.parametrize(
    "node",
    [
        [b"", b"value"],  # no flag
        [b"\x40", b"value"],  # flags that do not exist
        [b"\x60", b"value"],
        [b"\x20", b""],  # an empty value
        [b"\x20", []],  # a value that is a list
        [b"\x01" + b"\x11" * 20, keccak256(b"a")],  # padding that is not zero
        [b"\x00", keccak256(b"a")],  # an extension of nothing
        [b"\x11", b"short"],  # a child that is neither hash nor node
        [b"\x11", [b"\x20", bytes(40)]],  # a node inside that is too long for it
        [*BRANCH[:16]],  # sixteen members
        [*BRANCH, b""],  # eighteen
        [keccak256(b"a"), *[b""] * 16],  # a branch with one way
        [keccak256(b"a"), b"x", *[b""] * 15],
        [keccak256(b"a"), [b"x"], *[b""] * 15],
        [*BRANCH[:16], []],
        b"not a list at all, but long enough to be one",
    ],
)
def test_nodes_that_no_trie_has_are_refused(node):
    encoded = rlp.encode(node)
    assert code(trie.verify, keccak256(encoded), b"\x25" + bytes(31), [encoded]) == "CHAIN_PROOF_INVALID"
    assert code(trie.verify, keccak256(encoded), b"", [encoded]) == "CHAIN_PROOF_INVALID"


def test_an_extension_leads_to_a_branch_and_short_nodes_are_never_named_by_hash():
    leaf = rlp.encode([hex_prefix([1] * 62, leaf=True), b"value"])
    extension = rlp.encode([hex_prefix([1, 1], leaf=False), keccak256(leaf)])
    assert code(trie.verify, keccak256(extension), b"\x11" * 32, [extension, leaf]) == "CHAIN_PROOF_INVALID"
    branch = rlp.encode([b"", [hex_prefix([1], leaf=True), b"v"], keccak256(b"b"), *[b""] * 14])
    assert trie.verify(keccak256(branch), b"\x11", [branch]) == b"v"
    nowhere = rlp.encode([hex_prefix([], leaf=False), keccak256(branch)])
    assert code(trie.verify, keccak256(nowhere), b"\x11", [nowhere, branch]) == "CHAIN_PROOF_INVALID"
    short = rlp.encode([hex_prefix([1], leaf=True), b"v"])
    branch = rlp.encode([*[b""] * 1, keccak256(short), keccak256(b"b"), *[b""] * 14])
    assert code(trie.verify, keccak256(branch), b"\x11", [branch, short]) == "CHAIN_PROOF_INVALID"
    inline = rlp.encode([*[b""] * 1, rlp.decode(short), keccak256(b"b"), *[b""] * 14])
    assert trie.verify(keccak256(inline), b"\x11", [inline]) == b"v"


def test_a_proof_has_a_bounded_number_of_nodes():
    nodes = [rlp.encode([hex_prefix([0], leaf=True), b"a value too long to stand inside"])]
    while len(nodes) < trie.MAX_NODES:
        nodes.insert(0, rlp.encode([keccak256(nodes[0]), keccak256(b"b"), *[b""] * 15]))
    assert trie.verify(keccak256(nodes[0]), bytes(trie.MAX_NODES // 2), nodes) == b"a value too long to stand inside"
    for _ in range(2):
        nodes.insert(0, rlp.encode([keccak256(nodes[0]), keccak256(b"b"), *[b""] * 15]))
    key = bytes(len(nodes) // 2)
    assert code(trie.verify, keccak256(nodes[0]), key, nodes) == "CHAIN_PROOF_INVALID"
