"""The log as files that a third party checks without us (`ledger.archive`).

Deterministic: the same log, size and evidence give the same bytes. Nothing is half there: files grow in a
directory beside the wanted one, which is renamed at the end. An export that was cut off goes on where it was,
because full tiles and bundles never change.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from compute.protocol import shapes
from exchange.kernel.errors import InvalidInput
from ledger import keys
from ledger.actions import proofs, witnessing
from ledger.archive import layout, tar
from ledger.archive.layout import File, Manifest, Shard
from ledger.audits.findings import Progress, counted, silent
from ledger.errors import NotYetSealed
from ledger.kinds import EntryKind
from ledger.models import Anchor, Checkpoint, Entry, Leaf, Log
from ledger.proofs import canonical, statements, tiles

CHUNK = 2000
# What these say is about the log and the chain: public, and needed to see how the parts belong together.
OPENED = (
    EntryKind.CHAIN_EVENT,
    EntryKind.LOG_FROZEN,
    EntryKind.LOG_OPENED,
    EntryKind.LOG_KEY_ROTATED,
    EntryKind.LOG_KEY_REVOKED,
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the logs and how many files."""

    path: Path
    shards: tuple[Shard, ...]
    files: int


def export(
    *,
    to: Path,
    log: int | None = None,
    size: int | None = None,
    with_disclosures: bool = False,
    as_tar: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write an archive of every log, or of one.

    Args:
        to: the directory, or with `as_tar` the file, to make; it must not be there yet.
        log: the number of the only log wanted.
        size: of the last log wanted, the size of the checkpoint to end with; its newest with a quorum unless told.
        with_disclosures: open every leaf that can be opened. It shows contracts and prices; keep it to yourself.
    Raises:
        InvalidInput: something is at that place, or no such log or checkpoint.
        NotYetSealed: nothing has been signed yet.
    Idempotent: cut off, it is run again and finishes.
    """
    if to.exists():
        raise InvalidInput(f"{to.name} is there already; name a new place for the archive.")
    work = to.with_name(f".{to.name}.partial")
    with transaction.atomic():
        if not connection.savepoint_ids:  # a snapshot of its own; inside a test there is one already
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        chosen = _choose(log=log, size=size)
        writer = _Writer(work, chosen, progress)
        manifest = writer.write(with_disclosures=with_disclosures)
    if as_tar:
        _write_tar(work, to, manifest)
    else:
        work.rename(to)
    _flush(to.parent)
    return Exported(to, manifest.shards, len(manifest.files) + 1)


def _choose(*, log: int | None, size: int | None) -> list[Checkpoint]:
    """The checkpoint with which each log ends here, oldest log first."""
    rows = list(Log.objects.all() if log is None else Log.objects.filter(number=log))
    if log is not None and not rows:
        raise InvalidInput(f"There is no log {log}; the newest is {Log.objects.count()}.")
    found = [_end(row, size=size if row is rows[-1] else None) for row in rows]
    chosen = [checkpoint for checkpoint in found if checkpoint is not None]
    if not chosen:
        raise NotYetSealed("Nothing has been sealed yet; export after the first checkpoint.")
    return chosen


def _end(log: Log, *, size: int | None) -> Checkpoint | None:
    if size is not None:
        found = log.checkpoints.select_related("log").filter(size=size).first()
        if found is None:
            before = log.checkpoints.filter(size__lt=size).order_by("-size").values_list("size", flat=True).first()
            raise InvalidInput(f"Log {log.number} has no checkpoint of size {size}; the one before has {before or 0}.")
        return found
    if log.is_frozen:
        return log.checkpoints.select_related("log").filter(size=log.size).first()
    return witnessing.newest_cosigned(log) or proofs.newest_of(log)


class _Writer:
    """An archive while it grows in its working directory."""

    def __init__(self, root: Path, chosen: list[Checkpoint], progress: Progress) -> None:
        self._root = root
        self._chosen = chosen
        self._progress = progress
        self._files: dict[str, File] = {}
        self._shards = tuple(Shard(one.log_id, one.log.origin, one.size, one.root) for one in chosen)

    def write(self, *, with_disclosures: bool) -> Manifest:
        for shard, checkpoint in zip(self._shards, self._chosen, strict=True):
            self._put(shard.checkpoint, proofs.cosigned_note(checkpoint).encode())
            self._write_tiles(shard)
            self._write_entries(shard)
        policy = proofs.trust_policy()
        self._put(layout.POLICY, canonical.encode(policy.document()))
        self._put(layout.TLOG_POLICY, policy.tlog_policy().encode())
        self._put_lines(layout.ANCHORS, self._anchors())
        self._put_lines(layout.OPENINGS, self._openings(Entry.objects.filter(kind__in=OPENED)))
        if with_disclosures:
            self._put_lines(layout.DISCLOSURES, self._openings(Entry.objects.exclude(kind__in=OPENED)))
        manifest = Manifest(self._shards, self._files)
        self._sign(manifest)
        self._remove_the_rest()
        return manifest

    def _sign(self, manifest: Manifest) -> None:
        document = layout.document(manifest.shards, list(manifest.files.values()))
        # The time is the checkpoint's own, so that the same archive has the same signature.
        created = shapes.write_time(self._chosen[-1].created)
        signed = statements.sign(document, key=keys.exchange_keys().document, created=created)
        _write_whole(self._root / layout.MANIFEST, canonical.encode(signed))

    def _write_tiles(self, shard: Shard) -> None:
        rows = Log.objects.get(number=shard.number).tiles.order_by("level", "index")
        found = rows.values_list("level", "index", "data").iterator(chunk_size=CHUNK)
        for level, index, data in counted(found, f"tiles of log {shard.number}", self._progress):
            width = tiles.width(level=level, index=index, size=shard.size)
            if width:
                self._put(shard.tile(level, index), bytes(data)[: width * 32])

    def _write_entries(self, shard: Shard) -> None:
        first = self._kept_bundles(shard)
        rows = Leaf.objects.filter(log_id=shard.number, index__gte=first * tiles.WIDTH, index__lt=shard.size)
        found = rows.order_by("index").values_list("index", "data").iterator(chunk_size=CHUNK)
        told = counted(found, f"leaves of log {shard.number}", self._progress)
        for number, group in groupby(told, key=lambda row: row[0] // tiles.WIDTH):
            self._put(shard.entries(number), tiles.format_entries(bytes(data) for _, data in group))

    def _kept_bundles(self, shard: Shard) -> int:
        """How many full bundles an export that was cut off has left; those never change."""
        for number in shard.bundles():
            path = shard.entries(number)
            full = tiles.width(level=0, index=number, size=shard.size) == tiles.WIDTH
            if not full or not (self._root / path).exists():
                return number
            self._list(path)
        return len(shard.bundles())

    def _anchors(self) -> Iterator[Mapping[str, Any]]:
        sizes = {shard.number: shard.size for shard in self._shards}
        rows = Anchor.objects.filter(log_id__in=sizes).select_related("deployment")
        for anchor in rows.order_by("deployment__epoch", "log_id", "size").iterator(chunk_size=CHUNK):
            if anchor.size <= sizes[anchor.log_id]:
                yield {**proofs.anchor_document(anchor), "log": anchor.log_id, "evidence": anchor.proof}

    def _openings(self, entries: Any) -> Iterator[Mapping[str, Any]]:
        sizes = {shard.number: shard.size for shard in self._shards}
        rows = entries.filter(leaf__log_id__in=sizes, disclosure__payload__isnull=False)
        values = rows.order_by("leaf__log_id", "leaf__index").values_list(
            "leaf__log_id", "leaf__index", "disclosure__payload", "disclosure__salt"
        )
        for log, index, payload, salt in counted(values.iterator(chunk_size=CHUNK), "openings", self._progress):
            if index < sizes[log]:
                value = canonical.parse_canonical(bytes(payload))
                yield {"log": log, "index": index, "payload": value, "salt": bytes(salt).hex()}

    def _put(self, path: str, data: bytes) -> None:
        _write_whole(self._root / path, data)
        self._files[path] = File(path, len(data), hashlib.sha256(data).hexdigest())

    def _put_lines(self, path: str, values: Iterator[Mapping[str, Any]]) -> None:
        place = self._root / path
        with place.open("wb") as file:
            for value in values:
                file.write(canonical.encode(dict(value)) + b"\n")
        self._list(path)

    def _list(self, path: str) -> None:
        place = self._root / path
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._files[path] = File(path, place.stat().st_size, digest)

    def _remove_the_rest(self) -> None:
        """What an earlier export of another size left here."""
        for place in sorted(self._root.rglob("*"), reverse=True):
            path = str(place.relative_to(self._root))
            if place.is_dir():
                if not any(place.iterdir()):
                    place.rmdir()
            elif path not in self._files and path != layout.MANIFEST:
                place.unlink()


def _write_tar(work: Path, to: Path, manifest: Manifest) -> None:
    partial = to.with_name(f".{to.name}.partial.tar")
    with partial.open("wb") as file:
        tar.write(file, ((path, work / path) for path in (*manifest.files, layout.MANIFEST)))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(to)
    shutil.rmtree(work)


def _write_whole(place: Path, data: bytes) -> None:
    """Write a file whole or not at all: what is there after a crash can be kept."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(place.name + ".new")
    partial.write_bytes(data)
    partial.replace(place)


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
