"""Who is in both tables by bucket, and the statistics of those: 10^5, 10^6 and, where asked for, 10^7 and 10^8 rows.

`LARGEST=100000000 make bench BENCH=compute_buckets` takes some 12 gigabytes of disk and 3 of memory for the last size.

Two owners' engines and a compute party's, each a process of its own, on this machine: the aligned statistics as nodes
run them, by PSI in keyed buckets and sums from dealt shares. Seven in ten of either side are on the other. Rows are
made chunk by chunk; what a person is and earns follows from its number, so that the exact answer is added up without
the tables, and every number of the result is compared with it. `BUCKET_ROWS` sets another size of a bucket.

Bytes sent are what the engines say of their mesh, and what the kernel counts for the sockets of the library's own
links, looked at every second.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from math import gcd, log10
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import base, columns, launcher
from compute.engines.base import Total
from compute.node.storing import Writer
from compute.protocol import operations
from tests.benchmarks._timing import Demands, seconds
from tests.factories import engines as factory

RECEIVER = "urn:hengshu:org:01JD00000000000000000000A1"
OTHER = "urn:hengshu:org:01JD00000000000000000000B1"
DISTRICTS = ["澄东区", "澄西区", "澄南区", "澄北区", "港区", "山区"]
AGES = ["18-29", "30-39", "40-49", "50-59", "60-69"]
BASE = (2, 0, 6_000_000)
SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
SMALL_BUCKETS = {100_000: 1 << 14, 1_000_000: 1 << 17}  # so that small tables have several, too
PEAK_MB = 2_048
WORK = Path(os.environ.get("WORK", tempfile.gettempdir()))

Words = NDArray[np.uint64]
Int64 = NDArray[np.int64]


def run() -> Iterator[tuple[str, str]]:
    smallest, largest = (int(os.environ.get(*one)) for one in (("SMALLEST", SIZES[0]), ("LARGEST", SIZES[1])))
    directory, demands = Path(tempfile.mkdtemp(prefix="hengshu-bench-", dir=WORK)), Demands()
    spent: dict[int, float] = {}
    try:
        for rows in [size for size in SIZES if smallest <= size <= largest]:
            paths = [directory / f"{rows}-{rank}" for rank in range(2)]
            made, _ = seconds(lambda rows=rows, paths=paths: _make_both(paths, rows))
            yield f"{rows:,} rows a side: making both tables", f"{made:9.1f} s"
            spent[rows] = yield from _whole(directory / f"run-{rows}", paths, rows, demands)
            shutil.rmtree(directory)
            directory.mkdir()
        first, last = min(spent), max(spent)
        if first < last:
            exponent = log10(spent[last] / spent[first]) / log10(last / first)
            yield f"growth of processor time, {first:,} to {last:,} rows", f"rows^{exponent:.2f}"
        yield "demands", demands.verdict()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _whole(directory: Path, paths: list[Path], rows: int, demands: Demands) -> Iterator[tuple[str, str]]:
    """The run, checked to the last digit; returns the processor time of all three parties."""
    parameters = operations.aligned_statistics(
        group_by=["district"], values=["base"], group_provider=RECEIVER, value_provider=OTHER
    )
    job = factory.Job(directory, operations.ALIGNED_STATISTICS, parameters, [*paths, None], deadline_seconds=6 * 3600.0)
    bucket_rows = int(os.environ.get("BUCKET_ROWS", SMALL_BUCKETS.get(rows, base.BUCKET_ROWS)))
    watched = Watched(job, bucket_rows)
    wall, runs = seconds(watched.run)
    found = job.engine.open([one.part() for one in runs], job=job.job, request=job.request).describe()
    expected = _expected(rows, k=job.min_group)
    if found["cells"] != expected:
        raise AssertionError(f"the statistics differ from what is known of {rows} rows a side")
    results = [one.result() for one in runs]
    peak, processor = max(int(one["peak_mb"]) for one in results), [float(one["cpu_seconds"]) for one in results]
    persons = sum(cell["count"] for cell in expected)
    buckets = max(1, (1 << (rows - 1).bit_length()) // bucket_rows)
    yield (
        f"{rows:,} rows a side: {buckets} buckets, {persons:,} persons in both",
        f"{wall:9.1f} s, {rows / wall:,.0f} rows/s, exact; peak "
        + "/".join(str(one["peak_mb"]) for one in results)
        + " MB "
        + demands.check(peak < PEAK_MB, f"< {PEAK_MB} MB"),
    )
    yield (
        f"{rows:,} rows a side: processor time of groups' owner, values' owner, helper",
        " / ".join(f"{one:.1f} s" for one in processor),
    )
    yield (
        f"{rows:,} rows a side: bytes sent by them",
        " / ".join(f"{watched.sent(rank):,}" for rank in range(3))
        + f", {(watched.sent(0) + watched.sent(1)) / 2 / rows:.0f} a row and owner",
    )
    yield f"{rows:,} rows a side: stages of groups' owner", watched.stages(end=wall)
    yield f"{rows:,} rows a side: most on disk beside the tables, both owners", f"{watched.disk / 1e9:.2f} GB"
    return sum(processor)


class Watched:
    """A run of three parties, with what can be seen from outside: stages, bytes of sockets, bytes on disk."""

    def __init__(self, job: factory.Job, bucket_rows: int) -> None:
        self._job, self._bucket_rows = job, bucket_rows
        self._sockets: dict[tuple[str, str], int] = {}
        self._began: dict[str, float] = {}
        self._over = threading.Event()
        self.disk = 0

    def run(self) -> list[launcher.Run]:
        """Run all parties to their end."""
        start, options = time.perf_counter(), {"bucket_rows": self._bucket_rows}
        runs = [
            self._job.start(rank, state=self._state(rank), file_mb=1 << 20, **options)
            for rank in range(len(self._job.datasets))
        ]
        self._runs = runs
        watcher = threading.Thread(target=self._watch_outside, daemon=True)
        watcher.start()
        while not all(one.is_finished() for one in runs):
            stage, percent = runs[0].progress()
            if stage not in self._began:
                self._began[stage] = time.perf_counter() - start
            if os.environ.get("TELL") and self._began.get("told") != percent:
                self._began["told"] = percent
                print(f"    {time.perf_counter() - start:8.1f} s  {stage} {percent} %", flush=True)
            time.sleep(0.2)
        self._over.set()
        watcher.join()
        return runs

    def sent(self, rank: int) -> int:
        """Bytes that a party's sockets have sent."""
        own = {str(port) for port in self._job.ports[rank][1:]}
        others = {str(port) for ports in self._job.ports for port in ports[1:]} - own
        # At its own ports as the one that was dialled; at another's ports as the one that dialled, told by its mate.
        found = sum(size for (local, _), size in self._sockets.items() if local in own)
        for (local, remote), size in self._sockets.items():
            if remote in others and local not in others | own and self._dialled_by(local) == rank:
                found += size
        return found + self._runs[rank].sent_bytes()

    def stages(self, *, end: float) -> str:
        """Seconds of each stage."""
        began = {stage: at for stage, at in self._began.items() if stage != "told"}
        ends = [*list(began.values())[1:], end]
        return ", ".join(f"{stage} {until - at:.1f} s" for (stage, at), until in zip(began.items(), ends, strict=True))

    def _dialled_by(self, local: str) -> int | None:
        return self._owners.get(local)

    def _state(self, rank: int) -> Path:
        found = self._job.root / f"state{rank}"
        found.mkdir(parents=True)
        return found

    def _watch_outside(self) -> None:
        self._owners: dict[str, int] = {}
        ports = {str(port) for mine in self._job.ports for port in mine[1:]}
        number = 0
        while not self._over.is_set():
            self._look_at_sockets(ports)
            if number % 10 == 0:
                self.disk = max(self.disk, _size(self._job.root))
            number += 1
            self._over.wait(1.0)

    def _look_at_sockets(self, ports: set[str]) -> None:
        try:
            told = subprocess.run(["ss", "-tinpHO"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return
        for line in told.splitlines():
            places = re.findall(r"127\.0\.0\.1\]?:([0-9]+)", line)
            sent = re.search(r"bytes_sent:([0-9]+)", line)
            process = re.search(r"pid=([0-9]+)", line)
            if len(places) < 2 or not ports & set(places[:2]) or sent is None:
                continue
            self._sockets[places[0], places[1]] = max(self._sockets.get((places[0], places[1]), 0), int(sent[1]))
            if process is not None and places[0] not in ports:
                owner = self._rank_of(int(process[1]))
                if owner is not None:
                    self._owners[places[0]] = owner

    def _rank_of(self, pid: int) -> int | None:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        for rank in range(len(self._job.datasets)):
            if str(self._job.root / f"party{rank}").encode() in words:
                return rank
        return None


def _size(root: Path) -> int:
    found = 0
    for path in root.rglob("*"):
        try:
            found += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
        except OSError:
            continue
    return found


# --- the people ---------------------------------------------------------------------------------------------


def _make_both(paths: list[Path], rows: int) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for one in [pool.submit(_make, str(path), rows, rank) for rank, path in enumerate(paths)]:
            one.result()


def _make(place: str, rows: int, rank: int) -> None:
    """One owner's rows as column files, in an order of its own."""
    path = Path(place)
    blocks: dict[str, Any] = {} if rank else {"district": DISTRICTS, "age_band": AGES}
    described = factory.schema(rows=rows, blocks=blocks, values={"base": BASE} if rank else {})
    del described["commitment"]
    path.mkdir(parents=True)
    writer = Writer(path, described["columns"], salt=b"0" * 32)
    first, step = _first(rows, rank), _step(rows, rank)
    for start in range(0, rows, columns.CHUNK_ROWS):
        size = min(columns.CHUNK_ROWS, rows - start)
        persons = (np.arange(start, start + size, dtype=np.uint64) * np.uint64(step)) % np.uint64(rows) + np.uint64(
            first
        )
        packed = [_ids(persons)]
        if rank:
            packed.append(_base(persons).astype("<i4").tobytes())
        else:
            packed += [_district(persons).astype("i1").tobytes(), _age(persons).astype("i1").tobytes()]
        writer.add_chunk(size, packed)
    writer.finish({**described, "storage": columns.STORAGE})


def _first(rows: int, rank: int) -> int:
    return rank * (rows - rows * 7 // 10)


def _step(rows: int, rank: int) -> int:
    """A stride that comes to every row once."""
    step = 7_368_787 + 2 * rank
    while gcd(step, rows) != 1:
        step += 2
    return step


def _ids(persons: Words) -> bytes:
    """`99010119` and ten digits, as a chunk of text."""
    letters = np.full((len(persons), 18), ord("0"), np.uint8)
    letters[:, :8] = np.frombuffer(b"99010119", np.uint8)
    left = persons.astype(np.int64)
    for place in range(17, 7, -1):
        letters[:, place] += (left % 10).astype(np.uint8)
        left //= 10
    return np.full(len(persons), 18, "<u4").tobytes() + letters.tobytes()


def _mixed(persons: Words, salt: int) -> Words:
    """A hash of each number (the finaliser of SplitMix64)."""
    found = persons + np.uint64((0x9E3779B97F4A7C15 * (salt + 1)) % (1 << 64))
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def _district(persons: Words) -> Int64:
    return (_mixed(persons, 1) % np.uint64(len(DISTRICTS))).astype(np.int64)


def _age(persons: Words) -> Int64:
    return (_mixed(persons, 2) % np.uint64(len(AGES))).astype(np.int64)


def _base(persons: Words) -> Int64:
    return (_mixed(persons, 3) % np.uint64(BASE[2])).astype(np.int64)


def _expected(rows: int, *, k: int) -> list[dict[str, Any]]:
    """The released cells, from the persons' numbers alone; every block of these sizes is large enough."""
    counts, sums, squares = [0] * len(DISTRICTS), [0] * len(DISTRICTS), [0] * len(DISTRICTS)
    for start in range(_first(rows, 1), rows, columns.CHUNK_ROWS):
        persons = np.arange(start, min(start + columns.CHUNK_ROWS, rows), dtype=np.uint64)
        district, base_pay = _district(persons), _base(persons)
        high, low = base_pay >> 12, base_pay & 4095
        for number in range(len(DISTRICTS)):
            chosen = district == number
            counts[number] += int(chosen.sum())
            sums[number] += int(base_pay[chosen].sum())
            parts = (high[chosen], low[chosen])
            squares[number] += (
                (int((parts[0] * parts[0]).sum()) << 24)
                + (int((parts[0] * parts[1]).sum()) << 13)
                + int((parts[1] * parts[1]).sum())
            )
    if min(counts) < len(AGES) * 10 * k:
        raise AssertionError("the smallest size has blocks that may be withheld")
    cells = [
        {"group": {"district": name}, "column": "base", **Total(count, total, square, 2).describe()}
        for name, count, total, square in zip(DISTRICTS, counts, sums, squares, strict=True)
    ]
    return sorted(cells, key=lambda cell: str(cell["group"]["district"]))
