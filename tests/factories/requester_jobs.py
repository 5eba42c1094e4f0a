"""Jobs in which the buyer's own node takes part: text tables, kept state, and the papers of a private look-up."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.engines import columns, launcher, lookup_papers
from compute.node.storing import Writer
from compute.protocol import letters, shapes
from ledger.proofs import multibase, statements
from tests.factories.engines import Job


def write_text_table(
    path: Path,
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    integers: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """A stored version of text columns, and integer columns with their bounds; no identifier is declared.

    The same rows have the same commitment, because the salt is always the same.
    """
    bounds = integers or {}
    described: list[dict[str, Any]] = [
        {"name": name, "type": "integer", "scale": 0, "min": bounds[name][0], "max": bounds[name][1]}
        if name in bounds
        else {"name": name, "type": "text"}
        for name in names
    ]
    path.mkdir(parents=True)
    writer = Writer(path, described, salt=b"s" * 32)
    for row in rows:
        writer.add(row)
    writer.finish(
        {
            "type": "hengshu/dataset-schema/v1",
            "storage": columns.STORAGE,
            "name": path.name,
            "version": 1,
            "rows": writer.count,
            "id": None,
            "block_dimensions": [],
            "min_group": 10,
            "columns": described,
        }
    )
    return path


@dataclass
class RequesterJob(Job):
    """A requester and one data party; each keeps its engine's state in a directory that outlives the job."""

    states: list[Path] = field(default_factory=list)
    name: str = "run"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.states = self.states or [self.root / "state0", self.root / "state1"]
        for state in self.states:
            state.mkdir(mode=0o700, exist_ok=True)

    @property
    def job(self) -> dict[str, Any]:
        """The job document, as far as engines read it."""
        parties = [
            {
                "rank": rank,
                "role": role,
                "dataset_commitment": json.loads((path / "schema.json").read_bytes())["commitment"],
            }
            for rank, (role, path) in enumerate(zip(("requester", "data"), filter(None, self.datasets), strict=True))
        ]
        return {**super().job, "parties": parties, "note": self.name}

    def start(self, rank: int, **changed: Any) -> launcher.Run:
        """Start one party's process, with its kept state."""
        return super().start(rank, **{"state": self.states[rank], **changed})

    def codes(self) -> list[str]:
        """Run both parties; why each ended."""
        return [run.code() for run in self.run()]


@dataclass
class Officers:
    """Two officers with their keys, and the papers they sign."""

    keys: dict[str, Ed25519PrivateKey] = field(
        default_factory=lambda: {name: Ed25519PrivateKey.generate() for name in ("赵经办", "钱复核")}
    )

    def letter(
        self,
        *,
        batch: str = "第 07 批",
        issued: timedelta = -timedelta(hours=1),
        expires: timedelta = timedelta(hours=1),
    ) -> dict[str, Any]:
        """A purpose letter that counts from `issued` to `expires`, both from now."""
        now = datetime.now(UTC)
        return {
            "number": "组函〔2026〕第 15 号",
            "batch": batch,
            "issued": shapes.write_time(now + issued),
            "expires": shapes.write_time(now + expires),
            "officers": [{"name": name, "key": multibase.did_key(key.public_key())} for name, key in self.keys.items()],
        }

    def approve(self, letter: Mapping[str, Any], persons: Iterable[str], *, by: str = "钱复核") -> dict[str, Any]:
        """The approved list, signed."""
        return self._sign(letters.approved_list(letter, persons), self.keys[by])

    def release(self, request: Mapping[str, Any], *, by: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The releases of a request by the named officers, all by default."""
        now = datetime.now(UTC)
        return [
            self._sign(letters.release(request, officer=name, created=now), self.keys[name])
            for name in by or list(self.keys)
        ]

    def lay(self, job: RequesterJob, approved: Mapping[str, Any], *, by: Sequence[str] | None = None) -> None:
        """Put list and releases where the requester's engine looks."""
        lookup_papers.put_approved(job.states[0], approved)
        for release in self.release(job.request, by=by):
            lookup_papers.put_release(job.states[0], release)

    @staticmethod
    def _sign(document: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
        return statements.sign(document, key=key, created=shapes.write_time(datetime.now(UTC)))
