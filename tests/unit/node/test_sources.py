"""One table in a delimited file, Parquet, DuckDB, PostgreSQL and Spark: taken alike, refused alike, only ever read."""

import csv
import os
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from compute.engines import loading
from compute.node import datasets, distinct, schemas, sources
from compute.node.errors import DatasetInvalid
from compute.node.sources import Source, base, duck, postgres
from compute.node.store import Store
from tests.factories.node import NOW

SCHEMA = """
[dataset]
encoding = "utf-8"
id = "person_id"
block_dimensions = ["district"]
[columns.person_id]
type = "text"
source = "证件号"
[columns.district]
type = "category"
values = ["North", "South"]
[columns.base]
type = "decimal"
scale = 2
min = -100
max = 60000
[columns.months]
type = "integer"
min = 0
max = 600
[columns.note]
type = "text"
"""
COLUMNS = ["person_id", "district", "base", "months", "note"]
GOOD_TYPES = {
    "证件号": "VARCHAR",
    "district": "VARCHAR",
    "base": "DECIMAL(12,2)",
    "months": "BIGINT",
    "note": "VARCHAR",
    "phone": "VARCHAR",
}
FIRST = ("012345678901234567", "North", Decimal("1000.50"), 12, 'a, "b"', "555")
SECOND = ("11010519491231002X", "South", Decimal("-0.10"), 0, None, None)
NAMES = list(GOOD_TYPES)
KINDS = [
    "csv",
    "parquet",
    "duckdb",
    "postgresql",
    pytest.param(
        "spark", marks=pytest.mark.skipif(find_spec("pyspark") is None, reason="PySpark is not installed (extra spark)")
    ),
]


@dataclass
class Shelf:
    """Makes one table in the place that a kind of source reads."""

    directory: Path
    made: list[str] = field(default_factory=list)

    def put(self, kind: str, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Source:
        if kind == "csv":
            return self._csv(types, rows)
        if kind == "postgresql":
            return self._postgres(types, rows)
        database = self.directory / f"{secrets.token_hex(4)}.duckdb"
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"CREATE TABLE people ({_declared(types)})")
            if rows:
                places = ", ".join("?" * len(types))
                connection.executemany(f"INSERT INTO people VALUES ({places})", rows)
            parquet = database.with_suffix(".parquet")
            connection.execute(f"COPY people TO '{parquet}' (FORMAT parquet)")
        spec = {"duckdb": f"duckdb:{database}#people", "parquet": f"parquet:{parquet}"}
        return sources.find(spec.get(kind, f"spark:parquet:{parquet}"))

    def _csv(self, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Source:
        path = self.directory / f"{secrets.token_hex(4)}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(types)
            writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
        return sources.find(f"csv:{path}")

    def _postgres(self, types: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Source:
        name = f"people_{secrets.token_hex(4)}"
        self.made.append(name)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            columns = _declared(types).replace("DOUBLE", "DOUBLE PRECISION")
            connection.execute(f"CREATE TABLE {name} ({columns})")
            with connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * len(types))})", rows)
        return sources.find(f"postgresql:{name}")

    def clear(self) -> None:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            for name in self.made:
                connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(name)))


def _declared(types: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in types.items())


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv(postgres.VARIABLE, os.environ["DATABASE_URL"])
    made = Shelf(tmp_path)
    yield made
    made.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "datasets").mkdir()
    return Store(tmp_path / "node.sqlite3", clock=lambda: NOW)


def add(tmp_path: Path, store: Store, source: Source, schema: str = SCHEMA) -> list[tuple[str, ...]]:
    """Take a source in; the stored rows."""
    # An undeclared column of a file must be named; of a table it is not read at all.
    (tmp_path / "in.toml").write_text(schema.replace('"utf-8"', '"utf-8"\nignore = ["phone"]', 1), encoding="utf-8")
    added = datasets.add(
        source, name="people", schema_path=tmp_path / "in.toml", root=tmp_path / "datasets", store=store
    )
    directory = tmp_path / "datasets" / "people" / str(added["version"])
    datasets.verify(directory, description=added)
    return list(loading.records(directory, loading.load_meta(directory), COLUMNS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_table_is_the_same_dataset_wherever_it_comes_from(
    tmp_path: Path, store: Store, shelf: Shelf, kind: str
) -> None:
    assert add(tmp_path, store, shelf.put(kind, GOOD_TYPES, [FIRST, SECOND])) == [
        ("012345678901234567", "North", "1000.50", "12", 'a, "b"'),
        ("11010519491231002X", "South", "-0.10", "0", ""),
    ]


def changed(row: Sequence[Any], **cells: Any) -> tuple[Any, ...]:
    """A row with some cells replaced; `id` is the identifier."""
    values = dict(zip(NAMES, row, strict=True)) | {("证件号" if k == "id" else k): v for k, v in cells.items()}
    return tuple(values[name] for name in NAMES)


# A cell that is wrong in its row is refused with the same reason, at the same row, by every kind.
ROWS = {
    "id_missing": ([FIRST, changed(SECOND, id=None)], "ID_EMPTY", 2),
    "id_empty": ([FIRST, changed(SECOND, id="")], "ID_EMPTY", 2),
    "id_full_width": ([changed(FIRST, id="１２３")], "ID_NOT_PLAIN", 1),
    "id_zero_width": ([FIRST, changed(SECOND, id="12\u200b3")], "INVISIBLE_CHARACTER", 2),
    "id_scientific": ([FIRST, changed(SECOND, id="1.10105E+17")], "ID_AS_NUMBER", 2),
    "id_twice": ([FIRST, SECOND, changed(SECOND, id=FIRST[0])], "DUPLICATE_ID", 3),
    "id_look_alike": ([SECOND, changed(FIRST, id="11010519491231002x")], "DUPLICATE_ID", 2),
    "category_unknown": ([FIRST, changed(SECOND, district="West")], "CATEGORY", 2),
    "category_missing": ([FIRST, changed(SECOND, district=None)], "CATEGORY", 2),
    "number_missing": ([FIRST, changed(SECOND, base=None)], "NUMBER", 2),
    "above_bounds": ([FIRST, changed(SECOND, base=Decimal("60000.01"))], "BOUNDS", 2),
    "below_bounds": ([changed(FIRST, months=-1)], "BOUNDS", 1),
    "formula": ([FIRST, changed(SECOND, note="=1+1")], "FORMULA", 2),
    "no_rows": ([], "NO_ROWS", 0),
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if isinstance(kind, str)])
@pytest.mark.parametrize("case", ROWS)
def test_a_wrong_cell_is_refused_alike_by_every_source(
    tmp_path: Path, store: Store, shelf: Shelf, kind: str, case: str
) -> None:
    rows, reason, row = ROWS[case]

    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, shelf.put(kind, GOOD_TYPES, rows))

    assert (refused.value.reason, refused.value.line) == (reason, row + (kind == "csv"))
    assert str(FIRST[0]) not in refused.value.message
    assert store.datasets() == []


# A type that lies is refused before a row is read; a delimited file has no types.
TYPES = {
    "id_as_double": ({"证件号": "DOUBLE"}, [changed(FIRST, id=110105194912310021)], "ID_AS_NUMBER"),
    "id_as_bigint": ({"证件号": "BIGINT"}, [changed(FIRST, id=110105194912310021)], "ID_AS_NUMBER"),
    "id_as_decimal": ({"证件号": "DECIMAL(18,0)"}, [changed(FIRST, id=110105194912310021)], "ID_AS_NUMBER"),
    "id_as_time": ({"证件号": "TIMESTAMP"}, [changed(FIRST, id="2026-11-21 00:00:00")], "TYPE"),
    "money_as_double": ({"base": "DOUBLE"}, [changed(FIRST, base=1000.5)], "NUMBER"),
    "nan": ({"base": "DOUBLE"}, [changed(FIRST, base=float("nan"))], "NUMBER"),
    "infinity": ({"base": "DOUBLE"}, [changed(FIRST, base=float("inf"))], "NUMBER"),
    "months_as_time": ({"months": "TIMESTAMP"}, [changed(FIRST, months="2026-11-21 00:00:00")], "TYPE"),
    "months_as_text": ({"months": "VARCHAR"}, [changed(FIRST, months="12")], "TYPE"),
    "category_as_number": ({"district": "BIGINT"}, [changed(FIRST, district=1)], "TYPE"),
    "yes_or_no": ({"months": "BOOLEAN"}, [changed(FIRST, months=True)], "TYPE"),
}


@pytest.mark.parametrize("kind", ["parquet", "duckdb", "postgresql"])
@pytest.mark.parametrize("case", TYPES)
def test_a_column_whose_type_lies_is_refused(tmp_path: Path, store: Store, shelf: Shelf, kind: str, case: str) -> None:
    types, rows, reason = TYPES[case]

    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, shelf.put(kind, GOOD_TYPES | types, rows))

    assert (refused.value.reason, refused.value.line) == (reason, 0)
    assert refused.value.column


@pytest.mark.skipif(find_spec("pyspark") is None, reason="PySpark is not installed (extra spark)")
def test_spark_refuses_what_the_others_refuse(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    wrong = [(GOOD_TYPES, *ROWS[name][:2]) for name in ("id_missing", "id_look_alike", "above_bounds")]
    lying = [(GOOD_TYPES | types, rows, reason) for types, rows, reason in TYPES.values()]
    for types, rows, reason in [*wrong, *lying]:
        with pytest.raises(DatasetInvalid) as refused:
            add(tmp_path, store, shelf.put("spark", types, rows))
        assert refused.value.reason == reason


def test_what_the_refusal_of_floats_prevents() -> None:
    assert f"{float('110105194912310021'):.0f}" != "110105194912310021"
    assert Decimal(float("1.1")) * 10**20 != Decimal("1.1") * 10**20


@pytest.mark.parametrize("kind", ["csv", "parquet", "duckdb", "postgresql"])
def test_a_field_of_three_megabytes_is_refused(tmp_path: Path, store: Store, shelf: Shelf, kind: str) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, shelf.put(kind, GOOD_TYPES, [FIRST, changed(SECOND, note="字" * 1_000_000)]))

    assert refused.value.reason == ("LINE_TOO_LONG" if kind == "csv" else "FIELD_TOO_LONG")
    assert len(refused.value.message) < 200


def test_the_largest_field_is_taken(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    long = "a" * 65_536
    assert add(tmp_path, store, shelf.put("parquet", GOOD_TYPES, [changed(FIRST, note=long)]))[0][4] == long


@pytest.mark.parametrize("kind", ["csv", "parquet", "duckdb", "postgresql"])
def test_columns_that_are_missing_or_look_alike_are_refused(
    tmp_path: Path, store: Store, shelf: Shelf, kind: str
) -> None:
    without = {name: own for name, own in GOOD_TYPES.items() if name != "months"}
    with pytest.raises(DatasetInvalid) as missing:
        add(tmp_path, store, shelf.put(kind, without, [FIRST[:3] + FIRST[4:]]))
    assert (missing.value.reason, missing.value.column) == ("MISSING_COLUMN", "months")

    with pytest.raises(DatasetInvalid) as twice:
        add(tmp_path, store, shelf.put(kind, GOOD_TYPES | {"ｂase": "VARCHAR"}, [(*FIRST, "1")]))
    assert twice.value.reason == "DUPLICATE_HEADER"


def test_a_numeric_of_postgres_that_is_no_number_is_refused(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    types = GOOD_TYPES | {"base": "NUMERIC"}
    for value in ("NaN", "Infinity"):
        with pytest.raises(DatasetInvalid) as refused:
            add(tmp_path, store, shelf.put("postgresql", types, [FIRST, changed(SECOND, base=Decimal(value))]))
        assert (refused.value.reason, refused.value.line) == ("NUMBER", 2)

    source = shelf.put("postgresql", types, [changed(FIRST, base=Decimal("1.500000000000"))])
    assert add(tmp_path, store, source)[0][2] == "1.50"


def test_more_digits_than_declared_are_refused_and_not_rounded(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    types = GOOD_TYPES | {"base": "DECIMAL(12,3)"}
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, shelf.put("duckdb", types, [changed(FIRST, base=Decimal("1.005"))]))
    assert refused.value.reason == "NUMBER"
    assert add(tmp_path, store, shelf.put("duckdb", types, [changed(FIRST, base=Decimal("1.500"))]))[0][2] == "1.50"


def test_without_the_look_for_repeated_ids_a_person_counts_twice(
    tmp_path: Path, store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distinct.Distinct, "first_repeated", lambda self: None)
    rows = [SECOND, changed(FIRST, id="11010519491231002x")]

    assert len(add(tmp_path, store, shelf.put("duckdb", GOOD_TYPES, rows))) == 2


def test_a_view_of_postgres_that_writes_is_refused_and_writes_nothing(
    tmp_path: Path, store: Store, shelf: Shelf
) -> None:
    shelf.put("postgresql", GOOD_TYPES, [FIRST])
    name = shelf.made[0]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            f"CREATE FUNCTION {name}_write() RETURNS text LANGUAGE sql AS"
            f" $$ INSERT INTO {name} (note) VALUES ('written'); SELECT 'x'::text $$"
        )
        rest = ", ".join(f'"{column}"' for column in GOOD_TYPES if column != "note")
        connection.execute(f"CREATE VIEW {name}_view AS SELECT {rest}, {name}_write() AS note FROM {name}")

        with pytest.raises(DatasetInvalid) as refused:
            add(tmp_path, store, sources.find(f"postgresql:{name}_view"))

        assert refused.value.reason == "SOURCE_UNREADABLE"
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,)
        connection.execute(f"SELECT * FROM {name}_view")  # the guard off: an ordinary session
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (2,)
        connection.execute(f"DROP FUNCTION {name}_write CASCADE")


def test_a_view_of_duckdb_that_reads_another_file_is_refused(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("证件号,district,base,months,note\n1,North,1.00,1,secret\n", encoding="utf-8")
    database = tmp_path / "hostile.duckdb"
    types = {name: own for name, own in GOOD_TYPES.items() if name != "phone"}
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"CREATE VIEW people AS SELECT * FROM read_csv('{secret}', auto_detect = false, header = true, "
            f"columns = {types!r})"
        )

    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, duck.DuckDBTable(database, "people"))
    assert refused.value.reason == "SOURCE_UNREADABLE"

    monkeypatch.setattr(duck.DuckDBTable, "_open", lambda self, driver: driver.connect(str(database), read_only=True))
    assert add(tmp_path, store, duck.DuckDBTable(database, "people"))[0][4] == "secret"


def test_a_source_is_not_changed_by_being_read(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    for kind in ("parquet", "duckdb"):
        source = shelf.put(kind, GOOD_TYPES, [FIRST])
        path: Path = source._path  # type: ignore[attr-defined]
        before = path.read_bytes()
        path.chmod(0o400)
        add(tmp_path, store, source)
        assert path.read_bytes() == before
        assert sorted(tmp_path.glob("*.wal")) == []


def test_the_connection_string_is_in_no_message_and_its_file_is_for_the_owner_only(
    tmp_path: Path, store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("postgresql", GOOD_TYPES, [FIRST])
    path = tmp_path / "secret"
    path.write_text(os.environ["DATABASE_URL"])
    monkeypatch.delenv(postgres.VARIABLE)

    path.chmod(0o640)
    with pytest.raises(DatasetInvalid) as open_to_others:
        add(tmp_path, store, sources.find(f"postgresql:{shelf.made[0]}", secret_file=path))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert len(add(tmp_path, store, sources.find(f"postgresql:{shelf.made[0]}", secret_file=path))) == 1
    with pytest.raises(DatasetInvalid) as absent:
        add(tmp_path, store, sources.find("postgresql:people"))
    path.write_text("postgresql://hunter:hunter2@127.0.0.1:1/people")
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, sources.find("postgresql:people", secret_file=path))

    assert [e.value.reason for e in (open_to_others, absent, refused)] == [
        "SOURCE_SECRET",
        "SOURCE_SECRET",
        "SOURCE_UNREADABLE",
    ]
    assert "hunter" not in refused.value.message + refused.value.zh


@pytest.mark.parametrize(
    "spec", ["", "people.csv", "ftp:people", "duckdb:file", "parquet:", "spark:json:/x", "postgresql:"]
)
def test_another_form_of_source_is_refused(spec: str) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        sources.find(spec)
    assert refused.value.reason == "SOURCE"


@pytest.mark.parametrize("spec", ["parquet:/nowhere/a.parquet", "duckdb:/nowhere/a.duckdb#t", "csv:/nowhere/a.csv"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, store: Store, spec: str) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, sources.find(spec))
    assert refused.value.reason == "NO_FILE"


def test_a_table_that_is_not_there_is_refused(tmp_path: Path, store: Store, shelf: Shelf) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, sources.find("postgresql:nowhere.people"))
    assert refused.value.reason == "NO_TABLE"


def test_many_rows_pass_in_batches_and_are_told(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "many.parquet"
    duckdb.sql(
        "SELECT (100000 + i)::VARCHAR AS 证件号, 'North' AS district, (i / 100)::DECIMAL(12,2) AS base, "
        "(i % 600)::BIGINT AS months, '' AS note FROM range(12000) r(i)"
    ).write_parquet(str(path))
    source, told = sources.find(f"parquet:{path}"), []
    (tmp_path / "in.toml").write_text(SCHEMA, encoding="utf-8")

    added = datasets.add(
        source,
        name="people",
        schema_path=tmp_path / "in.toml",
        root=tmp_path / "datasets",
        store=store,
        progress=lambda done, total: told.append((done, total)),
    )

    assert added["rows"] == 12_000
    assert told[-1] == (12_000, 12_000)
    assert len(told) == 3
    assert told[0][0] < 12_000


def test_a_text_is_never_carried_much_longer_than_a_cell_may_be(shelf: Shelf) -> None:
    source = shelf.put("postgresql", GOOD_TYPES, [changed(FIRST, note="字" * 1_000_000)])

    (_, cells), *_ = source.rows(schemas.parse(tomllib.loads(SCHEMA)))
    assert len(cells[4]) == base.MAX_CHARACTERS
