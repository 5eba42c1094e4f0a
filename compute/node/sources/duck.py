"""Parquet files and DuckDB databases, both read by an embedded DuckDB that can do nothing else.

Its configuration is locked before the owner's file is looked at: it may read this one file, load no extension, write
nothing, and take a gigabyte at most. A view in a hostile database file that reads another file is refused.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.node.cells import bad
from compute.node.schemas import Schema
from compute.node.sources import base
from compute.node.sources.base import Source
from compute.node.sources.delimited import no_file

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
_BATCH_ROWS = 2048  # one vector of DuckDB's
_SETTINGS: Mapping[str, str] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
    "threads": "1",
    "preserve_insertion_order": "true",
}
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


class _Duck(Source):
    """What both have in common: a relation, its types, and rows in its order."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._done = 0
        self._total = 0

    def rows(self, schema: Schema) -> Iterator[tuple[int, Sequence[str]]]:
        """See Source.rows."""
        try:
            import duckdb
        except ImportError:
            raise base.driver_missing("duckdb", "compute") from None
        if not self._path.is_file():
            raise no_file(self._path)
        try:
            connection = self._open(duckdb)
            try:
                yield from base.positions(self._batches(connection, schema), schema)
            finally:
                connection.close()
        except duckdb.OutOfMemoryException:
            raise bad(
                "FIELD_TOO_LONG",
                f"reading some rows takes more than {MEMORY}; a field or a row group is too large",
                f"读取若干行所需内存超过 {MEMORY}；字段或行组过大",
            ) from None
        except duckdb.Error as error:
            raise base.unreadable(
                f"the source cannot be read ({type(error).__name__})", f"来源无法读取（{type(error).__name__}）"
            ) from None

    def progress(self) -> tuple[int, int]:
        """Rows read, and of how many."""
        return self._done, self._total

    def _batches(self, connection: "duckdb.DuckDBPyConnection", schema: Schema) -> Iterator[list[tuple[Any, ...]]]:
        relation, parameters = self._relation()
        base.check_columns(schema, self._types(connection), kind=_kind)
        self._total = _one(connection.execute(f"SELECT count(*) FROM {relation}", parameters))  # noqa: S608 - quoted
        wanted = ", ".join(_wanted(column.source, column.type) for column in schema.columns)
        result = connection.execute(f"SELECT {wanted} FROM {relation}", parameters)  # noqa: S608 - quoted names
        while batch := result.fetchmany(_BATCH_ROWS):
            yield batch
            self._done += len(batch)

    @abstractmethod
    def _open(self, driver: Any) -> "duckdb.DuckDBPyConnection":
        """A connection that can read the owner's file and nothing else."""

    @abstractmethod
    def _relation(self) -> tuple[str, list[str]]:
        """What stands behind FROM, and its parameters."""

    def _types(self, connection: "duckdb.DuckDBPyConnection") -> dict[str, str]:
        relation, parameters = self._relation()
        found = connection.execute(f"DESCRIBE SELECT * FROM {relation}", parameters).fetchall()  # noqa: S608 - quoted
        return {name: kind for name, kind, *_ in found}


class ParquetFile(_Duck):
    """One Parquet file."""

    def _open(self, driver: Any) -> "duckdb.DuckDBPyConnection":
        connection: duckdb.DuckDBPyConnection = driver.connect(":memory:", config=dict(_SETTINGS))
        connection.execute(f"SET allowed_paths = [{_literal(str(self._path))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def _relation(self) -> tuple[str, list[str]]:
        if any(sign in str(self._path) for sign in "*?[]{}"):
            raise bad("NO_FILE", "a Parquet file is named without wildcards", "Parquet 文件名不得含通配符")
        return "read_parquet(?, hive_partitioning = false)", [str(self._path)]

    def _types(self, connection: "duckdb.DuckDBPyConnection") -> dict[str, str]:
        # DuckDB renames the second of two columns that differ in case only; the file's own names are asked.
        names = connection.execute("SELECT name, num_children FROM parquet_schema(?)", [str(self._path)]).fetchall()
        top = list(_top_names(names))
        if len({name.casefold() for name in top}) != len(top):
            raise bad("DUPLICATE_HEADER", "two columns are equal or look alike", "表中有相同或形似的列名")
        return super()._types(connection)


class DuckDBTable(_Duck):
    """One table or view of a DuckDB database, opened read-only; `schema.table` or `table`."""

    def __init__(self, path: Path, table: str) -> None:
        super().__init__(path)
        self._table = table

    def _open(self, driver: Any) -> "duckdb.DuckDBPyConnection":
        settings = {**_SETTINGS, "enable_external_access": "false", "lock_configuration": "true"}
        connection: duckdb.DuckDBPyConnection = driver.connect(str(self._path), read_only=True, config=settings)
        return connection

    def _relation(self) -> tuple[str, list[str]]:
        return ".".join(_quoted(part) for part in self._table.split(".", 1)), []


def _top_names(schema: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    """The names directly below the root of a Parquet schema, which lists all elements depth first."""
    place = 1
    while place < len(schema):
        yield schema[place][0]
        open_children = 1
        while open_children and place < len(schema):
            open_children += (schema[place][1] or 0) - 1
            place += 1


def _wanted(source: str, declared: str) -> str:
    name = _quoted(source)
    return f"left({name}::VARCHAR, {base.MAX_CHARACTERS})" if declared in ("text", "category") else name


def _kind(own: str) -> str:
    if own == "VARCHAR" or own.startswith("ENUM("):
        return base.TEXT
    if own in _INTEGERS:
        return base.INTEGER
    if own.startswith("DECIMAL("):
        return base.DECIMAL
    return base.FLOAT if own in ("DOUBLE", "FLOAT") else base.OTHER


def _one(result: "duckdb.DuckDBPyConnection") -> int:
    row = result.fetchone()
    return int(row[0]) if row else 0


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
