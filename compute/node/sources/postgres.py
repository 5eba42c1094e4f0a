"""One table or view of a PostgreSQL, read through a server-side cursor in one read-only snapshot.

The connection string comes from a file that only its owner can read, or from the environment: never from the command
line, which every user of the machine sees, and it is in no message. Even with a role that may write, nothing is
written: the transaction is READ ONLY, so a view that calls a writing function fails.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute.node.cells import bad
from compute.node.schemas import Schema
from compute.node.sources import base
from compute.node.sources.base import Source

if TYPE_CHECKING:
    import psycopg

VARIABLE = "HENGSHU_SOURCE_URL"
_BATCH_ROWS = 5_000
_CONNECT_SECONDS = 15
_KINDS = {
    "text": base.TEXT, "varchar": base.TEXT, "bpchar": base.TEXT, "name": base.TEXT,
    "int2": base.INTEGER, "int4": base.INTEGER, "int8": base.INTEGER,
    "numeric": base.DECIMAL,
    "float4": base.FLOAT, "float8": base.FLOAT,
}  # fmt: skip
_TYPES = """
    SELECT a.attname, CASE WHEN t.typtype = 'e' THEN 'text' ELSE coalesce(b.typname, t.typname) END, c.reltuples
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
     WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


class PostgresTable(Source):
    """One table, named `schema.table`, or `table` in schema public."""

    def __init__(self, table: str, *, secret_file: Path | None = None) -> None:
        schema, _, name = table.rpartition(".")
        self._schema, self._name = schema or "public", name
        self._secret_file = secret_file
        self._done = 0
        self._total = 0

    def rows(self, schema: Schema) -> Iterator[tuple[int, Sequence[str]]]:
        """See Source.rows."""
        try:
            import psycopg
        except ImportError:
            raise base.driver_missing("psycopg", "compute") from None
        url = _connection_string(self._secret_file)
        try:
            with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, autocommit=False) as connection:
                connection.read_only = True
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                yield from base.positions(self._batches(connection, schema), schema)
        except psycopg.Error as error:
            raise base.unreadable(
                f"PostgreSQL could not be read ({type(error).__name__}); check the connection and the role's rights",
                f"无法读取 PostgreSQL（{type(error).__name__}）；请检查连接与角色权限",
            ) from None

    def progress(self) -> tuple[int, int]:
        """Rows read; of how many is the server's own estimate."""
        return self._done, max(self._total, self._done) if self._total > 0 else 0

    def _batches(self, connection: "psycopg.Connection[Any]", schema: Schema) -> Iterator[list[tuple[Any, ...]]]:
        from psycopg import sql

        found = connection.execute(_TYPES, (self._schema, self._name)).fetchall()
        if not found:
            raise bad("NO_TABLE", "there is no such table, or the role may not see it", "没有这张表，或角色无权查看")
        self._total = int(found[0][2])
        base.check_columns(
            schema, {name: kind for name, kind, _ in found}, kind=lambda own: _KINDS.get(own, base.OTHER)
        )
        wanted = sql.SQL(", ").join(
            sql.SQL("left({}::text, {})").format(sql.Identifier(column.source), base.MAX_CHARACTERS)
            if column.type in ("text", "category")
            else sql.Identifier(column.source)
            for column in schema.columns
        )
        table = sql.Identifier(self._schema, self._name)
        with connection.cursor(name="hengshu_rows") as cursor:
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(wanted, table))
            while batch := cursor.fetchmany(_BATCH_ROWS):
                yield batch
                self._done += len(batch)


def _connection_string(secret_file: Path | None) -> str:
    """From the file when named, else from the environment."""
    if secret_file is None:
        found = os.environ.get(VARIABLE, "")
        if not found:
            raise bad(
                "SOURCE_SECRET",
                f"put the connection string into {VARIABLE}, or name a file of mode 0600 with --source-secret",
                f"请将连接串放入环境变量 {VARIABLE}，或用 --source-secret 指定权限为 0600 的文件",
            )
        return found
    try:
        with secret_file.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise bad(
                    "SOURCE_SECRET",
                    "others can read the file with the connection string; run: chmod 600",
                    "他人可读取连接串文件；请执行 chmod 600",
                )
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        raise bad("SOURCE_SECRET", "the file with the connection string cannot be read", "无法读取连接串文件") from None
