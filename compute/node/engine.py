"""What the node needs from an engine: start it in a private directory, watch it, stop it, take its part.

`EngineLauncher` is the promise; `compute.node.launching` keeps it with disposable worker processes. The
daemon itself loads no numpy, no SPU and no engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class EngineJob:
    """All an engine may know of one run.

    Args:
        dataset: directory of the verified dataset version, or its file if it is of the old form; None for a compute
            party.
        offers: the signed link offers of all parties, by rank.
        addresses: where each party answers, by rank, as pre-flight found it; the own ones to listen at.
        certificate, private_key: this node's one-job link identity.
        state: where engines of this node keep what outlives a run, each in its own directory.
        bucket_rows: above so many rows tables are matched by buckets; None for the engines' own bound.
    """

    work_dir: Path
    job: Mapping[str, Any]
    request: Mapping[str, Any]
    terms: Mapping[str, Any]
    rank: int
    dataset: Path | None
    min_group: int
    offers: Sequence[Mapping[str, Any]]
    addresses: Mapping[int, Sequence[str]]
    certificate: Path
    private_key: Path
    deadline_seconds: float
    state: Path | None = None
    bucket_rows: int | None = None


@dataclass(frozen=True, slots=True)
class EngineCard:
    """What a report says of an engine, whatever the run's outcome."""

    id: str
    protocol: str
    adversary_model: str
    software: Mapping[str, str]
    learned: Sequence[Mapping[str, str]]


class EngineRun(Protocol):
    """One started run."""

    def progress(self) -> tuple[str, int]:
        """The stage and its percentage."""

    def sent_bytes(self) -> int:
        """What it has sent to peers so far, as far as it tells."""

    def ending(self) -> Mapping[str, Any]:
        """How the process ended: code, signal, exit and peak memory, for the node's own journal."""

    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""

    def part(self) -> bytes:
        """This party's plaintext part; Refused with a code when the run did not make one."""

    def stop(self) -> None:
        """Kill it and wait; may be called twice."""


class EngineLauncher(Protocol):
    """Starts runs and describes engines."""

    def card(self, engine: str) -> EngineCard:
        """The security card of an engine, without loading it."""

    def start(self, job: EngineJob) -> EngineRun:
        """Start one run in its work directory."""
