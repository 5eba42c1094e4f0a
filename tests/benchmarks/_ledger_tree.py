"""Trees without a database: proofs at a million leaves, and how appending and proving grow up to ten million.

Times are those of the processor, not of the clock: ten million leaves take long enough for company to come and go.
"""

import hashlib
import math
import random
import time
from collections.abc import Iterator

from ledger.proofs import merkle, tiles
from ledger.proofs.tile_cache import CachedTiles
from tests.benchmarks._timing import Demands, processor

SIZES = (10**4, 10**5, 10**6, 10**7)
BATCH = 1000
PROOFS = 500
MOST_MS = 0.1
MOST_EXPONENT = 1.05
MOST_PROOF_EXPONENT = 0.2  # a logarithm: 14 to 24 steps over a thousandfold is 0.08


def run(demands: Demands) -> Iterator[tuple[str, str]]:
    tree = _Tree()
    appended: dict[int, float] = {}
    proved: dict[int, float] = {}
    for size in SIZES:
        tree.grow(size)
        appended[size] = tree.spent
        making, verifying, cold, steps = tree.proofs(size)
        proved[size] = making
        yield (
            f"{size:>10,} leaves: appended {BATCH:,} at a time, in memory",
            f"{size / tree.spent:9,.0f} leaves/s   one proof {making * 1000:.3f} ms, {steps} hashes",
        )
        if size == 10**6:
            say = demands.check(making * 1000 < MOST_MS, f"under {MOST_MS} ms")
            yield "inclusion proof made at 10^6 leaves, tiles kept in memory", f"{making * 1000:9.4f} ms   {say}"
            say = demands.check(verifying * 1000 < MOST_MS, f"under {MOST_MS} ms")
            yield "inclusion proof verified at 10^6 leaves", f"{verifying * 1000:9.4f} ms   {say}"
            yield "the same made from bare tiles, nothing kept between proofs", f"{cold * 1000:9.4f} ms"
    exponent = _exponent(appended)
    say = demands.check(exponent <= MOST_EXPONENT, f"at most {MOST_EXPONENT}")
    yield "growth exponent of appending, 10^4 to 10^7", f"{exponent:9.3f}   {say}"
    exponent = _exponent(proved)
    say = demands.check(exponent <= MOST_PROOF_EXPONENT, f"logarithmic, at most {MOST_PROOF_EXPONENT}")
    yield "growth exponent of one proof, 10^4 to 10^7", f"{exponent:9.3f}   {say}"


def _exponent(measured: dict[int, float]) -> float:
    small, large = min(measured), max(measured)
    return math.log(measured[large] / measured[small]) / math.log(large / small)


class _Tree:
    """Tiles in a dictionary; `spent` counts the seconds of appending alone."""

    def __init__(self) -> None:
        self.size = 0
        self.spent = 0.0
        self.stored: dict[tiles.Place, bytes] = {}

    def grow(self, size: int) -> None:
        while self.size < size:
            hashes = [_leaf(number) for number in range(self.size, self.size + BATCH)]
            began = time.process_time()
            self.stored |= tiles.append(size=self.size, leaf_hashes=hashes, read=self._read)
            self.spent += time.process_time() - began
            self.size += BATCH

    def proofs(self, size: int) -> tuple[float, float, float, int]:
        """Seconds of one proof made and verified, of one made from bare tiles, and its longest path."""
        choose = random.Random(size)
        indexes = [choose.randrange(size) for _ in range(PROOFS)]
        cached = CachedTiles(self._read, keep=PROOFS + 1000)

        def make() -> list[list[bytes]]:
            return [cached.inclusion_path(index=index, size=size) for index in indexes]

        paths = make()  # the tiles of these leaves are kept now
        root = tiles.root(size=size, read=self._read)
        making = processor(make, times=7) / PROOFS

        def verify() -> None:
            for index, path in zip(indexes, paths, strict=True):
                merkle.verify_inclusion(index=index, size=size, leaf_hash=_leaf(index), path=path, root=root)

        verifying = processor(verify) / PROOFS
        some = indexes[:200]
        bare = processor(lambda: [tiles.inclusion_path(index=one, size=size, read=self._read) for one in some])
        return making, verifying, bare / len(some), max(map(len, paths))

    def _read(self, level: int, index: int) -> bytes:
        return self.stored.get((level, index), b"")


def _leaf(number: int) -> bytes:
    return hashlib.sha256(b"\x00%d" % number).digest()
