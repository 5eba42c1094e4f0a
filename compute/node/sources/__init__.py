"""Where a dataset's rows come from: delimited files, Parquet, DuckDB, PostgreSQL and Spark, all behind `Source`.

`find` reads the way a source is named on the command line; drivers are loaded when rows are read, not before.
"""

from pathlib import Path

from compute.node.cells import bad
from compute.node.sources.base import Source

__all__ = ["FORMS", "Source", "find"]

FORMS = "csv:FILE, parquet:FILE, duckdb:FILE#TABLE, postgresql:SCHEMA.TABLE, spark:FORMAT:PATH or spark:table:NAME"


def find(spec: str, *, secret_file: Path | None = None) -> Source:
    """The source that a command line names.

    Args:
        spec: one of FORMS.
        secret_file: a file of mode 0600 with the connection string of a PostgreSQL; without it the environment's
            HENGSHU_SOURCE_URL is asked.
    Raises:
        DatasetInvalid: SOURCE, there is no such form.
    """
    from compute.node.sources import delimited, duck, postgres, spark

    kind, _, rest = spec.partition(":")
    if kind == "csv" and rest:
        return delimited.DelimitedFile(Path(rest))
    if kind == "parquet" and rest:
        return duck.ParquetFile(Path(rest))
    if kind == "duckdb" and "#" in rest:
        file, _, table = rest.rpartition("#")
        return duck.DuckDBTable(Path(file), table)
    if kind == "postgresql" and rest:
        return postgres.PostgresTable(rest, secret_file=secret_file)
    if kind == "spark" and rest.count(":") >= 1:
        form, _, place = rest.partition(":")
        return spark.SparkTable(form, place)
    raise bad("SOURCE", f"a source is one of {FORMS}", f"数据来源须为下列之一：{FORMS}")
