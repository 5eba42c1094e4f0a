"""Pre-flight: what a node makes sure of after admission and before its engine starts, while everything is still free.

    here    clock against the exchange, columns and types of the own dataset, its row-count band, memory, disk
    links   every address of every peer, both ways, with the pinned one-job certificate; what the peers say of
            their clock, their columns' kinds and their row-count band

The first part comes before the node offers to link, so that a party which cannot run costs nobody a start. What is
told to peers is declared metadata: kinds of columns that the request names, and the number of rows rounded up to
a power of two (the engines' own greetings say the same). The unit is only reserved here; a run that ends in
pre-flight gives it back and charges nothing.
"""

import hashlib
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute.engines import metadata, registry
from compute.engines.base import Engine
from compute.engines.errors import EngineRefused
from compute.node import machine
from compute.protocol import operations
from compute.protocol.codes import Refused
from compute.protocol.layouts import MAX_RUN_SECONDS

STAGE = "preflight"
MAX_SKEW_SECONDS = 60
SPARE_DISK_MB = 64
# What a row may take on disk while it is worked on: a keyed id of 64 characters, twice, and its result.
_DISK_BYTES_PER_ROW = 256
_KINDS = {"integer": "number", "decimal": "number", "category": "category"}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What one party tells its peers before a run.

    Args:
        clock: Unix seconds. columns: kind of each column that the request names and this party has.
        rows: the row-count band, a power of two; 0 without data, and for a noised answer.
        program: SHA-256 of what it is about to compute.
    """

    job: str
    rank: int
    clock: int
    columns: Mapping[str, str]
    rows: int
    program: str

    def describe(self) -> dict[str, Any]:
        """As it goes over the link."""
        return {
            "job": self.job,
            "rank": self.rank,
            "clock": self.clock,
            "columns": dict(self.columns),
            "rows": self.rows,
            "program": self.program,
        }


def read_greeting(value: Any) -> Greeting:
    """A peer's greeting; ValueError when it is not one."""
    try:
        columns = {str(name): str(kind) for name, kind in value["columns"].items()}
        found = Greeting(
            str(value["job"]),
            int(value["rank"]),
            int(value["clock"]),
            columns,
            int(value["rows"]),
            str(value["program"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("not a greeting") from None
    if len(columns) > 64 or found.rows < 0 or found.rows > 1 << 40:
        raise ValueError("not a greeting")
    return found


def engine_of(job: Mapping[str, Any]) -> Engine:
    """The engine of a job; Refused when this node has none of the name."""
    try:
        return registry.get(job["engine"])
    except EngineRefused as refused:
        raise Refused(refused.failure_code) from refused


def program_digest(job: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """SHA-256 of what this node is about to compute, in hex."""
    return hashlib.sha256(engine_of(job).program(request["parameters"])).hexdigest()


def greeting(
    *, job: Mapping[str, Any], digest: str, request: Mapping[str, Any], rank: int, dataset: Mapping[str, Any] | None,
    clock: float,
) -> Greeting:  # fmt: skip
    """This node's own greeting."""
    columns: dict[str, str] = {}
    if dataset is not None:
        named = _names(request["parameters"])
        columns = {
            item["name"]: _KINDS.get(item["type"], "text") for item in dataset["columns"] if item["name"] in named
        }
    return Greeting(
        job=digest,
        rank=rank,
        clock=int(clock),
        columns=columns,
        # A noised answer hides whether one row more is there, and so does everything that is told around it.
        rows=0 if dataset is None or "privacy" in request["parameters"] else metadata.magnitude(int(dataset["rows"])),
        program=program_digest(job, request),
    )


def check_here(
    *,
    job: Mapping[str, Any],
    request: Mapping[str, Any],
    rank: int,
    dataset: Mapping[str, Any] | None,
    min_group: int,
    work: Path,
    memory_mb: int | None,
    skew_seconds: float | None,
) -> None:
    """Everything that this node can tell without its peers.

    Args:
        dataset: the description of the own version, or None; no file of it is opened.
        memory_mb: what the owner allows an engine; None: what the machine has left.
        skew_seconds: own clock less the exchange's; None where it is not known.
    Raises:
        Refused: JOB_OUT_OF_TIME (clock), PARAMETERS_OUT_OF_TERMS and its like (columns, types, too few rows for
            the smallest group), ENGINE_FAILED (memory, disk). None depends on a row.
    """
    check_clock(skew_seconds)
    engine = engine_of(job)
    band = 0
    if dataset is not None:
        meta = metadata.from_schema(dataset)
        try:
            engine.check(request["parameters"], {rank: meta}, min_group=min_group)
        except EngineRefused as refused:
            raise Refused(refused.failure_code) from refused
        band = meta.magnitude
        if _is_grouped(request["parameters"]) and "privacy" not in request["parameters"] and band < min_group:
            raise Refused("PARAMETERS_OUT_OF_TERMS")  # by its band alone, no group of it can ever be released
    check_memory(engine, request["parameters"], rows=[band] * len(job["parties"]), memory_mb=memory_mb)
    check_disk(work, rows=band)


def check_peers(own: Greeting, peers: Mapping[int, Greeting]) -> None:
    """What the peers say fits what this node knows.

    Raises:
        Refused: REQUEST_MISMATCH another job, JOB_OUT_OF_TIME a clock more than 60 s apart,
            PARAMETERS_OUT_OF_TERMS one name for columns of two kinds.
    """
    for rank, peer in peers.items():
        if peer.job != own.job or peer.rank != rank:
            raise Refused("REQUEST_MISMATCH")
        check_clock(peer.clock - own.clock)
        if any(own.columns.get(name, kind) != kind for name, kind in peer.columns.items()):
            raise Refused("PARAMETERS_OUT_OF_TERMS")


def check_clock(skew_seconds: float | None) -> None:
    """Refused JOB_OUT_OF_TIME for clocks more than a minute apart."""
    if skew_seconds is not None and abs(skew_seconds) > MAX_SKEW_SECONDS:
        raise Refused("JOB_OUT_OF_TIME")


def check_memory(engine: Engine, parameters: Mapping[str, Any], *, rows: Sequence[int], memory_mb: int | None) -> None:
    """The engine's own estimate fits into what the owner allows, or into what the machine has left."""
    limit = machine.available_mb() if memory_mb is None else memory_mb
    if limit is not None and engine.estimate(parameters, rows=list(rows)).memory_mb > limit:
        raise Refused("ENGINE_FAILED")


def seconds(request: Mapping[str, Any], dataset: Mapping[str, Any] | None, *, parties: int) -> int | None:
    """The engine's own estimate of a run, in whole seconds, as if every party had as many rows as this one.

    None without a dataset, and for a noised answer, around which nothing of a table's size is told.
    """
    if dataset is None or "privacy" in request["parameters"]:
        return None
    rows = [metadata.from_schema(dataset).magnitude] * parties
    engine = registry.get(operations.get(request["operation"]).engine)
    return min(MAX_RUN_SECONDS, math.ceil(engine.estimate(request["parameters"], rows=rows).seconds))


def check_disk(work: Path, *, rows: int) -> None:
    """The work directory's disk has room for the rows and to spare."""
    try:
        free = shutil.disk_usage(work).free
    except OSError as error:
        raise Refused("ENGINE_FAILED") from error
    if free < SPARE_DISK_MB * 1024 * 1024 + rows * _DISK_BYTES_PER_ROW:
        raise Refused("ENGINE_FAILED")


def _names(parameters: Mapping[str, Any]) -> set[str]:
    """Every text of the parameters that may be a column's name; what is none matches no column."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, Mapping):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    walk(parameters)
    return found


def _is_grouped(parameters: Mapping[str, Any]) -> bool:
    return "group_by" in parameters and "min_group" in parameters
