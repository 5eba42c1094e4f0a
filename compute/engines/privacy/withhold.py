"""Which blocks of one column may never be told, decided once for a version, whatever is asked later.

A block of a column is withheld where

- **small**: it has fewer than k persons; every engine leaves it out anyway, for the k of its run.
- **equal**: all its persons have the same value; the mean would be everybody's.
- **dominated**: one person is most of the sum. `p`: the second largest can work out the largest to within p percent,
  that is, total - first - second < p/100 * first. `n`, `k`: the n largest make up more than k percent of the total.
  Values count by their size, signs aside. The owner chooses the rule in schema.toml.
- **near**: an earlier version was answered, and this one differs from it by 1 to k - 1 persons who joined, left or
  have another value. Subtracting the two answers would speak of these few. A version is compared with every version
  whose column was answered before it, block by block; it needs the id column, the same block dimensions and at most
  `MAX_COMPARED_ROWS` rows, and without these every block is near.

With p = 10 and wages of 900, 40, 30 and seven of 10: 1,040 - 900 - 40 = 100 >= 90, told. With 960 instead of 900:
1,100 - 960 - 40 = 100 > 96, told; with 1,100: 100 < 110, withheld.

`python -I -m compute.engines.privacy.withhold` reads a question and writes block numbers, as JSON: the daemon itself
loads no numpy. Source: Hundepool and others, Statistical Disclosure Control, 2012, 4.2 (p% and (n, k)).
"""

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import gate, loading
from compute.engines.metadata import DatasetMeta

MAX_COMPARED_ROWS = 2_000_000  # identifiers of the earlier version are held in memory: about 300 MB
_DEFAULT_N = 2  # the two largest, which the p rule needs too

Ints = NDArray[np.int64]


def decide(
    directory: Path, column: str, *, rule: Mapping[str, int], earlier: Sequence[Path], k: int
) -> dict[str, list[int]]:
    """Block numbers by reason: small, equal, dominated, near.

    Args:
        rule: of the owner, `{"p": 10}`, `{"n": 2, "k": 85}`, both, or nothing.
        earlier: directories of the versions whose same column was answered before.
        k: persons; a difference of fewer is near.
    Raises:
        EngineRefused: ENGINE_ERROR or COMMITMENT for files that are not what they say.
    """
    meta = loading.load_meta(directory)
    found = _spread(directory, meta, column, largest=max(_DEFAULT_N, rule.get("n", 0)))
    blocks = range(gate.blocks(meta.dimensions()))
    near: set[int] = set()
    for other in earlier:
        near |= _near(directory, meta, other, column, k=k)
    return {
        "small": [b for b in blocks if 0 < found.counts[b] < k],
        "equal": [b for b in blocks if found.counts[b] and found.lowest[b] == found.highest[b]],
        "dominated": [b for b in blocks if is_dominated(found.top[b].tolist(), int(found.totals[b]), rule)],
        "near": sorted(near),
    }


def is_dominated(top: Sequence[int], total: int, rule: Mapping[str, int]) -> bool:
    """Whether a block's sum says too much about its largest contributors.

    Args:
        top: the largest sizes, in descending order; total: of all sizes.
    """
    if not total:
        return False
    if "p" in rule and (total - top[0] - top[1]) * 100 < rule["p"] * top[0]:
        return True
    return "n" in rule and sum(top[: rule["n"]]) * 100 > rule["k"] * total


class _Spread:
    """What the rules need of every block: persons, lowest, highest, total size, largest sizes."""

    def __init__(self, blocks: int, largest: int) -> None:
        self.counts: Ints = np.zeros(blocks, np.int64)
        self.lowest: Ints = np.full(blocks, np.iinfo(np.int64).max)
        self.highest: Ints = np.full(blocks, np.iinfo(np.int64).min)
        self.totals: list[int] = [0] * blocks
        self.top: Ints = np.zeros((blocks, largest), np.int64)

    def add(self, block_of: Ints, values: Ints) -> None:
        """Take one chunk of rows."""
        if not values.size:
            return
        self.counts += np.bincount(block_of, minlength=self.counts.size)
        np.minimum.at(self.lowest, block_of, values)
        np.maximum.at(self.highest, block_of, values)
        sizes = np.abs(values)
        step = max(1, (2**63 - 1) // max(1, int(sizes.max())))  # no 64-bit sum can wrap
        for start in range(0, sizes.size, step):
            sums = np.zeros(len(self.totals), np.int64)
            np.add.at(sums, block_of[start : start + step], sizes[start : start + step])
            self.totals = [total + int(more) for total, more in zip(self.totals, sums, strict=True)]
        self._add_largest(block_of, sizes)

    def _add_largest(self, block_of: Ints, sizes: Ints) -> None:
        """Only who is larger than the last of the largest so far can matter: after the first chunk, few are."""
        is_larger = sizes > self.top[block_of, -1]
        block_of, sizes = block_of[is_larger], sizes[is_larger]
        order = np.lexsort((-sizes, block_of))
        sorted_blocks = block_of[order]
        present, starts = np.unique(sorted_blocks, return_index=True)
        ends = [*starts[1:], sorted_blocks.size]
        width = self.top.shape[1]
        for block, start, end in zip(present, starts, ends, strict=True):
            both = np.concatenate([self.top[block], sizes[order[start : min(end, start + width)]]])
            self.top[block] = -np.sort(-both)[:width]


def _spread(directory: Path, meta: DatasetMeta, column: str, *, largest: int) -> _Spread:
    found = _Spread(gate.blocks(meta.dimensions()), largest)
    for table in loading.chunks(directory, meta, values=[column], blocks=True):
        found.add(table.blocks.astype(np.int64), table.values[column].astype(np.int64))
    return found


def _near(directory: Path, meta: DatasetMeta, other: Path, column: str, *, k: int) -> set[int]:
    """Blocks in which two versions differ by some persons, and by fewer than k."""
    before = loading.load_meta(other)
    everything = set(range(gate.blocks(meta.dimensions())))
    is_comparable = (
        meta.id is not None
        and before.id is not None
        and meta.dimensions() == before.dimensions()
        and max(meta.magnitude, before.magnitude) <= MAX_COMPARED_ROWS
        and column in before.columns
        and before.columns[column].is_numeric
    )
    if not is_comparable:
        return everything
    finest = max(found.columns[column].scale for found in (before, meta))
    was_factor, factor = (10 ** (finest - found.columns[column].scale) for found in (before, meta))
    known = {person: (block, value * was_factor) for person, block, value in _persons(other, before, column)}
    joined, changed = [0] * len(everything), [0] * len(everything)
    for person, block, value in _persons(directory, meta, column):
        was = known.pop(person, None)
        if was is not None and was[0] == block:
            changed[block] += was[1] != value * factor
            continue
        joined[block] += 1
        if was is not None:
            joined[was[0]] += 1
    for block, _ in known.values():
        joined[block] += 1
    # Counts tell of those who joined and left, sums of those and of all whose value is another.
    return {b for b in everything if 0 < joined[b] < k or 0 < joined[b] + changed[b] < k}


def _persons(directory: Path, meta: DatasetMeta, column: str) -> Any:
    for table in loading.chunks(directory, meta, values=[column], blocks=True, ids=True):
        for person, block, value in zip(
            table.ids or (), table.blocks.tolist(), table.values[column].tolist(), strict=True
        ):
            # The same person spelled otherwise in another version is the same person.
            known = person if person.isascii() else unicodedata.normalize("NFKC", person)
            yield known.casefold(), block, value


def main() -> None:
    """Answer the question on standard input."""
    asked = json.load(sys.stdin)
    found = decide(
        Path(asked["directory"]),
        asked["column"],
        rule=asked["rule"],
        earlier=[Path(item) for item in asked["earlier"]],
        k=asked["k"],
    )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
