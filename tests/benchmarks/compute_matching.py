"""Matching as nodes run it, against the bare library on the same ids in the same run; the join nobody learns; two
parties.

10^7 ids a side are left out unless HENGSHU_BENCH_LARGE is set: they take several minutes and some 6 GB.
"""

import hashlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from compute.engines import columns, identifiers, reference
from compute.node import storing
from compute.protocol import keyfiles, operations, sealing
from ledger.proofs import statements
from tests.benchmarks._timing import Demands, seconds
from tests.factories import engines as factory

RECEIVER = "urn:hengshu:org:01JD00000000000000000000A1"
OTHER = "urn:hengshu:org:01JD00000000000000000000B1"
DISTRICTS = ["澄东区", "澄西区", "澄南区", "澄北区", "港区", "山区"]
AGES = ["18-29", "30-39", "40-49", "50-59", "60-69"]
BLOCKS = {"district": DISTRICTS, "age_band": AGES}
VALUES = {"base": (2, 0, 6_000_000), "months": (0, 0, 600)}
PSI_ROWS = (100_000, 1_000_000, *((10_000_000,) if os.environ.get("HENGSHU_BENCH_LARGE") else ()))
JOIN_ROWS = (25_000, 100_000)
TWO_PARTY_ROWS = (8_000, 32_000)
MEMORY_LIMIT_MB = 2_048  # a party of the join
KEYS = keyfiles.generate("bank")
OVERHEAD, OVERHEAD_ROWS = 1.15, 1_000_000  # of admission, salting, sealing and receipts, against the bare library


def run() -> Iterator[tuple[str, str]]:
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    try:
        yield from _keying()
        yield from _matchings(directory)
        yield from _other_protocols(directory)
        yield from _joins(directory, "joined_statistics", JOIN_ROWS)
        yield from _joins(directory, "two_party_statistics", TWO_PARTY_ROWS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _keying() -> Iterator[tuple[str, str]]:
    ids = [f"99010119800{number:07d}X" for number in range(1_000_000)]
    spent, _ = seconds(lambda: identifiers.keyed(ids, b"k" * 32))
    yield "keying 1,000,000 identifiers", f"{spent:7.2f} s   {spent * 1000:.0f} ns each"


def _matchings(directory: Path) -> Iterator[tuple[str, str]]:
    """RR22 as a whole run of two nodes' processes, and the bare library on plain ids with its own links.

    Ours counts what a node adds around the engine as well: the check of the commitment, sealing and the signed report.
    """
    spent: list[float] = []
    demands = Demands()
    for rows in PSI_ROWS:
        datasets = [_ids(directory / f"ids{rows}-{rank}", rows, first=rank * rows // 2) for rank in range(2)]
        before = _processor()
        bare, of_library = _bare(directory / f"bare{rows}", datasets, expected=rows - rows // 2)
        between = _processor()
        stored = [_as_columns(path) for path in datasets]
        own = time.process_time()
        around, _ = seconds(lambda stored=stored: [columns.load(path).verify(["person_id"]) for path in stored])
        whole, peak = _match(directory / f"run{rows}", stored, "rr22", expected=rows - rows // 2, delivers=True)
        whole += around
        of_bare, of_whole = between - before, _processor() - between + time.process_time() - own
        spent.append(whole)
        yield (
            f"matching by RR22, {rows:,} ids a side, whole run",
            (
                f"{whole:7.2f} s   bare spu.psi {bare:.2f} s: ×{whole / bare:.2f}, of its processor time "
                f"×{of_whole / of_bare:.2f}; {peak} MB a party, bare {of_library} MB"
                + (f"  {demands.check(whole / bare <= OVERHEAD, f'<= ×{OVERHEAD}')}" if rows == OVERHEAD_ROWS else "")
            ),
        )
        for path in [*datasets, *stored]:
            shutil.rmtree(path)
    yield "growth exponent of matching by RR22", _exponent(PSI_ROWS, spent)
    yield "demands", demands.verdict()


def _other_protocols(directory: Path) -> Iterator[tuple[str, str]]:
    for protocol, rows in (("kkrt", 100_000), ("ecdh", 20_000), ("sm2", 20_000), ("blind", 20_000), ("blind", 80_000)):
        datasets = [_ids(directory / f"{protocol}{rows}-{rank}", rows, first=rank * rows // 2) for rank in range(2)]
        whole, peak = _match(directory / f"{protocol}{rows}", datasets, protocol, expected=rows - rows // 2)
        yield (
            f"matching by {protocol}, {rows:,} ids a side, whole run",
            f"{whole:7.2f} s   {2 * rows / whole:9,.0f} ids/s, {peak} MB a party",
        )


def _match(
    directory: Path, datasets: list[Path], protocol: str, *, expected: int, delivers: bool = False
) -> tuple[float, int]:
    parameters = operations.matching(receiver=RECEIVER, protocol=protocol)
    job = factory.Job(directory, operations.MATCHING, parameters, [*datasets], deadline_seconds=1_800.0)
    whole, runs = seconds(job.run)
    parts = [one.part() for one in runs]
    if delivers:
        whole += seconds(lambda: [_deliver(part, job.job, rank) for rank, part in enumerate(parts)])[0]
    found = job.engine.open(parts, job=job.job, request=job.request).describe()
    if found["count"] != expected:
        raise AssertionError(f"{protocol} found {found['count']} and not {expected}")
    return whole, max(int(one.result()["peak_mb"]) for one in runs)


def _deliver(part: bytes, job: dict[str, Any], rank: int) -> None:
    """What a node does with a part: seal it to the buyer, and sign a report about it."""
    digest = statements.digest(job)
    sealed = sealing.seal(part, recipient=KEYS.sealing_key, info=sealing.part_context(job_digest=digest, rank=rank))
    report = {"type": "hengshu/execution-report/v1", "job_digest": digest, "part": hashlib.sha256(sealed).hexdigest()}
    statements.sign(report, key=KEYS.document, created="2026-11-21T05:30:00Z")


def _as_columns(path: Path) -> Path:
    """The same ids as a node stores them, beside the file that the bare library reads."""
    target = path.with_name(f"{path.name}-stored")
    described = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    del described["commitment"]
    target.mkdir()
    writer = storing.Writer(target, described["columns"], salt=b"0" * 32)
    for ids in pd.read_csv(path / "data.csv", dtype=str, chunksize=columns.CHUNK_ROWS):
        writer.add_chunk(len(ids), [columns.pack_text([one.encode() for one in ids["person_id"]])])
    writer.finish({**described, "storage": columns.STORAGE})
    return target


def _bare(directory: Path, datasets: list[Path], *, expected: int) -> tuple[float, int]:
    """spu.psi over the plain id column of the same files, in two processes of its own, links included, no TLS.

    Returns: seconds, and the peak of a party in MB.
    """
    directory.mkdir()
    ports = factory.free_ports(2)
    spawn = multiprocessing.get_context("spawn")
    for rank, path in enumerate(datasets):
        shutil.copy(path / "data.csv", directory / f"in{rank}.csv")  # the library writes beside its input
    parties = [spawn.Process(target=_bare_party, args=(rank, ports, directory)) for rank in range(2)]
    spent, _ = seconds(lambda: [[one.start() for one in parties], [one.join(1_800) for one in parties]])
    found, peak = json.loads((directory / "found0.json").read_text())
    if found != expected:
        raise AssertionError(f"the bare library found {found} and not {expected}")
    shutil.rmtree(directory)
    return spent, peak


def _bare_party(rank: int, ports: list[int], directory: Path) -> None:
    import spu.libspu as libspu
    import spu.psi as psi

    os.environ["TMPDIR"] = str(directory)
    quiet = os.open(directory / f"log{rank}", os.O_WRONLY | os.O_CREAT)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    description = libspu.link.Desc()
    description.id, description.recv_timeout_ms = "bare", 600_000
    for place, port in enumerate(ports):
        description.add_party(f"party{place}", f"127.0.0.1:{port}")
    report = psi.psi_execute(
        psi.PsiExecuteConfig(
            protocol_conf=psi.PsiProtocolConfig(protocol=psi.PsiProtocol.PROTOCOL_RR22, receiver_rank=0),
            input_params=psi.InputParams(
                path=str(directory / f"in{rank}.csv"), selected_keys=["person_id"], keys_unique=True
            ),
            output_params=psi.OutputParams(path=str(directory / f"out{rank}.csv")),
        ),
        libspu.link.create_brpc(description, rank),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    (directory / f"found{rank}.json").write_text(json.dumps([report.intersection_count, peak]))
    os._exit(0)


def _joins(directory: Path, operation: str, sizes: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Two owners of `rows` people each, half of them the same; 30 blocks, two values; checked against the reference."""
    spent: list[float] = []
    parameters = operations.aligned_statistics(
        group_by=["district"], values=["base", "months"], group_provider=RECEIVER, value_provider=OTHER
    )
    for rows in sizes:
        groups = _people(directory / f"{operation}{rows}-0", rows, blocks=BLOCKS, values={}, first=0)
        values = _people(directory / f"{operation}{rows}-1", rows, blocks={}, values=VALUES, first=rows // 2)
        helpers = [None] if operation == operations.JOINED_STATISTICS else []
        job = factory.Job(
            directory / f"{operation}{rows}",
            operation,
            parameters,
            [groups, values, *helpers],
            deadline_seconds=1_800.0,
        )
        whole, runs = seconds(job.run)
        found = job.engine.open([one.part() for one in runs], job=job.job, request=job.request).describe()
        expected = reference.statistics(operation, parameters=parameters, datasets=[groups, values], min_group=10)
        if found != expected:
            raise AssertionError(f"{operation} differs from the reference at {rows} rows")
        peak = max(int(one.result()["peak_mb"]) for one in runs)
        if peak > MEMORY_LIMIT_MB:
            raise AssertionError(f"{operation} took {peak} MB at {rows} rows")
        spent.append(whole)
        yield (
            f"{operation}, {rows:,} rows a side, 30 blocks, two values, whole run",
            f"{whole:7.2f} s   {rows / whole:9,.0f} rows/s, {peak} MB a party, exact",
        )
    yield f"growth exponent of {operation}", _exponent(sizes, spent)


def _processor() -> float:
    """Seconds of processor time of all ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _exponent(sizes: tuple[int, ...], spent: list[float]) -> str:
    return f"{math.log(spent[-1] / spent[0]) / math.log(sizes[-1] / sizes[0]):7.2f}"


def _ids(path: Path, rows: int, *, first: int) -> Path:
    return _people(path, rows, blocks={}, values={}, first=first)


def _people(path: Path, rows: int, *, blocks: dict[str, Any], values: dict[str, Any], first: int) -> Path:
    """A stored dataset of made-up people in an order of their own, written by pandas: the factory's is for small
    ones."""
    made = np.random.default_rng(first + rows)
    factory.write_dataset(path, [], blocks=blocks, values=values)
    described = factory.schema(rows=rows, blocks=blocks, values=values)
    (path / "schema.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    columns: dict[str, Any] = {
        "person_id": np.char.add(
            "99010119", np.char.zfill(made.permutation(np.arange(first, first + rows)).astype(str), 10)
        )
    }
    for name, found in blocks.items():
        columns[name] = np.array(found)[made.integers(0, len(found), rows)]
    for name, (scale, low, high) in values.items():
        drawn = made.integers(low, high, rows)
        columns[name] = [f"{one // 100}.{one % 100:02d}" for one in drawn.tolist()] if scale else drawn
    pd.DataFrame(columns).to_csv(path / "data.csv", index=False, lineterminator="\n")
    return path
