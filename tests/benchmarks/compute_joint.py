"""Joint statistics: the engine's parts and whole runs of it, against DuckDB's group-by over the same rows.

Owners' tables are column files as a node stores them. DuckDB has the same rows in a table of its own, decoded and in
memory, and computes count, sum and sum of squares by block: what an analyst with all rows in one place would do. Both
use what is asked of them to the last digit, or the benchmark ends.
"""

import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from compute.engines import aggregates, columns, loading, shares
from compute.engines.blocks import BlockTotals
from compute.protocol import operations
from tests.benchmarks._timing import Demands, best, seconds
from tests.factories import engines as factory

DISTRICTS = ["澄东区", "澄西区", "澄南区", "澄北区", "港区", "山区"]
AGES = ["18-29", "30-39", "40-49", "50-59", "60-69"]
BLOCKS = {"district": DISTRICTS, "age_band": AGES}
VALUES = {"base": (2, 0, 6_000_000), "months": (0, 0, 480)}
BANDS = {"base": [300_000, 500_000, 800_000, 1_200_000, 2_000_000, 3_500_000], "months": [12, 60, 120, 240]}
ROWS = 1_000_000
SMALL = 1_000
SHARE_OF_DUCKDB = 0.5
_READING = """
import pathlib, sys
from compute.engines import aggregates, loading
def peak():  # of this process alone; getrusage counts what the parent held when it started this one
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
before, directory = peak(), pathlib.Path(sys.argv[1])
meta = loading.load_meta(directory)
aggregator = aggregates.Aggregator(meta, values=["base", "months"], products=[("base", "months")], is_banded=True)
for chunk in loading.chunks(directory, meta, values=aggregator.columns, blocks=True):
    aggregator.add(chunk)
aggregator.totals()
print(before, peak())
"""
_QUERY = "SELECT block, count(*), sum(base), sum(base * base) FROM rows GROUP BY block ORDER BY block"


def run() -> Iterator[tuple[str, str]]:
    directory, demands = Path(tempfile.mkdtemp(prefix="hengshu-bench-")), Demands()
    try:
        made = [_people(ROWS, seed=rank) for rank in range(2)]
        datasets = [_store(directory / f"data{rank}", frame) for rank, frame in enumerate(made)]
        yield from _one_node(datasets[0], made[0], demands)
        yield from _whole(directory / "whole", datasets, made)
        small = [_store(directory / f"small{rank}", _people(SMALL, seed=rank)) for rank in range(2)]
        yield from _smallest(directory, small, demands)
        yield "demands", demands.verdict()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _one_node(dataset: Path, frame: pd.DataFrame, demands: Demands) -> Iterator[tuple[str, str]]:
    """One owner's work, from its files to shares, without processes and links."""
    connection = duckdb.connect()
    connection.register("frame", frame)
    connection.execute("CREATE TABLE rows AS SELECT district * 5 + age_band AS block, base, months FROM frame")
    plain = best(lambda: connection.execute(_QUERY).fetchall(), times=5)
    yield f"DuckDB, {ROWS:,} rows in memory, count, sum, squares by 30 blocks", _rate(ROWS, plain)
    meta = loading.load_meta(dataset)
    table = loading.load_table(dataset, meta, values=["base", "months"], blocks=True, ids=False)

    def from_arrays(**asked: Any) -> BlockTotals:
        aggregator = aggregates.Aggregator(meta, **asked)
        aggregator.add(table)
        return aggregator.totals()

    def from_files() -> None:
        aggregator = aggregates.Aggregator(meta, values=["base"])
        for chunk in loading.chunks(dataset, meta, values=["base"], blocks=True):
            aggregator.add(chunk)
        totals = aggregator.totals()
        numbers = [*totals.counts, *totals.sums["base"], *totals.squares["base"]]
        shares.split(numbers, parties=2, random_bytes=secrets.token_bytes)

    totals = from_arrays(values=["base"])
    ours = [*zip(range(30), totals.counts, totals.sums["base"], totals.squares["base"], strict=True)]
    if ours != connection.execute(_QUERY).fetchall():
        raise AssertionError("the sums differ from DuckDB's")
    asked: list[tuple[str, dict[str, Any]]] = [
        ("the same, exact", {"values": ["base"]}),
        ("and the product of two values", {"values": ["base", "months"], "products": [("base", "months")]}),
        ("and persons by 7 and 5 bands", {"values": ["base"], "is_banded": True}),
    ]
    for what, arguments in asked:
        spent = best(lambda arguments=arguments: from_arrays(**arguments), times=5)  # type: ignore[misc]
        yield f"arrays in memory: {what}", f"{_rate(ROWS, spent)}  ×{plain / spent:.2f} of DuckDB's rate"
    spent = best(from_files, times=5)
    verdict = demands.check(plain / spent >= SHARE_OF_DUCKDB, f"{SHARE_OF_DUCKDB:.0%} of DuckDB's rate")
    yield (
        "from files checked against their commitment, to shares",
        f"{_rate(ROWS, spent)}  ×{plain / spent:.2f} of DuckDB's rate  {verdict}",
    )
    told = subprocess.run([sys.executable, "-c", _READING, str(dataset)], capture_output=True, text=True, check=True)
    before, after = (int(number) // 1024 for number in told.stdout.split())
    yield (
        f"memory of a process that reads {ROWS:,} rows and adds them up by bands",
        f"{after} MB, {before} of it imports",
    )


def _whole(directory: Path, datasets: list[Path], made: list[pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """A whole run of two owners: processes, links, shares, and the buyer's opening."""
    connection = duckdb.connect()
    connection.register("frame", pd.concat(made))
    connection.execute("CREATE TABLE rows AS SELECT * FROM frame")
    query = "SELECT district, count(*), sum(base) FROM rows GROUP BY district ORDER BY district"
    plain, expected = seconds(lambda: connection.execute(query).fetchall())
    for what, measures in (
        ("count, sum, mean, variance", None),
        (
            "and covariance, histogram, quantile bands",
            {
                "covariance": [["base", "months"]],
                "histogram": ["base", "months"],
                "quantile_bands": [{"column": "base", "probabilities": ["0.25", "0.5", "0.75"]}],
            },
        ),
    ):
        request = operations.joint_statistics(group_by=["district"], values=["base", "months"], measures=measures)
        place = directory / ("measures" if measures else "plain")
        job = factory.Job(place, operations.JOINT_STATISTICS, request, [*datasets], deadline_seconds=120.0)
        spent, runs = seconds(job.run)
        parts = [one.part() for one in runs]
        cells = job.engine.open(parts, job=job.job, request=job.request).describe()["cells"]
        found = {
            cell["group"]["district"]: (cell["count"], round(float(cell["sum"]) * 100))
            for cell in cells
            if cell["column"] == "base"
        }
        if found != {DISTRICTS[number]: (count, int(total)) for number, count, total in expected}:
            raise AssertionError("the result differs from DuckDB's")
        sent = max(one.sent_bytes() for one in runs)
        yield (
            f"two owners of {ROWS:,} rows, whole run: {what}",
            f"{spent:6.2f} s (DuckDB over both in one place {plain:5.3f} s), {sent:,} bytes sent a party",
        )


def _smallest(directory: Path, datasets: list[Path], demands: Demands) -> Iterator[tuple[str, str]]:
    """The engine's share of the smallest job: from starting both processes to the opened result."""
    spent = []
    request = operations.joint_statistics(group_by=[], values=["base"])
    for number in range(7):
        place = directory / f"smallest{number}"
        job = factory.Job(place, operations.JOINT_STATISTICS, request, [*datasets], deadline_seconds=60.0)
        spent.append(seconds(job.result)[0])
    median = statistics.median(spent)
    verdict = demands.check(median < 2.0, "under 2 s with everything around it")
    yield f"two owners of {SMALL:,} rows, whole run, median of {len(spent)}", f"{median:6.2f} s  {verdict}"


def _people(rows: int, *, seed: int) -> pd.DataFrame:
    """Made-up people as numbers: places of categories and scaled values."""
    made = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "district": made.integers(0, len(DISTRICTS), rows),
            "age_band": made.integers(0, len(AGES), rows),
            "base": np.minimum(made.lognormal(13.4, 0.6, rows).astype(np.int64), 6_000_000),
            "months": made.integers(0, 481, rows),
        }
    )


def _store(path: Path, frame: pd.DataFrame) -> Path:
    """The rows as column files with their commitment, written by numpy because a node's own reading checks text."""
    path.mkdir(parents=True)
    described: dict[str, Any] = factory.schema(
        rows=len(frame), blocks=BLOCKS, values=VALUES, id_column=None, bands=BANDS
    )
    described["storage"] = columns.STORAGE
    salt, chunks = secrets.token_bytes(32), {}
    for place, column in enumerate(described["columns"]):
        data = frame[column["name"]].to_numpy().astype(f"<i{columns.width(column)}")
        key, parts = columns.column_key(salt, column["name"]), []
        for number, start in enumerate(range(0, len(data), columns.CHUNK_ROWS)):
            part = data[start : start + columns.CHUNK_ROWS].tobytes()
            rows = len(data[start : start + columns.CHUNK_ROWS])
            parts.append(columns.Chunk(rows, len(part), columns.digest(key, number, rows, part)))
        chunks[column["name"]] = parts
        (path / columns.file_name(place)).write_bytes(data.tobytes())
    described["commitment"] = columns.root(described, chunks, salt)
    (path / columns.SCHEMA_FILE).write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    (path / columns.COMMITMENT_FILE).write_bytes(columns.manifest(salt, chunks, described["commitment"]))
    return path


def _rate(rows: int, spent: float) -> str:
    return f"{spent * 1000:7.1f} ms  {rows / spent / 1e6:6.1f} M rows/s"
