"""Proofs from kept tiles are those from the tiles themselves."""

import random

import pytest

from ledger.proofs import merkle, tiles
from ledger.proofs.errors import VerificationError
from ledger.proofs.tile_cache import CachedTiles

LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(256 * 256 + 700)]


@pytest.fixture(scope="module")
def stored():
    return tiles.append(size=0, leaf_hashes=LEAVES, read=lambda level, index: b"")


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700, 65_535, 65_536, 65_537, len(LEAVES)])
@pytest.mark.parametrize("keep", [0, 1, 4096])
def test_proofs_are_the_same_bytes(stored, size, keep):
    def read(level, index):
        return stored.get((level, index), b"")

    cached, choose = CachedTiles(read, keep=keep), random.Random(size)

    for _ in range(5):
        index, old = choose.randrange(size), choose.randint(1, size)
        assert cached.inclusion_path(index=index, size=size) == tiles.inclusion_path(index=index, size=size, read=read)
        wanted = tiles.consistency_proof(old_size=old, new_size=size, read=read)
        assert cached.consistency_proof(old_size=old, new_size=size) == wanted


def test_a_tile_that_still_grows_is_read_again():
    stored = tiles.append(size=0, leaf_hashes=LEAVES[:3], read=lambda level, index: b"")
    cached = CachedTiles(lambda level, index: stored[level, index])
    first = cached.inclusion_path(index=0, size=3)
    stored |= tiles.append(size=3, leaf_hashes=LEAVES[3:300], read=lambda level, index: stored.get((level, index), b""))

    assert cached.inclusion_path(index=0, size=300) != first
    merkle.verify_inclusion(
        index=0, size=300, leaf_hash=LEAVES[0], path=cached.inclusion_path(index=0, size=300),
        root=merkle.root(LEAVES[:300]),
    )  # fmt: skip


def test_a_full_tile_is_read_once(stored):
    asked = []

    def read(level, index):
        asked.append((level, index))
        return stored.get((level, index), b"")

    cached = CachedTiles(read)
    for index in (0, 1, 128, 255):
        cached.inclusion_path(index=index, size=512)

    assert asked.count((0, 0)) == 1


def test_a_tile_that_is_too_short_is_said_so():
    with pytest.raises(VerificationError, match="lacks hashes"):
        CachedTiles(lambda level, index: LEAVES[0]).inclusion_path(index=0, size=4)
