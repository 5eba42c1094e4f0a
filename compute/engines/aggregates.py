"""Exact sums over blocks of rows, next to the rows, table after table: memory is that of the blocks, not of the rows.

All sums are whole numbers in int64 (`np.add.at`), never floating point: a float64 holds whole numbers only up to
2^53, which one squared wage in fen times a thousand rows exceeds. An int64 wraps without a sign, so each
accumulator knows how large one row's number can be by the declared bounds and moves what it has to Python's
unbounded integers before rows x largest reaches 2^63. Where that would be too often, a number is cut in halves that
are added up apart, number = high·2^31 + low, and nothing moves for 2^31 rows. A product that reaches 2^63 itself is
made of limbs: x = a·2^25 + b and y = c·2^25 + d, so that x·y = ac·2^50 + (ad + bc)·2^25 + bd.
"""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from compute.engines import gate
from compute.engines.base import Table
from compute.engines.blocks import BlockTotals
from compute.engines.metadata import ColumnMeta, DatasetMeta

_INT64 = 2**63
_LIMB = 25  # |x| < 2^50 as two limbs: what is made of them stays at 2^51 or under
_HALF = 31  # a number below 2^63 as two halves, of at most 2^32
_PIECE = 1 << 15  # rows at a time: a few columns of a piece fit the processor's second cache, 3x faster than 2^20
_MIN_ROWS = 4096  # moving more often than this, or than 64 rows for each block, costs more than adding up halves
_ONES = np.ones(_PIECE, np.int64)

_Ints = NDArray[np.int64]


class Aggregator:
    """Adds up tables of one dataset; `totals` is the same however the rows are cut into tables.

    Args:
        values: columns for sums and squares; products: pairs of them; is_banded: count persons by bands as well,
            those of all columns that have some, whether they are among the values or not.
    """

    def __init__(
        self,
        meta: DatasetMeta,
        *,
        values: Sequence[str],
        products: Sequence[tuple[str, str]] = (),
        is_banded: bool = False,
    ) -> None:
        self.rows = 0
        banded = meta.banded if is_banded else ()
        self.columns = tuple(dict.fromkeys([*values, *banded]))  # what the tables must hold
        self._columns = {name: meta.numeric(name) for name in self.columns}
        blocks = gate.blocks(meta.dimensions())
        self._counts = np.zeros(blocks, np.int64)
        largest = {name: max(1, column.largest) for name, column in self._columns.items()}
        self._sums = {name: _Sums(blocks, largest[name]) for name in values}
        self._squares = {name: _Products(blocks, largest[name], largest[name]) for name in values}
        self._products = {(a, b): _Products(blocks, largest[a], largest[b]) for a, b in products}
        self._bands = _Bands(blocks, [self._columns[name] for name in banded])

    def add(self, table: Table) -> None:
        """Add a table's rows; OverflowError for a value outside its declared bounds."""
        self.rows += table.blocks.size
        for start in range(0, table.blocks.size, _PIECE):
            block_of = table.blocks[start : start + _PIECE]
            piece = {name: table.values[name][start : start + _PIECE] for name in self._columns}
            for name, column in self._columns.items():
                if piece[name].size and not column.minimum <= piece[name].min() <= piece[name].max() <= column.maximum:
                    raise OverflowError("a value is outside its declared bounds")
            np.add.at(self._counts, block_of, _ONES[: block_of.size])
            for name, sums in self._sums.items():
                sums.add(block_of, piece[name])
            for name, squares in self._squares.items():
                squares.add(block_of, piece[name], piece[name])
            for (left, right), products in self._products.items():
                products.add(block_of, piece[left], piece[right])
            self._bands.add(block_of, piece)

    def totals(self) -> BlockTotals:
        """The totals of everything added so far."""
        return BlockTotals(
            counts=self._counts.tolist(),
            sums={name: sums.total() for name, sums in self._sums.items()},
            squares={name: squares.total() for name, squares in self._squares.items()},
            products={pair: products.total() for pair, products in self._products.items()},
            cells=self._bands.total(),
        )


class _Sums:
    """Sums of numbers of at most `largest` in each block."""

    def __init__(self, blocks: int, largest: int) -> None:
        self._is_halved = (_INT64 - 1) // largest < max(_MIN_ROWS, 64 * blocks)
        self._limit = 1 << _HALF if self._is_halved else (_INT64 - 1) // largest
        self._pending = [np.zeros(blocks, np.int64) for _ in range(1 + self._is_halved)]
        self._moved = [0] * blocks
        self._rows = 0

    def add(self, block_of: _Ints, numbers: _Ints) -> None:
        """Add numbers to their blocks, at most _PIECE of them."""
        for start in range(0, block_of.size, self._limit):
            stop = min(start + self._limit, block_of.size)
            if self._rows + stop - start > self._limit:
                self._move()
            self._rows += stop - start
            part = numbers[start:stop]
            halves = [part & ((1 << _HALF) - 1), part >> _HALF] if self._is_halved else [part]
            for pending, half in zip(self._pending, halves, strict=True):
                np.add.at(pending, block_of[start:stop], half)

    def total(self) -> list[int]:
        """The sum of each block, exact."""
        self._move()
        return list(self._moved)

    def _move(self) -> None:
        for number, pending in enumerate(self._pending):
            shift = number * _HALF
            self._moved = [moved + (new << shift) for moved, new in zip(self._moved, pending.tolist(), strict=True)]
            pending[:] = 0
        self._rows = 0


class _Products:
    """Sums of products of two numbers of at most `left` and `right` in each block."""

    def __init__(self, blocks: int, left: int, right: int) -> None:
        self._is_cut = left * right >= _INT64
        self._sums = (
            [_Sums(blocks, 1 << 2 * _LIMB + 1) for _ in range(3)] if self._is_cut else [_Sums(blocks, left * right)]
        )

    def add(self, block_of: _Ints, left: _Ints, right: _Ints) -> None:
        """Add the products to their blocks."""
        for sums, numbers in zip(self._sums, self._parts(left, right), strict=True):
            sums.add(block_of, numbers)

    def total(self) -> list[int]:
        """The sum of products of each block, exact."""
        parts = [sums.total() for sums in self._sums]
        if not self._is_cut:
            return parts[0]
        return [(high << 2 * _LIMB) + (middle << _LIMB) + low for high, middle, low in zip(*parts, strict=True)]

    def _parts(self, left: _Ints, right: _Ints) -> list[_Ints]:
        if not self._is_cut:
            return [left * right]
        mask = (1 << _LIMB) - 1
        a, b, c, d = left >> _LIMB, left & mask, right >> _LIMB, right & mask
        return [a * c, a * d + b * c, b * d]


class _Bands:
    """Persons of each block in each combination of the columns' bands."""

    def __init__(self, blocks: int, columns: Sequence[ColumnMeta]) -> None:
        self._columns = columns
        self._width = prod(column.bands for column in columns)
        self._counts = np.zeros(blocks * self._width if columns else 0, np.int64)

    def add(self, block_of: _Ints, values: Mapping[str, _Ints]) -> None:
        """Count these rows."""
        if not self._columns:
            return
        cell = block_of
        for column in self._columns:
            band = np.zeros(block_of.size, np.int8)
            for cut in column.cuts:  # a pass of compares for each cut: faster than a binary search up to some sixty
                band += (values[column.name] >= cut).view(np.int8)
            cell = cell * column.bands + band
        np.add.at(self._counts, cell, _ONES[: block_of.size])

    def total(self) -> list[list[int]]:
        """The cells of each block."""
        found: list[list[int]] = self._counts.reshape(-1, self._width).tolist()
        return found
