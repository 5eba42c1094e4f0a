"""Parties of one job on this machine: their datasets, certificates and addresses, and real worker processes."""

import csv
import json
import random
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from compute.engines import certificates, launcher, registry
from compute.protocol import operations

_handed_out: set[int] = set()
_handing = threading.Lock()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, none handed out twice, below those that the system gives to clients."""
    found: list[int] = []
    with _handing:
        while len(found) < count:
            port = random.SystemRandom().randrange(20_000, 32_000)
            if port in _handed_out:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _handed_out.add(port)
            found.append(port)
    return found


def schema(
    *,
    rows: int,
    blocks: Mapping[str, Sequence[str]],
    values: Mapping[str, tuple[int, int, int]],
    id_column: str | None = "person_id",
    min_group: int = 10,
    bands: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """A schema.json; `values` gives (scale, minimum, maximum) of each numeric column, `bands` scaled cuts of some."""
    columns: list[dict[str, Any]] = [{"name": id_column, "type": "text"}] if id_column else []
    columns += [{"name": name, "type": "category", "values": list(found)} for name, found in blocks.items()]
    columns += [
        {"name": name, "type": "decimal" if scale else "integer", "scale": scale, "min": low, "max": high}
        for name, (scale, low, high) in values.items()
    ]
    for column in columns:
        if column["name"] in (bands or {}):
            column["bands"] = list((bands or {})[column["name"]])
    return {
        "type": "hengshu/dataset-schema/v1",
        "name": "people",
        "version": 1,
        "rows": rows,
        "id": id_column,
        "block_dimensions": list(blocks),
        "min_group": min_group,
        "columns": columns,
        "commitment": "0" * 64,
    }


def write_dataset(
    path: Path,
    rows: Iterable[Mapping[str, str]],
    *,
    blocks: Mapping[str, Sequence[str]],
    values: Mapping[str, tuple[int, int, int]],
    **kwargs: Any,
) -> Path:
    """A stored dataset version as a node keeps it."""
    rows = list(rows)
    described = schema(rows=len(rows), blocks=blocks, values=values, **kwargs)
    path.mkdir(parents=True)
    names = [column["name"] for column in described["columns"]]
    with (path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (path / "schema.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    return path


@dataclass
class Job:
    """One job and what every party of it needs."""

    root: Path
    operation: str
    parameters: dict[str, Any]
    datasets: list[Path | None]
    min_group: int = 10
    deadline_seconds: float = 60.0
    ports: list[list[int]] = field(default_factory=list)
    identities: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.ports = [free_ports(3) for _ in self.datasets]
        self.identities = [certificates.make(now=now, until=now + timedelta(hours=1)) for _ in self.datasets]
        self.engine = registry.get(operations.get(self.operation).engine)

    @property
    def job(self) -> dict[str, Any]:
        """The job document, as far as engines read it."""
        return {
            "type": "hengshu/job/v1",
            "id": "urn:hengshu:computation:01JD000000000000000000000A",
            "operation": self.operation,
            "engine": self.engine.id,
            "parties": [
                {"rank": rank, "role": "data" if dataset else "compute"} for rank, dataset in enumerate(self.datasets)
            ],
            "min_group": self.min_group,
        }

    @property
    def request(self) -> dict[str, Any]:
        """The request document, as far as engines read it."""
        return {"operation": self.operation, "parameters": self.parameters}

    def start(self, rank: int, **changed: Any) -> launcher.Run:
        """Start one party's process; `changed` replaces arguments of write_job."""
        work_dir = self.root / f"party{rank}"
        work_dir.mkdir(mode=0o700, parents=True)
        arguments: dict[str, Any] = {
            "job": self.job,
            "request": self.request,
            "rank": rank,
            "addresses": {peer: [f"127.0.0.1:{port}" for port in ports] for peer, ports in enumerate(self.ports)},
            "certificates": {peer: pem for peer, (pem, _) in enumerate(self.identities)},
            "private_key": self.identities[rank][1],
            "dataset": self.datasets[rank],
            "min_group": self.min_group,
            "deadline_seconds": self.deadline_seconds,
            **changed,
        }
        launcher.write_job(work_dir, **arguments)
        return launcher.start(work_dir, deadline_seconds=arguments["deadline_seconds"])

    def run(self) -> list[launcher.Run]:
        """Run all parties to their end."""
        runs = [self.start(rank) for rank in range(len(self.datasets))]
        for run in runs:
            run.wait()
        return runs

    def result(self) -> dict[str, Any]:
        """Run all parties and open their parts, as the buyer does."""
        parts = [run.part() for run in self.run()]
        return self.engine.open(parts, job=self.job, request=self.request).describe()
