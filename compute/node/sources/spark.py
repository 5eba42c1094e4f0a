"""A table that Spark reads: `local[2]` in this process by default, the owner's own cluster where one is named.

Only the declared columns are selected, so that Spark reads only them; partitions come one after the other. It takes
PySpark (extra `spark`) and a Java runtime, neither of which a node needs otherwise.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from compute.node.cells import bad
from compute.node.schemas import Schema
from compute.node.sources import base
from compute.node.sources.base import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

VARIABLE = "HENGSHU_SPARK_MASTER"
FORMATS = ("parquet", "orc", "table")
_BATCH_ROWS = 2_000
_PARTITION_BYTES = 32 * 1024 * 1024  # the driver holds one partition at a time
_KINDS = {
    "string": base.TEXT, "tinyint": base.INTEGER, "smallint": base.INTEGER, "int": base.INTEGER,
    "bigint": base.INTEGER, "float": base.FLOAT, "double": base.FLOAT,
}  # fmt: skip


class SparkTable(Source):
    """One table by format and path, or by name in Spark's catalogue."""

    def __init__(self, form: str, place: str) -> None:
        if form not in FORMATS:
            raise bad("SOURCE", f"a Spark source is one of {', '.join(FORMATS)}", f"Spark 来源须为 {FORMATS} 之一")
        self._form = form
        self._place = place
        self._done = 0

    def rows(self, schema: Schema) -> Iterator[tuple[int, Sequence[str]]]:
        """See Source.rows."""
        try:
            from py4j.protocol import Py4JError
            from pyspark.errors import PySparkException
        except ImportError:
            raise base.driver_missing("pyspark", "spark") from None
        try:
            session = _session()
            try:
                yield from base.positions(self._batches(session, schema), schema)
            finally:
                session.stop()
        except (PySparkException, Py4JError) as error:
            raise base.unreadable(
                f"Spark could not read the source ({type(error).__name__}); check its log and that Java is installed",
                f"Spark 无法读取来源（{type(error).__name__}）；请查看其日志并确认已安装 Java",
            ) from None

    def progress(self) -> tuple[int, int]:
        """Rows read; of how many is not known before."""
        return self._done, 0

    def _batches(self, session: "SparkSession", schema: Schema) -> Iterator[list[tuple[Any, ...]]]:
        from pyspark.sql import functions

        frame = self._frame(session)
        found = frame.dtypes
        if len({name.casefold() for name, _ in found}) != len(found):
            raise bad("DUPLICATE_HEADER", "two columns are equal or look alike", "表中有相同或形似的列名")
        base.check_columns(schema, dict(found), kind=_kind)
        wanted = []
        for column in schema.columns:
            own = functions.col("`" + column.source.replace("`", "``") + "`")
            is_text = column.type in ("text", "category")
            wanted.append(functions.substring(own, 1, base.MAX_CHARACTERS) if is_text else own)
        rows = frame.select(*wanted).toLocalIterator(prefetchPartitions=False)
        while batch := list(islice(rows, _BATCH_ROWS)):
            yield batch
            self._done += len(batch)

    def _frame(self, session: "SparkSession") -> "DataFrame":
        if self._form == "table":
            return session.table(self._place)
        return session.read.format(self._form).load(self._place)


def _session() -> "SparkSession":
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master(os.environ.get(VARIABLE, "local[2]"))
        .appName("hengshu-node")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.caseSensitive", "true")
        .config("spark.sql.files.maxPartitionBytes", str(_PARTITION_BYTES))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )


def _kind(own: str) -> str:
    return base.DECIMAL if own.startswith("decimal(") else _KINDS.get(own, base.OTHER)
