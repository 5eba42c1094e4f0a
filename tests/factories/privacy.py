"""Noised queries over small tables: datasets, plans, and parties that were given their noise."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.engines import launcher, metadata
from compute.engines.privacy import noise, noised, sensitivity
from compute.protocol import operations
from tests.factories.engines import Job, schema, write_dataset

BLOCKS = {"district": ("east", "west"), "sex": ("f", "m")}
VALUES = {"wage": (0, 0, 1000), "age": (0, 0, 120)}
LAPLACE = {"mechanism": "discrete_laplace", "epsilon": "0.1"}
GAUSSIAN = {"mechanism": "discrete_gaussian", "epsilon": "0.1", "delta": "0.000000001"}


def people(count: int, *, seed: int) -> list[dict[str, str]]:
    """Persons with one row each."""
    drawn = random.Random(seed)
    return [
        {
            "person_id": f"P{seed:03d}{number:06d}",
            "district": drawn.choice(BLOCKS["district"]),
            "sex": drawn.choice(BLOCKS["sex"]),
            "wage": str(drawn.randint(0, 1000)),
            "age": str(drawn.randint(0, 99)),
        }
        for number in range(count)
    ]


def description(rows: int = 100, **changes: Any) -> dict[str, Any]:
    """The schema.json of such a table."""
    return {**schema(rows=rows, blocks=BLOCKS, values=VALUES), "block_dimensions": ["district"], **changes}


def meta(rows: int = 100, **changes: Any) -> metadata.DatasetMeta:
    """What an engine knows of it without opening it."""
    return metadata.from_schema(description(rows, **changes))


def table(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A stored dataset version with these rows; only `district` is a block dimension."""
    write_dataset(path, rows, blocks=BLOCKS, values=VALUES)
    (path / "schema.json").write_text(json.dumps(description(len(rows))))
    return path


def asked(**changes: Any) -> dict[str, Any]:
    """Parameters of a noised query."""
    return operations.joint_statistics(**{"group_by": ["sex"], "values": ["wage"], "privacy": LAPLACE, **changes})


def drawn(parameters: Mapping[str, Any], rows: int = 100) -> dict[str, Any]:
    """The content of noise.json for a query, freshly drawn."""
    plan = sensitivity.plan(meta(rows), parameters).describe()
    return {"plan": plan, "noise": noise.draw(plan)}


@dataclass
class PreparedJob(Job):
    """A job whose parties find further files in their directories, as their nodes put them there; by rank."""

    files: list[dict[str, str]] = field(default_factory=list)

    def start(self, rank: int, **changed: Any) -> launcher.Run:
        """Start one party's process with its files beside its job."""
        written = launcher.write_job

        def write_job(work_dir: Path, **arguments: Any) -> None:
            written(work_dir, **arguments)
            for name, text in (self.files[rank] if rank < len(self.files) else {}).items():
                (work_dir / name).write_text(text)

        launcher.write_job = write_job  # type: ignore[assignment]  # the parties of a test start one after the other
        try:
            return super().start(rank, **changed)
        finally:
            launcher.write_job = written


def noised_job(root: Path, parameters: dict[str, Any], stored: list[Path], noises: list[dict[str, Any]]) -> PreparedJob:
    """Joint statistics whose parties were given this noise."""
    files = [{noised.NOISE_FILE: json.dumps(item)} for item in noises]
    return PreparedJob(root, operations.JOINT_STATISTICS, parameters, list(stored), files=files)
