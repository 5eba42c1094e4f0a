"""Exact sums over blocks of rows, next to the rows; numbers that do not fit 64 bits included."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.engines import gate
from compute.engines.base import Table

_INT64 = 2**63
_LIMB = 25  # |x| < 2^50 as two limbs: every product below stays under 2^51
_MIN_CHUNK = 4096  # below this many rows to a 64-bit sum, limbs are faster


def block_counts(table: Table) -> list[int]:
    """How many rows each block has."""
    blocks = gate.blocks(table.meta.dimensions())
    return [int(count) for count in np.bincount(table.blocks, minlength=blocks)]


def block_sums(table: Table, column: str) -> tuple[list[int], list[int]]:
    """Sum and sum of squares of a column in each block, exact."""
    blocks = gate.blocks(table.meta.dimensions())
    values, largest = table.values[column], max(1, table.meta.numeric(column).largest)
    if values.size and int(np.abs(values).max()) > largest:
        raise OverflowError("a value is outside its declared bounds")
    rows = min(1 << 22, (_INT64 - 1) // (largest * largest))
    if rows >= _MIN_CHUNK:
        return _sums(table.blocks, [values], blocks, rows), _sums(table.blocks, [values, values], blocks, rows)
    high, low = values >> _LIMB, values & ((1 << _LIMB) - 1)
    rows = (_INT64 - 1) >> (2 * _LIMB + 2)
    totals = [_sums(table.blocks, [limb], blocks, rows) for limb in (high, low)]
    squares = [_sums(table.blocks, pair, blocks, rows) for pair in ([high, high], [high, low], [low, low])]
    return (
        [(h << _LIMB) + low_ for h, low_ in zip(*totals, strict=True)],
        [(hh << 2 * _LIMB) + (hl << _LIMB + 1) + ll for hh, hl, ll in zip(*squares, strict=True)],
    )


def _sums(block_of: NDArray[np.int64], factors: Sequence[NDArray[np.int64]], blocks: int, rows: int) -> list[int]:
    """Sum the product of the factors in each block, `rows` at a time so that no 64-bit sum wraps."""
    totals = [0] * blocks
    for start in range(0, block_of.size, rows):
        stop = start + rows
        piece = factors[0][start:stop]
        for factor in factors[1:]:
            piece = piece * factor[start:stop]
        sums = np.zeros(blocks, np.int64)
        np.add.at(sums, block_of[start:stop], piece)
        totals = [total + int(value) for total, value in zip(totals, sums, strict=True)]
    return totals
