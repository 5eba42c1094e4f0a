"""Tiles: the same tree, cut into files of 256 hashes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proofs import merkle, tiles
from ledger.proofs.errors import VerificationError
from tests.unit.ledger.known_answers import code_of, load

KNOWN = load("tiles/cases.json")
LEAVES = [merkle.leaf_hash(number.to_bytes(3, "big")) for number in range(70_000)]


@pytest.fixture(scope="module")
def store():
    """70,000 leaves appended in uneven batches: three levels, the top one just begun."""
    stored: dict[tiles.Place, bytes] = {}
    size, rng, read = 0, random.Random(3), reader(stored)
    while size < len(LEAVES):
        batch = LEAVES[size : size + rng.choice([1, 255, 256, 257, 1000])]
        stored.update(tiles.append(size=size, leaf_hashes=batch, read=read))
        size += len(batch)
    return stored


def reader(stored):
    return lambda level, index: stored.get((level, index), b"")


def test_tiles_have_the_widths_of_the_specification(store):
    size = len(LEAVES)

    for (level, index), data in store.items():
        assert len(data) == 32 * tiles.width(level=level, index=index, size=size) <= 8192
    assert {level: sum(1 for place in store if place[0] == level) for level in (0, 1, 2)} == {0: 274, 1: 2, 2: 1}
    assert tiles.width(level=0, index=273, size=size) == 70_000 % 256
    assert tiles.width(level=1, index=1, size=size) == 70_000 // 256 - 256
    assert tiles.width(level=0, index=274, size=size) == 0


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 70_000])
def test_roots_and_proofs_from_tiles_equal_those_from_leaves(store, size):
    read, rng = reader(store), random.Random(size)
    expected = merkle.root(LEAVES[:size])

    assert tiles.root(size=size, read=read) == expected
    for index in {0, size - 1, rng.randrange(size)}:
        path = tiles.inclusion_path(index=index, size=size, read=read)
        merkle.verify_inclusion(index=index, size=size, leaf_hash=LEAVES[index], path=path, root=expected)
    old_size = rng.randrange(1, size + 1)
    merkle.verify_consistency(
        old_size=old_size,
        new_size=size,
        old_root=merkle.root(LEAVES[:old_size]),
        new_root=expected,
        proof=tiles.consistency_proof(old_size=old_size, new_size=size, read=read),
    )


def test_a_tile_beyond_the_size_given_is_cut_back_before_it_grows(store):
    """In a store without transactions a crash leaves hashes that were never counted; they give way."""
    stored = {(0, 0): b"".join(LEAVES[:10])}

    changed = tiles.append(size=4, leaf_hashes=[LEAVES[99]], read=reader(stored))

    assert changed == {(0, 0): b"".join([*LEAVES[:4], LEAVES[99]])}


def test_missing_hashes_are_found_not_invented():
    with pytest.raises(VerificationError, match="tile"):
        tiles.root(size=5, read=lambda _level, _index: b"".join(LEAVES[:4]))
    with pytest.raises(VerificationError, match="shorter"):
        tiles.append(size=5, leaf_hashes=LEAVES[:1], read=lambda _level, _index: b"".join(LEAVES[:4]))


@pytest.mark.parametrize("case", KNOWN["trees"], ids=lambda case: f"{case['size']} leaves")
def test_trees_are_cut_as_the_specification_says(case):
    for level, (full, partial) in enumerate(case["levels"]):
        widths = [tiles.width(level=level, index=index, size=case["size"]) for index in range(full + 2)]
        assert [width for width in widths if width] == [256] * full + [partial] * (partial > 0)
    assert tiles.width(level=len(case["levels"]), index=0, size=case["size"]) == 0


@pytest.mark.parametrize(("path", "index", "width"), KNOWN["paths"])
def test_paths_are_those_of_the_specification(path, index, width):
    assert tiles.parse_path(path) == (index, width)
    assert tiles.format_path(index, width=width) == path
    if width == tiles.WIDTH:
        assert tiles.format_path(index) == path


@pytest.mark.parametrize("path", [*KNOWN["other_forms"], "x001/" * 2000 + "000", "x999/" * 5 + "999"])
def test_other_forms_of_a_path_are_refused(path):
    assert code_of(lambda: tiles.parse_path(path)) == "PATH_INVALID"


@given(st.integers(0, 2**53 - 1), st.integers(1, 256))
def test_every_number_has_one_path(index, width):
    assert tiles.parse_path(tiles.format_path(index, width=width)) == (index, width)


def test_known_bundles_read_and_write():
    for case in KNOWN["bundles"]:
        data, entries = bytes.fromhex(case["data"]), case["entries"]
        if entries is None:
            assert code_of(lambda data=data: tiles.parse_entries(data)) == "BUNDLE_INVALID", case["name"]
            continue
        assert [entry.hex() for entry in tiles.parse_entries(data)] == entries
        assert tiles.format_entries(map(bytes.fromhex, entries)) == data


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_bundles_read_back(entries):
    assert tiles.parse_entries(tiles.format_entries(entries)) == entries


def test_bundles_beyond_their_bounds_are_refused():
    assert code_of(lambda: tiles.format_entries([b""] * 257)) == "BUNDLE_INVALID"
    assert code_of(lambda: tiles.format_entries([bytes(65_536)])) == "BUNDLE_INVALID"
    assert code_of(lambda: tiles.parse_entries(bytes(2 * 257))) == "BUNDLE_INVALID"
    assert len(tiles.parse_entries(bytes(2 * 256))) == 256


def test_a_tile_with_half_a_hash_is_refused():
    assert code_of(lambda: tiles.split(bytes(33))) == "TILE_INVALID"
    assert code_of(lambda: tiles.root(size=2, read=lambda _level, _index: bytes(63))) == "TILE_INVALID"
