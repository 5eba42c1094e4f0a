"""What an archive holds, file by file.

    manifest.json               every other file with its length and SHA-256, signed by the exchange; canonical
    policy.json                 the trust policy, for whoever has none of their own; canonical
    tlog-policy                 the same for C2SP tools
    anchors.jsonl               one canonical object a line: what the chain holds, with the chain's own proof
    openings.jsonl              what the leaves about the log itself and about the chain open to; by log and index
    disclosures.jsonl           only where asked for: what the other leaves open to; by log and index
    logs/N/checkpoint           the signed note of shard N, with its cosignatures
    logs/N/tile/L/…             its tiles, logs/N/tile/entries/… its leaves (C2SP tlog-tiles)

So `logs/N/` may be served as it is, and a tool that reads tlog-tiles reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledger.proofs import tiles
from ledger.proofs.errors import VerificationError

TYPE = "hengshu/ledger-archive/v1"
MANIFEST = "manifest.json"
POLICY = "policy.json"
TLOG_POLICY = "tlog-policy"
ANCHORS = "anchors.jsonl"
OPENINGS = "openings.jsonl"
DISCLOSURES = "disclosures.jsonl"
MAX_MANIFEST_BYTES = 1 << 30  # about 130 bytes a file, one pair of files for 256 leaves
MAX_LINE_BYTES = 1 << 20

_MEMBERS = {"type", "logs", "files", "proof"}
_LOG = {"number", "origin", "size", "root"}
_FILE = {"path", "bytes", "sha256"}
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PATH = re.compile(r"[a-z0-9]+([./-][a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """One log of the archive; `root` as 64 hex characters."""

    number: int
    origin: str
    size: int
    root: str

    @property
    def directory(self) -> str:
        return f"logs/{self.number}"

    @property
    def checkpoint(self) -> str:
        return f"{self.directory}/checkpoint"

    def tile(self, level: int, index: int) -> str:
        """The path of a tile, full or the partial one at the right edge."""
        width = tiles.width(level=level, index=index, size=self.size)
        return f"{self.directory}/tile/{level}/{tiles.format_path(index, width=width)}"

    def entries(self, index: int) -> str:
        """The path of the leaves under a tile of level 0."""
        width = tiles.width(level=0, index=index, size=self.size)
        return f"{self.directory}/tile/entries/{tiles.format_path(index, width=width)}"

    def bundles(self) -> range:
        """The numbers of its entry bundles."""
        return range(-(-self.size // tiles.WIDTH))

    def places(self) -> Iterator[tiles.Place]:
        """Every tile that a tree of this size has."""
        for level in range(tiles.MAX_LEVEL + 1):
            for index in range(-(-(self.size >> tiles.HEIGHT * level) // tiles.WIDTH)):
                yield level, index

    def paths(self) -> Iterator[str]:
        """Every file of this shard."""
        yield self.checkpoint
        yield from (self.tile(level, index) for level, index in self.places())
        yield from (self.entries(index) for index in self.bundles())

    def document(self) -> dict[str, Any]:
        return {"number": self.number, "origin": self.origin, "size": self.size, "root": self.root}


@dataclass(frozen=True, slots=True)
class File:
    """One file as the manifest lists it."""

    path: str
    size_bytes: int
    sha256: str

    def document(self) -> dict[str, Any]:
        return {"path": self.path, "bytes": self.size_bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says that it holds; files by their path."""

    shards: tuple[Shard, ...]
    files: dict[str, File]

    def expected(self) -> set[str]:
        """The files that an archive of these shards has; disclosures are listed where they were asked for."""
        found = {POLICY, TLOG_POLICY, ANCHORS, OPENINGS} | ({DISCLOSURES} & set(self.files))
        return found.union(*(shard.paths() for shard in self.shards))


def document(shards: tuple[Shard, ...], files: list[File]) -> dict[str, Any]:
    """The manifest, unsigned."""
    return {
        "type": TYPE,
        "logs": [shard.document() for shard in shards],
        "files": [file.document() for file in sorted(files, key=lambda one: one.path)],
    }


def parse(value: Any) -> Manifest:
    """Read a manifest strictly; VerificationError `MANIFEST_INVALID` for anything else."""
    _check(isinstance(value, dict) and set(value) == _MEMBERS and value["type"] == TYPE)
    _check(isinstance(value["logs"], list) and isinstance(value["files"], list))
    shards = tuple(_shard(item) for item in value["logs"])
    files = [_file(item) for item in value["files"]]
    numbers = [shard.number for shard in shards]
    paths = [file.path for file in files]
    _check(bool(numbers) and numbers == sorted(set(numbers)) and paths == sorted(set(paths)))
    return Manifest(shards, {file.path: file for file in files})


def _shard(item: Any) -> Shard:
    _check(isinstance(item, dict) and set(item) == _LOG and isinstance(item["origin"], str))
    _check(_count(item["number"]) and _count(item["size"]) and item["number"] > 0 and item["size"] > 0)
    _check(isinstance(item["root"], str) and bool(_HASH.fullmatch(item["root"])))
    return Shard(item["number"], item["origin"], item["size"], item["root"])


def _file(item: Any) -> File:
    _check(isinstance(item, dict) and set(item) == _FILE and _count(item["bytes"]))
    _check(isinstance(item["path"], str) and bool(_PATH.fullmatch(item["path"])) and len(item["path"]) <= 100)
    _check(isinstance(item["sha256"], str) and bool(_HASH.fullmatch(item["sha256"])))
    return File(item["path"], item["bytes"], item["sha256"])


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check(holds: bool) -> None:
    if not holds:
        raise VerificationError("MANIFEST_INVALID", "the manifest is not one of this version")
