"""Joint statistics at 10^6, 10^7 and, where asked for, 10^8 rows a node, against DuckDB's group-by on the same rows.

`LARGEST=100000000 make bench BENCH=compute_joint_scale` takes some four gigabytes of disk for the third size.

Each of two nodes has its rows as column files; DuckDB has the same rows as a Parquet file on the same disk and groups
them by the same blocks: count, sum, sum of squares. Both start from files that the system has in memory, both must
agree to the last digit. "One node" is what an owner's machine does with its rows: the check of the commitment at
admission, then reading, checking and adding up in the engine, in one thread. "Whole run" are two engine processes with
links and shares, from start to the opened result, beside each other on this machine.

Rows come chunk by chunk from one seed for each chunk, so that no size is ever in memory whole.
"""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from math import log10
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from compute.engines import aggregates, columns, loading
from compute.engines.blocks import BlockTotals
from compute.node.storing import Writer
from compute.protocol import operations
from tests.benchmarks._timing import Demands, seconds
from tests.factories import engines as factory

DISTRICTS = ["澄东区", "澄西区", "澄南区", "澄北区", "港区", "山区"]
AGES = ["18-29", "30-39", "40-49", "50-59", "60-69"]
LARGEST_BASE = 6_000_000
SIZES = (1_000_000, 10_000_000, 100_000_000)
SHARE_OF_DUCKDB = 0.5
PEAK_MB = 2_048
USED = ["district", "age_band", "base"]
_QUERY = (
    "SELECT district, age_band, count(*), sum(base), sum(base::BIGINT * base)"
    " FROM read_parquet(?) GROUP BY ALL ORDER BY ALL"
)


def run() -> Iterator[tuple[str, str]]:
    largest = int(os.environ.get("LARGEST", SIZES[1]))
    directory, demands = Path(tempfile.mkdtemp(prefix="hengshu-bench-")), Demands()
    spent: dict[int, float] = {}
    try:
        for rows in [size for size in SIZES if size <= largest]:
            paths = [directory / f"{rows}-{rank}" for rank in range(2)]
            for rank, path in enumerate(paths):
                _once(_people, str(path), rows, rank)
            spent[rows] = yield from _one_node(paths[0], rows, demands)
            yield from _whole(directory / f"run-{rows}", paths, rows, demands)
            for path in paths:
                shutil.rmtree(path)
                path.with_suffix(".parquet").unlink()
        first, last = min(spent), max(spent)
        exponent = log10(spent[last] / spent[first]) / log10(last / first)
        yield f"growth of one node's work, {first:,} to {last:,} rows", f"rows^{exponent:.2f}"
        yield "demands", demands.verdict()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _one_node(path: Path, rows: int, demands: Demands) -> Iterator[tuple[str, str]]:
    """One owner's work over its rows; returns its seconds of processor time."""
    plain = {}
    for threads in (1, 2):
        plain[threads] = _apart(_duckdb, str(path.with_suffix(".parquet")), threads)
        yield f"{rows:,} rows: DuckDB, Parquet, {threads} thread{'s'[: threads > 1]}", _figure(rows, plain[threads])
    checked, added = _apart(_verify, str(path)), _apart(_aggregate, str(path))
    if added["found"] != plain[1]["found"] or added["found"] != plain[2]["found"]:
        raise AssertionError(f"the sums differ from DuckDB's at {rows} rows")
    yield f"{rows:,} rows: check of the commitment at admission", _figure(rows, checked)
    yield f"{rows:,} rows: read, check again, add up exactly", _figure(rows, added)
    both = {key: checked[key] + added[key] for key in ("wall", "cpu")} | {"mb": max(checked["mb"], added["mb"])}
    share = plain[1]["cpu"] / both["cpu"]
    wanted = demands.check(share >= SHARE_OF_DUCKDB, f">= {SHARE_OF_DUCKDB:.0%} of DuckDB's rate for one processor")
    yield f"{rows:,} rows: one node, both together", f"{_figure(rows, both)}  {share:.0%}  {wanted}"
    yield (
        f"{rows:,} rows: one node, wall clock against DuckDB",
        f"{plain[1]['wall'] / both['wall']:.0%} of 1 thread, {plain[2]['wall'] / both['wall']:.0%} of 2 threads",
    )
    return both["cpu"]


def _whole(directory: Path, paths: list[Path], rows: int, demands: Demands) -> Iterator[tuple[str, str]]:
    request = operations.joint_statistics(group_by=["district"], values=["base"])
    job = factory.Job(directory, "joint_statistics", request, [*paths], deadline_seconds=600.0)
    wall, runs = seconds(job.run)
    cells = job.engine.open([one.part() for one in runs], job=job.job, request=job.request).describe()["cells"]
    found = {cell["group"]["district"]: (cell["count"], round(float(cell["sum"]) * 100)) for cell in cells}
    files = [str(path.with_suffix(".parquet")) for path in paths]
    if found != _once(_by_district, files):
        raise AssertionError(f"joint_statistics differs from DuckDB at {rows} rows")
    peak = max(int(one.result()["peak_mb"]) for one in runs)
    processor = max(float(one.result()["cpu_seconds"]) for one in runs)
    sent = max(one.sent_bytes() for one in runs)
    yield (
        f"{rows:,} rows a node: whole run of two nodes on this machine",
        f"{wall:6.2f} s, {processor:.2f} s of processor a node, {sent:,} bytes sent a node, peak {peak} MB "
        + demands.check(peak < PEAK_MB, f"< {PEAK_MB} MB"),
    )


def _by_district(files: list[str]) -> dict[str, tuple[int, int]]:
    query = "SELECT district, count(*), sum(base) FROM read_parquet(?) GROUP BY ALL"
    with duckdb.connect() as connection:
        found = connection.execute(query, [files]).fetchall()
    return {name: (count, int(total)) for name, count, total in found}


def _once(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of some work in a process of its own: a process starts with its parent's peak as its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _apart(work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Wall clock, processor time, peak memory and result of some work, best of three, in a process of its own."""
    found: dict[str, Any] = _once(_measure, work, *arguments)
    return found


def _measure(work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    walls, processors, found = [], [], None
    for _ in range(3):
        began, used = time.perf_counter(), time.process_time()
        found = work(*arguments)
        walls.append(time.perf_counter() - began)
        processors.append(time.process_time() - used)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"wall": min(walls), "cpu": min(processors), "mb": peak, "found": found}


def _duckdb(parquet: str, threads: int) -> list[tuple[str, str, int, int, int]]:
    with duckdb.connect(config={"threads": threads}) as connection:
        rows = connection.execute(_QUERY, [parquet]).fetchall()
    return [(district, age, count, int(total), int(squares)) for district, age, count, total, squares in rows]


def _verify(path: str) -> None:
    columns.load(Path(path)).verify(USED)


def _aggregate(path: str) -> list[tuple[str, str, int, int, int]]:
    meta = loading.load_meta(Path(path))
    aggregator = aggregates.Aggregator(meta, values=["base"])
    for table in loading.chunks(Path(path), meta, values=["base"], blocks=True):
        aggregator.add(table)
    return _by_block(aggregator.totals())


def _by_block(totals: BlockTotals) -> list[tuple[str, str, int, int, int]]:
    found = zip(totals.counts, totals.sums["base"], totals.squares["base"], strict=True)
    labels = [(district, age) for district in DISTRICTS for age in AGES]
    return sorted((*label, *numbers) for label, numbers in zip(labels, found, strict=True))


def _people(place: str, rows: int, seed: int) -> None:
    """One owner's rows, as column files and as a Parquet file beside them."""
    path = Path(place)
    described = factory.schema(
        rows=rows,
        blocks={"district": DISTRICTS, "age_band": AGES},
        values={"base": (2, 0, LARGEST_BASE)},
        id_column=None,
    )
    del described["commitment"]
    path.mkdir()
    writer = Writer(path, described["columns"], salt=b"0" * 32)
    database = path.with_suffix(".duckdb")
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("CREATE TABLE rows (district UTINYINT, age_band UTINYINT, base INTEGER)")
        for number, start in enumerate(range(0, rows, columns.CHUNK_ROWS)):
            made, size = np.random.default_rng([seed, number]), min(columns.CHUNK_ROWS, rows - start)
            frame = pd.DataFrame(
                {
                    "district": made.integers(0, len(DISTRICTS), size, dtype=np.int8),
                    "age_band": made.integers(0, len(AGES), size, dtype=np.int8),
                    "base": made.integers(0, LARGEST_BASE, size, dtype=np.int32),
                }
            )
            writer.add_chunk(size, [frame[name].to_numpy().tobytes() for name in USED])
            connection.execute("INSERT INTO rows SELECT * FROM frame")
        connection.execute(
            f"COPY (SELECT {DISTRICTS!r}[district + 1] AS district, {AGES!r}[age_band + 1] AS age_band, base FROM rows)"
            f" TO '{path.with_suffix('.parquet')}' (FORMAT parquet)"
        )
    database.unlink()
    writer.finish({**described, "storage": columns.STORAGE})


def _figure(rows: int, spent: dict[str, Any]) -> str:
    rate = f"{rows / spent['cpu'] / 1e6:6.1f} M rows/s  {spent['mb']:4} MB"
    return f"{spent['wall']:7.3f} s  {spent['cpu']:7.3f} s of processor  {rate}"
