"""What every engine promises.

An engine computes one operation over the tables of several parties. Each party runs it in a process of
its own (`worker.py`), on its own machine, next to its own rows.

What leaves the machine: only what the engine's `card` names, to the peers of the run, over mutual TLS 1.3
with certificates made for this one job. What `run` returns, the *part*, is this party's share of the
result and says nothing by itself; the buyer's `open` needs the others' parts too.

Called how often: `check` is pure and may be called any time, without the numeric libraries. `run` is
called once per process. After a crash the process and its directory are thrown away, nothing has been released, and
the run is void at every party, because a peer that is lost ends the others with PEER_LOST in bounded time. Only an
engine that `goes_on` may be started again within the same job, from what it had written into its state.

Importing this module loads no numeric library; a data node's daemon imports it.
"""

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.protocol.control_levels import Level as Level  # what engines derive and nodes compare
from ledger.proofs import canonical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_TYPE = "hengshu/part/v1"
RESULT_TYPE = "grouped_statistics/v1"
PLACES = 6  # decimals of mean and variance, rounded once, half to even
MAX_PART_BYTES = 4 * 1024 * 1024
BUCKET_ROWS = 1 << 21  # of the larger of two tables that are matched; the library takes most of a bucket's memory

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Learned:
    """What one role learns from a run, beyond what the contract publishes."""

    role: str
    zh: str
    en: str

    def describe(self) -> dict[str, str]:
        """The member of an execution report."""
        return {"role": self.role, "zh": self.zh, "en": self.en}


@dataclass(frozen=True, slots=True)
class SecurityCard:
    """The security of an engine in words: printed on product pages, repeated in every report."""

    technique: str
    protocol: str
    adversary_model: str
    assumption_zh: str
    assumption_en: str
    precision_zh: str
    precision_en: str
    learned: tuple[Learned, ...]
    cost_zh: str = ""
    cost_en: str = ""

    def describe(self) -> dict[str, Any]:
        """The card as plain values."""
        return {
            "technique": self.technique,
            "protocol": self.protocol,
            "adversary_model": self.adversary_model,
            "assumption": {"zh": self.assumption_zh, "en": self.assumption_en},
            "precision": {"zh": self.precision_zh, "en": self.precision_en},
            "cost": {"zh": self.cost_zh, "en": self.cost_en},
            "learned": [item.describe() for item in self.learned],
        }


@dataclass(frozen=True, slots=True)
class Table:
    """One party's rows as arrays; only the columns that the request names are loaded.

    Shapes: every array (n,); `blocks` holds the block number of each row, `values` scaled integers.
    """

    meta: DatasetMeta
    blocks: "NDArray[np.int64]"
    values: "Mapping[str, NDArray[np.int64]]"
    ids: list[str] | None = None


@dataclass(frozen=True, slots=True)
class StageContext:
    """Everything a run may know. Addresses, certificates: by rank; `addresses[rank][i]` is for link stage i."""

    job: Mapping[str, Any]
    job_digest: str
    request: Mapping[str, Any]
    rank: int
    work_dir: Path
    addresses: Mapping[int, Sequence[str]]
    certificate_paths: Mapping[int, Path]
    key_path: Path
    dataset: Path | None
    min_group: int  # the k this party's node insists on
    deadline: float  # time.monotonic()
    progress: Progress = field(default=lambda stage, percent: None)
    bucket_rows: int = BUCKET_ROWS  # above so many rows a table is matched by buckets; a power of two
    state: Path | None = None  # this engine's own directory at this node, which outlives runs; None: it keeps nothing

    @property
    def parties(self) -> int:
        """How many parties the job has."""
        return len(self.job["parties"])

    @property
    def k(self) -> int:
        """The smallest block that this party releases, before its dataset's own rule."""
        return max(int(self.job["min_group"]), self.min_group)

    @property
    def own_dataset(self) -> Path:
        """This party's dataset; EngineRefused JOB_DIFFERS for a party that brings none."""
        if self.dataset is None:
            raise EngineRefused("JOB_DIFFERS", "A party with columns needs its dataset; the job names none here.")
        return self.dataset

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of the request."""
        found: Mapping[str, Any] = self.request["parameters"]
        return found


@dataclass(frozen=True, slots=True)
class Total:
    """Exact totals of one value column in one group: n, sum of x, sum of x squared; x an integer of `scale`."""

    count: int
    total: int
    squares: int
    scale: int

    @property
    def mean(self) -> Fraction:
        """The exact mean."""
        return Fraction(self.total, self.count * 10**self.scale)

    def describe(self) -> dict[str, Any]:
        """count, sum, mean and population variance; rational arithmetic, rounded once at the end."""
        unit, mean = 10**self.scale, self.mean
        variance = Fraction(self.squares, self.count * unit * unit) - mean * mean
        return {
            "count": self.count,
            "sum": write_decimal(Fraction(self.total, unit), self.scale),
            "mean": write_decimal(mean, PLACES),
            "variance": write_decimal(variance, PLACES),
        }


@dataclass(frozen=True, slots=True)
class GroupedStatistics:
    """The result: one cell for each released group and value column, sorted by group; withheld groups are absent.

    `measures` holds what else was asked for (`measures.py`); the document has no such member where nothing was.
    """

    group_by: tuple[str, ...]
    values: tuple[str, ...]
    min_group: int
    cells: tuple[Mapping[str, Any], ...]
    measures: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The result document of schema grouped_statistics/v1."""
        found = {
            "type": RESULT_TYPE,
            "group_by": list(self.group_by),
            "values": list(self.values),
            "min_group": self.min_group,
            "cells": [dict(cell) for cell in self.cells],
        }
        return {**found, "measures": dict(self.measures)} if self.measures else found

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


class Result(Protocol):
    """What a buyer has after opening: one document of the operation's result type."""

    def describe(self) -> dict[str, Any]:
        """The document, with its `type`."""

    def to_bytes(self) -> bytes:
        """The document as canonical JSON."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take at one party: seconds and peak memory on the machine of docs/benchmarks.md, bytes sent."""

    seconds: float
    memory_mb: int
    bytes_sent: int


class Engine(ABC):
    """One way to compute one operation."""

    id: ClassVar[str]  # name/version
    operation: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]  # of the parties in order of rank; the last of several "data" may repeat
    link_stages: ClassVar[int]  # addresses used, in order
    packages: ClassVar[tuple[str, ...]]  # whose versions belong in the report
    card: ClassVar[SecurityCard]
    goes_on: ClassVar[bool] = (
        False  # started again within its job, it goes on from what it keeps under the job's digest
    )

    @property
    def version(self) -> str:
        """The part of the id after the slash."""
        return self.id.rpartition("/")[2]

    @abstractmethod
    def check(self, parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
        """Check a query against the descriptions of the datasets known here, by rank. Pure; opens no file.

        Raises:
            EngineRefused: with a stable code; the gate's codes depend on no row.
        """

    @abstractmethod
    def derive(self, parameters: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
        """What each column of the party of one rank has become where it reaches the buyer, by column. Pure.

        A node compares it with the level that the column's owner allows; a column that is not named is not used.
        """

    @abstractmethod
    def estimate(self, parameters: Mapping[str, Any], *, rows: Sequence[int]) -> Estimate:
        """What a run takes at the party that needs most. Pure.

        Args:
            rows: magnitude of each party's row count, by rank; 0 without data.
        """

    def program(self, parameters: Mapping[str, Any]) -> bytes:
        """What is computed, as canonical JSON: engine, operation, parameters, and the digest of the engines' source.

        The same at every party with the same version of this software; its SHA-256 stands in the report.
        """
        return canonical.encode(
            {"engine": self.id, "operation": self.operation, "parameters": dict(parameters), "source": _source_digest()}
        )

    @abstractmethod
    def run(self, context: StageContext) -> bytes:
        """Run this party's side; returns its part.

        Raises:
            LinkLost: a peer is gone; EngineRefused: the query or a peer's job is not acceptable.
        """

    @abstractmethod
    def open(self, parts: Sequence[bytes], *, job: Mapping[str, Any], request: Mapping[str, Any]) -> Result:
        """Put the parties' parts together at the buyer: exact, no numeric library, no network.

        Raises:
            PartInvalid: parts are missing, of another job, or do not agree.
        """


@functools.cache
def _source_digest() -> str:
    """SHA-256 over the source of every module beside this one, in order of path."""
    found, root = hashlib.sha256(), Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        found.update(f"{path.relative_to(root)} {len(data)}\n".encode() + data)
    return found.hexdigest()


def finish(
    groups: Mapping[tuple[str, ...], Sequence[Total]],
    *,
    group_by: Sequence[str],
    values: Sequence[str],
    min_group: int,
    measures: Mapping[str, Any] | None = None,
) -> GroupedStatistics:
    """Turn totals into the result; groups with nobody in them are absent."""
    cells: list[Mapping[str, Any]] = []
    for labels in sorted(groups):
        for column, total in zip(values, groups[labels], strict=True):
            if total.count:
                cells.append({"group": dict(zip(group_by, labels, strict=True)), "column": column, **total.describe()})
    return GroupedStatistics(tuple(group_by), tuple(values), min_group, tuple(cells), measures or {})


def write_decimal(value: Fraction, places: int) -> str:
    """A fraction as a decimal string with exactly `places` digits after the point, half to even."""
    scaled = round(value * 10**places)
    sign, digits = ("-" if scaled < 0 else ""), str(abs(scaled)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def write_part(*, engine: str, context: StageContext, content: Mapping[str, Any]) -> bytes:
    """A part as JSON bytes, naming engine, job and rank."""
    return json.dumps(
        {"type": PART_TYPE, "engine": engine, "job": context.job_digest, "rank": context.rank, **content},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def read_parts(parts: Sequence[bytes], *, engine: str, job_digest: str, ranks: int) -> list[dict[str, Any]]:
    """Parts in order of rank, all of one job and engine.

    Raises:
        PartInvalid: too few, doubled, too large, or of another job.
    """
    found: dict[int, dict[str, Any]] = {}
    for part in parts:
        try:
            value = json.loads(part) if len(part) <= MAX_PART_BYTES else None
        except ValueError:
            value = None
        if not isinstance(value, dict) or value.get("type") != PART_TYPE:
            raise PartInvalid("A part is not one; fetch the result again.")
        if value.get("engine") != engine or value.get("job") != job_digest:
            raise PartInvalid("A part belongs to another job; fetch the result again.")
        rank = value.get("rank")
        if not isinstance(rank, int) or rank in found or not 0 <= rank < ranks:
            raise PartInvalid("A part has the rank of another; fetch the result again.")
        found[rank] = value
    if len(found) != ranks:
        raise PartInvalid(f"{ranks} parts belong to this result and {len(found)} are here; fetch the result again.")
    return [found[rank] for rank in range(ranks)]
