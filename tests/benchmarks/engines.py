"""Both engines as nodes run them: a process for each party over mutual TLS, against plain pandas on the same files."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compute.engines import aggregates, loading, shares
from compute.protocol import operations
from tests.benchmarks._timing import best, seconds
from tests.factories import engines as factory

DISTRICTS = ["澄东区", "澄西区", "澄南区", "澄北区", "港区", "山区"]
AGES = ["18-29", "30-39", "40-49", "50-59", "60-69"]
BLOCKS = {"district": DISTRICTS, "age_band": AGES}
VALUES = {"base": (2, 0, 6_000_000)}
JOINT_ROWS = (100_000, 1_000_000)
ALIGNED_ROWS = (10_000, 50_000)
Grouped = pd.DataFrame


def run() -> Iterator[tuple[str, str]]:
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    try:
        for rows in JOINT_ROWS:
            yield from _joint(directory / f"joint-{rows}", rows)
        for rows in ALIGNED_ROWS:
            yield from _aligned(directory / f"aligned-{rows}", rows)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _joint(directory: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Two owners of `rows` people each."""
    datasets = [_people(directory / f"data{rank}", rows, seed=rank) for rank in range(2)]
    plain, grouped = seconds(lambda: _pandas(pd.concat([_read(path) for path in datasets])))
    request = operations.joint_statistics(group_by=["district"], values=["base"])
    yield from _whole("joint_statistics", directory, request, datasets, rows, plain, grouped)
    meta = loading.load_meta(datasets[0])
    table = loading.load_table(datasets[0], meta, values=["base"], blocks=True, ids=False)
    frame = pd.DataFrame({"block": table.blocks, "base": table.values["base"]})
    in_memory = best(lambda: frame.groupby("block")["base"].agg(["count", "sum", "var"]))

    def aggregate_and_share() -> None:
        aggregator = aggregates.Aggregator(meta, values=["base"])
        aggregator.add(table)
        totals = aggregator.totals()
        numbers = [*totals.counts, *totals.sums["base"], *totals.squares["base"]]
        shares.split(numbers, parties=2, random_bytes=secrets.token_bytes)

    ours = best(aggregate_and_share)
    yield (
        f"joint, {rows:,} rows in memory: exact sums of blocks + shares",
        f"{ours * 1000:7.1f} ms  {rows / ours / 1e6:6.1f} M rows/s  ×{ours / in_memory:.2f} of pandas group-by",
    )


def _aligned(directory: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Two owners of `rows` people each, half of them the same, and a compute party."""
    groups = _people(directory / "groups", rows, seed=1, first=0)
    values = _people(directory / "values", rows, seed=2, first=rows // 2)

    def plain() -> Grouped:
        theirs = _read(values)[["person_id", "base"]]
        return _pandas(_read(groups)[["person_id", "district"]].merge(theirs, on="person_id"))

    spent, grouped = seconds(plain)
    request = operations.aligned_statistics(
        group_by=["district"],
        values=["base"],
        group_provider="urn:hengshu:org:01JD00000000000000000000A1",
        value_provider="urn:hengshu:org:01JD00000000000000000000B1",
    )
    yield from _whole("aligned_statistics", directory, request, [groups, values, None], rows, spent, grouped)


def _whole(
    operation: str,
    directory: Path,
    parameters: dict[str, Any],
    datasets: list[Path | None],
    rows: int,
    plain: float,
    grouped: Grouped,
) -> Iterator[tuple[str, str]]:
    """A whole run from starting the processes to the opened result, which must be what pandas says."""
    job = factory.Job(directory / "run", operation, parameters, datasets, deadline_seconds=120.0)
    spent, runs = seconds(job.run)
    cells = job.engine.open([one.part() for one in runs], job=job.job, request=job.request).describe()["cells"]
    found = {cell["group"]["district"]: (cell["count"], round(float(cell["sum"]) * 100)) for cell in cells}
    expected = {name: (int(row["count"]), int(row["sum"])) for name, row in grouped.iterrows()}
    if found != expected:
        raise AssertionError(f"{operation} differs from pandas at {rows} rows")
    peak = max(int(one.result()["peak_mb"]) for one in runs)
    yield (
        f"{operation}, {rows:,} rows a side, whole run",
        f"{spent:7.2f} s   {rows / spent:9,.0f} rows/s  ×{spent / plain:.1f} of pandas, {peak} MB a party",
    )


def _people(path: Path, rows: int, *, seed: int, first: int = 0) -> Path:
    """A stored dataset of made-up people, written by pandas because the factory's own writer is for small tables."""
    made = np.random.default_rng(seed)
    factory.write_dataset(path, [], blocks=BLOCKS, values=VALUES)
    described = factory.schema(rows=rows, blocks=BLOCKS, values=VALUES)
    (path / "schema.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    fen = made.integers(0, 6_000_000, rows)
    pd.DataFrame(
        {
            "person_id": [f"P{number:09d}" for number in range(first, first + rows)],
            "district": np.array(DISTRICTS)[made.integers(0, len(DISTRICTS), rows)],
            "age_band": np.array(AGES)[made.integers(0, len(AGES), rows)],
            "base": [f"{one // 100}.{one % 100:02d}" for one in fen.tolist()],
        }
    ).to_csv(path / "data.csv", index=False, lineterminator="\n")
    return path


def _read(path: Path) -> Grouped:
    """The same file as an analyst reads it: typed, no check of categories, bounds or exactness."""
    frame = pd.read_csv(path / "data.csv", dtype={"person_id": str, "district": str, "age_band": str})
    frame["base"] = (frame["base"] * 100).round().astype("int64")
    return frame


def _pandas(frame: Grouped) -> Grouped:
    return frame.groupby("district")["base"].agg(["count", "sum", "var"])
