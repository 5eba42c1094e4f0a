"""Reading a stored version: as text cells, as chunks of arrays, as one table."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from compute.engines import loading
from compute.engines.errors import EngineRefused
from tests.factories import engines as factory

BLOCKS = {"district": ["North", "South, inner"]}
VALUES = {"base": (2, -1_000, 100_000)}
ROWS = [
    {"person_id": "012345678901234567", "district": "North", "base": "10.50"},
    {"person_id": 'a "b"', "district": "South, inner", "base": "-0.50"},
    {"person_id": "第三", "district": "North", "base": "0.00"},
]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return factory.write_dataset(tmp_path / "people", ROWS, blocks=BLOCKS, values=VALUES)


def test_records_are_the_cells_to_the_letter_in_the_order_asked(people):
    found = list(loading.records(people, loading.load_meta(people), ["base", "person_id"]))

    assert found == [(row["base"], row["person_id"]) for row in ROWS]


def test_chunks_put_one_after_the_other_are_the_table(people, monkeypatch):
    monkeypatch.setattr(loading, "CHUNK_ROWS", 2)
    meta = loading.load_meta(people)

    parts = list(loading.chunks(people, meta, values=["base"], blocks=True, ids=True))
    whole = loading.load_table(people, meta, values=["base"], blocks=True, ids=True)

    assert [part.blocks.size for part in parts] == [2, 1]
    assert np.concatenate([part.values["base"] for part in parts]).tolist() == whole.values["base"].tolist()
    assert whole.values["base"].tolist() == [1050, -50, 0]
    assert whole.blocks.tolist() == [0, 1, 0]
    assert whole.ids == [row["person_id"] for row in ROWS]
    assert all(left.meta == right.meta for left, right in pairwise(parts))


def test_a_cell_that_is_not_as_declared_ends_the_reading(people):
    meta = loading.load_meta(people)
    (people / "data.csv").write_text("person_id,district,base\n1,North,9999999.00\n")

    with pytest.raises(EngineRefused) as refused:
        list(loading.chunks(people, meta, values=["base"], blocks=True))
    assert refused.value.code == "ENGINE_ERROR"


def test_an_unknown_column_is_refused(people):
    with pytest.raises(EngineRefused) as refused:
        list(loading.records(people, loading.load_meta(people), ["nobody"]))
    assert refused.value.code == "COLUMN_UNKNOWN"
