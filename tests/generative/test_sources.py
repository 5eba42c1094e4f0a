"""Random tables with random flaws: a delimited file, Parquet and DuckDB are taken alike or refused alike."""

import csv
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines import loading
from compute.node import datasets
from compute.node.errors import DatasetInvalid
from compute.node.sources import Source, find
from compute.node.store import Store
from tests.factories.node import NOW

SCHEMA = """
[dataset]
encoding = "utf-8"
id = "person_id"
[columns.person_id]
type = "text"
[columns.district]
type = "category"
values = ["东湖区", "North"]
[columns.base]
type = "decimal"
scale = 2
min = -50
max = 50
[columns.note]
type = "text"
"""
NAMES = ["person_id", "district", "base", "note"]
_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFFF, exclude_categories=["Cs"]), max_size=6)
_ID = st.one_of(
    st.integers(0, 40).map(lambda number: f"ID{number:018d}"),
    st.sampled_from(["11010519491231002X", "11010519491231002x", "１２", "1e5", "", "a\u200b", " a", "a"]),
)
_ROW = st.tuples(
    _ID,
    st.sampled_from(["东湖区"] * 12 + ["North"] * 12 + ["north"]),
    st.decimals(-51, 51, places=2),
    st.one_of(st.none(), _TEXT),
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(_ROW, min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_every_source_takes_the_same_rows_or_refuses_with_the_same_reason(
    rows: list[tuple[str, str, Decimal, str | None]],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = [_outcome(Path(place), source) for source in _sources(Path(place), rows)]

    assert found[1:] == found[:-1]


def _sources(place: Path, rows: list[tuple[str, str, Decimal, str | None]]) -> list[Source]:
    with (place / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        writer.writerows([[one, district, f"{base:.2f}", note or ""] for one, district, base, note in rows])
    with duckdb.connect(str(place / "in.duckdb")) as connection:
        connection.execute("CREATE TABLE people (person_id VARCHAR, district VARCHAR, base DECIMAL(6,2), note VARCHAR)")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
        connection.execute(f"COPY people TO '{place}/in.parquet' (FORMAT parquet)")
    return [find(f"csv:{place}/in.csv"), find(f"parquet:{place}/in.parquet"), find(f"duckdb:{place}/in.duckdb#people")]


def _outcome(place: Path, source: Source) -> Any:
    (place / "in.toml").write_text(SCHEMA, encoding="utf-8")
    root = place / "datasets"
    root.mkdir(exist_ok=True)
    store = Store(place / "node.sqlite3", clock=lambda: NOW)
    try:
        added = datasets.add(source, name="people", schema_path=place / "in.toml", root=root, store=store)
    except DatasetInvalid as refused:
        assert not list(root.glob(".incoming-*"))
        # A delimited file says where a quoted field breaks; a table has no lines that could break.
        return refused.reason, refused.column, refused.line - (source.unit == "line")
    finally:
        store.close()
    directory = root / "people" / str(added["version"])
    datasets.verify(directory, description=added)
    return list(loading.records(directory, loading.load_meta(directory), NAMES))
