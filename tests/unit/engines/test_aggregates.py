"""Exact sums next to the rows, also where 64 bits would wrap, and the same however rows are cut into chunks."""

from itertools import pairwise

import numpy as np
import pytest

from compute.engines import aggregates, metadata
from compute.engines.base import Table
from compute.engines.errors import EngineRefused
from compute.engines.loading import load_table
from tests.factories.engines import schema, write_dataset


def described(bounds, *, rows=1, bands=None):
    values = {name: (0, low, high) for name, (low, high) in bounds.items()}
    return metadata.from_schema(schema(rows=rows, blocks={"part": "abc"}, values=values, bands=bands))


def added(meta, tables, **kwargs):
    aggregator = aggregates.Aggregator(meta, values=list(tables[0].values), **kwargs)
    for table in tables:
        aggregator.add(table)
    return aggregator.totals()


@pytest.mark.parametrize(
    "largest", [9, 2**20, 6_000_000, 2**25 + 1, 2**31, 3_037_000_500, 2**40 + 1, 10**15], ids="largest {}".format
)
@pytest.mark.parametrize("is_extreme", [False, True])
def test_sums_squares_and_products_are_those_of_whole_numbers(largest, is_extreme, monkeypatch):
    """2^25 and 3,037,000,500 (its square passes 2^63) are where an accumulator changes its way."""
    monkeypatch.setattr(aggregates, "_PIECE", 1 << 12)  # several pieces
    drawn = np.random.default_rng(largest % 2**32)
    blocks = drawn.integers(0, 3, 20_000)
    if is_extreme:
        x, y = drawn.choice([-largest, largest], (2, 20_000))
    else:
        x, y = drawn.integers(-largest, largest, (2, 20_000), endpoint=True)
    meta = described({"x": (-largest, largest), "y": (-largest, largest)}, rows=20_000)

    totals = added(meta, [Table(meta, blocks, {"x": x, "y": y})], products=[("x", "y")])

    for block in range(3):
        mine = [(int(a), int(b)) for a, b in zip(x[blocks == block], y[blocks == block], strict=True)]
        assert totals.counts[block] == len(mine)
        assert totals.sums["x"][block] == sum(a for a, _ in mine)
        assert totals.squares["x"][block] == sum(a * a for a, _ in mine)
        assert totals.products["x", "y"][block] == sum(a * b for a, b in mine)


def test_what_waits_in_64_bits_moves_before_it_wraps(monkeypatch):
    """400 rows of a square of which a 64-bit sum takes 102; with a `_move` that never comes in time, it wraps."""
    monkeypatch.setattr(aggregates, "_MIN_ROWS", 1)
    largest, rows = 300_000_000, 400
    meta = metadata.from_schema(schema(rows=rows, blocks={}, values={"x": (0, 0, largest)}))
    tables = [Table(meta, np.zeros(rows, np.int64), {"x": np.full(rows, largest)})]
    move = aggregates._Sums._move

    assert added(meta, tables).squares["x"] == [rows * largest**2]
    monkeypatch.setattr(aggregates._Sums, "_move", lambda sums: move(sums) if sums._rows == rows else None)
    assert added(meta, tables).squares["x"] != [rows * largest**2]


def test_a_double_is_not_exact_where_these_sums_are():
    """Why the sums are not floating point: one fen is lost in 2^53."""
    meta = described({"x": (0, 2**49)})
    x = np.array([2**49] * 16 + [1])
    blocks = np.zeros(17, np.int64)

    assert added(meta, [Table(meta, blocks, {"x": x})]).sums["x"][0] == 2**53 + 1
    assert np.bincount(blocks, weights=x)[0] == 2**53


def test_chunks_add_up_to_the_whole():
    drawn = np.random.default_rng(5)
    x, y, blocks = drawn.integers(-50, 51, 1000), drawn.integers(0, 9, 1000), drawn.integers(0, 3, 1000)
    meta = described({"x": (-50, 50), "y": (0, 9)}, bands={"x": (-3, 0, 17), "y": (5,)})
    asked = {"products": [("y", "x")], "is_banded": True}

    def part(start, stop):
        return Table(meta, blocks[start:stop], {"x": x[start:stop], "y": y[start:stop]})

    whole = added(meta, [part(0, 1000)], **asked)

    for cuts in ([0, 1000, 1000], [0, 1, 500, 1000], [0, 0, 333, 334, 1000]):
        assert added(meta, [part(*ends) for ends in pairwise(cuts)], **asked) == whole
    assert whole.cells == [
        [
            int(((x >= left) & (x < right) & (y >= low) & (y < high) & (blocks == block)).sum())
            for left, right in pairwise([-51, -3, 0, 17, 51])
            for low, high in pairwise([0, 5, 10])
        ]
        for block in range(3)
    ]


def test_what_is_counted_by_bands_needs_every_banded_column():
    """Whether a block is told is the schema's affair and not the request's."""
    meta = described({"x": (-50, 50), "y": (0, 9)}, bands={"y": (5,)})

    assert aggregates.Aggregator(meta, values=["x"]).columns == ("x",)
    assert aggregates.Aggregator(meta, values=["x"], is_banded=True).columns == ("x", "y")


def test_a_value_outside_its_bounds_is_not_added_up():
    meta = described({"x": (0, 100)})
    with pytest.raises(OverflowError):
        added(meta, [Table(meta, np.zeros(1, np.int64), {"x": np.array([-1])})])


@pytest.mark.parametrize(
    ("_case", "cell", "category"),
    [
        ("outside its bounds", "101", "a"),
        ("not a number", "1e2", "a"),
        ("a category not declared", "1", "z"),
        ("empty", "", "a"),
    ],
)
def test_a_file_that_is_not_what_its_schema_says_ends_the_run(tmp_path, _case, cell, category):
    stored = write_dataset(
        tmp_path / "data",
        [{"person_id": "p", "part": category, "base": cell}],
        blocks={"part": "ab"},
        values={"base": (0, 0, 100)},
    )
    meta = metadata.from_schema(schema(rows=1, blocks={"part": "ab"}, values={"base": (0, 0, 100)}))

    with pytest.raises(EngineRefused) as refused:
        load_table(stored, meta, values=["base"], blocks=True, ids=False)

    assert refused.value.code == "ENGINE_ERROR"
