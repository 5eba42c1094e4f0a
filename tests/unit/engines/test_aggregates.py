"""Exact sums next to the rows, also where 64 bits would wrap."""

import numpy as np
import pytest

from compute.engines import aggregates, metadata
from compute.engines.base import Table
from compute.engines.errors import EngineRefused
from compute.engines.loading import load_table
from tests.factories.engines import schema, write_dataset


@pytest.mark.parametrize("largest", [9, 2**31, 10**15])
def test_sums_and_squares_are_those_of_whole_numbers(largest):
    drawn = np.random.default_rng(largest)
    blocks = drawn.integers(0, 3, 20_000)
    values = drawn.integers(-largest, largest, 20_000, endpoint=True)
    described = schema(rows=20_000, blocks={"part": "abc"}, values={"base": (0, -largest, largest)})
    table = Table(meta=metadata.from_schema(described), blocks=blocks, values={"base": values})

    sums, squares = aggregates.block_sums(table, "base")

    for block in range(3):
        mine = [int(value) for value in values[blocks == block]]
        assert sums[block] == sum(mine)
        assert squares[block] == sum(value * value for value in mine)
    assert sum(aggregates.block_counts(table)) == 20_000


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
