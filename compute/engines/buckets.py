"""Matching tables of any size: keyed buckets on disk, one after the other, and a run that was stopped can go on.

An id belongs to the bucket that the second half of its keyed value names, so that both owners put a person into the
same one, and buckets are of one size up to chance. The table is read once in bounded chunks and spread into files of
keyed values and what is wanted of a row that matches: its number, its block, its values. Every bucket is then matched
by itself. Memory is that of one chunk or one bucket, whatever the table holds; disk is 24 bytes a row and 8 more for
each further value.

    magnitude of the larger table 2^27 = 134,217,728 rows → 64 buckets of some 2,097,152

After each bucket its matched rows are written down under the bucket's number, whole or not at all. A run of the same
job that starts again (its peers, too) keeps the key and the files, does the buckets that are not done at all parties,
and counts none twice, because a bucket's answer replaces an earlier one of that bucket. Parties go from bucket to
bucket together, so one that was stopped lacks at most one of those that its peer has; more is refused. The directory is
the engine's own at this node and is removed at the end. A node that keeps nothing for engines runs without going on.

What the parties learn beyond `spu_matching`: how many ids the other has in each bucket, which under the key of the job
is chance, but would confirm a guess at its whole table. A random value beside the ids keeps a bucket from being empty.
"""

import hashlib
import hmac
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compute.engines import greeting, identifiers, keeping, link, loading, spu_links, spu_matching
from compute.engines.base import StageContext, Table
from compute.engines.metadata import DatasetMeta

PSI_STAGE = 1
RECEIVE_SECONDS = (
    900  # a peer on a slower machine reads and writes a bucket, too; a peer that is lost is noticed at once
)
KEPT_SECONDS = 86_400.0  # what a stopped run kept is its owner's own, and still no more than a day old
_SPREAD = "spread.json"  # written last: the key, and what was spread
_ORDER_BYTES = 32  # before the rows of an answer: the digest of the matched keys, by which owners compare their order

Int64 = NDArray[np.int64]


class Payload(Protocol):
    """What is kept of every row beside its keyed value; each of `width` integers of 64 bits."""

    width: int
    columns: Mapping[str, Any]  # what `loading.chunks` is to read beside the ids

    def take(self, chunk: Table, first: int) -> Int64:
        """The payload of a chunk, whose first row has the number `first`; shape (rows, width)."""

    def summary(self) -> list[int]:
        """What is to be known of all rows, once they have been taken."""


class RowNumbers:
    """The payload of a matching: the number of the row."""

    width = 1
    columns: Mapping[str, Any] = {"values": (), "blocks": False}

    def take(self, chunk: Table, first: int) -> Int64:
        """See Payload."""
        return np.arange(first, first + len(chunk.ids or ()), dtype=np.int64)[:, None]

    def summary(self) -> list[int]:
        """See Payload."""
        return []


@dataclass(frozen=True, slots=True)
class Work:
    """One party's buckets on disk; `rows` of its table, `key` of the job, `width` and `summary` of the payload."""

    directory: Path
    buckets: int
    rows: int
    key: bytes
    width: int
    summary: tuple[int, ...]

    def done(self) -> set[int]:
        """Buckets whose answer is written down."""
        return {int(path.stem) for path in self.directory.glob("*.done")}

    def read(self, bucket: int) -> NDArray[np.void]:
        """Keyed values and payloads of one bucket, and one random value of no row."""
        path, kind = self.directory / f"{bucket}.bucket", _record(self.width)
        found = np.fromfile(path, kind) if path.exists() else np.zeros(0, kind)
        filling = np.zeros(1, kind)
        filling["key"] = np.frombuffer(secrets.token_bytes(identifiers.SIZE), ">u8")
        return np.concatenate([found, filling])

    def write_down(self, bucket: int, rows: Int64, *, order: str = "") -> None:
        """A bucket's matched payloads, whole or not at all; an earlier answer of this bucket is replaced."""
        temporary = self.directory / f"{bucket}.tmp"
        head = bytes.fromhex(order).ljust(_ORDER_BYTES, b"\0")
        keeping.write(temporary, head + np.ascontiguousarray(rows, "<i8").tobytes())
        temporary.replace(self._answer(bucket))

    def matched_rows(self) -> int:
        """How many rows match, in all buckets."""
        sizes = [self._answer(bucket).stat().st_size - _ORDER_BYTES for bucket in range(self.buckets)]
        return sum(sizes) // (8 * self.width)

    def matched(self) -> Iterator[Int64]:
        """The payloads of the matched rows, bucket by bucket, in the order that all receivers have; (rows, width)."""
        for bucket in range(self.buckets):
            yield np.fromfile(self._answer(bucket), "<i8", offset=_ORDER_BYTES).reshape(-1, self.width)

    def order(self) -> str:
        """A digest of the matched keys of all buckets, in order."""
        found = hashlib.sha256()
        for bucket in range(self.buckets):
            with self._answer(bucket).open("rb") as file:
                found.update(file.read(_ORDER_BYTES))
        return found.hexdigest()

    def _answer(self, bucket: int) -> Path:
        return self.directory / f"{bucket}.done"


def count(magnitudes: Sequence[int], *, bucket_rows: int) -> int:
    """How many buckets: a power of two, one for tables that fit into memory."""
    return max(1, max(magnitudes) // bucket_rows)


def agree(context: StageContext, mesh: link.Mesh, meta: DatasetMeta, *, ranks: Sequence[int]) -> int:
    """How many buckets the data parties' tables make: by the largest table, and the smallest bucket that one wants."""
    own = {"magnitude": meta.magnitude, "bucket_rows": context.bucket_rows}
    peers = [rank for rank in ranks if rank != context.rank]
    told = [own, *(greeting.load(one) for one in mesh.exchange(dict.fromkeys(peers, greeting.dump(own))).values())]
    try:
        magnitudes = [int(one["magnitude"]) for one in told]
        bucket_rows = min(int(one["bucket_rows"]) for one in told)
    except (KeyError, TypeError, ValueError):
        raise greeting.differs("A peer's greeting cannot be read; check the versions.") from None
    if bucket_rows < 1 or bucket_rows & (bucket_rows - 1):
        raise greeting.differs("A peer's bucket does not hold a power of two rows; check the versions.")
    return count(magnitudes, bucket_rows=bucket_rows)


def prepare(
    context: StageContext,
    mesh: link.Mesh,
    meta: DatasetMeta,
    payload: Payload,
    *,
    buckets: int,
    ranks: Sequence[int],
) -> Work:
    """This party's buckets: those of the run of this job that was stopped, where every party has its own still, or
    new."""
    directory = context.work_dir / "buckets"
    if context.state is not None:
        clear(context.state, before=time.time() - KEPT_SECONDS)
        directory = keeping.directory(context, context.job_digest)
    directory.mkdir(mode=0o700, exist_ok=True)
    peers = [rank for rank in ranks if rank != context.rank]
    kept = _kept(directory, buckets, payload.width)
    own = {"kept": _proof(kept.key) if kept else secrets.token_hex(32)}
    told = mesh.exchange(dict.fromkeys(peers, greeting.dump(own)))
    if kept and all(greeting.load(one) == own for one in told.values()):
        return kept
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    key = greeting.job_key(context, mesh, ranks=ranks)
    mesh.watch(spu_links.leave_as_lost(context))
    rows = _spread(context, meta, key, payload, buckets=buckets, directory=directory)
    work = Work(directory, buckets, rows, key, payload.width, tuple(payload.summary()))
    described = {"key": key.hex(), "rows": rows, "buckets": buckets, "width": work.width, "summary": work.summary}
    keeping.write(directory / _SPREAD, json.dumps(described).encode())
    return work


def clear(state: Path, *, before: float) -> None:
    """Remove what runs kept that nobody started again; `before` in seconds of the epoch."""
    for path in state.iterdir() if state.exists() else ():
        if path.is_dir() and path.stat().st_mtime < before:
            shutil.rmtree(path, ignore_errors=True)


def match(
    context: StageContext, mesh: link.Mesh, work: Work, *, ranks: Sequence[int], protocol: str, broadcast: bool
) -> None:
    """Match what is not done yet, bucket by bucket, and write it down.

    With `broadcast` every party has the matched rows afterwards, in one order; otherwise the first of `ranks` alone.

    Raises:
        EngineRefused: JOB_DIFFERS for a peer that lacks more than the one bucket at which it can have been stopped: it
            would have buckets matched again, maybe against other ids.
    """
    done, peers = work.done(), [rank for rank in ranks if rank != context.rank]
    told = mesh.exchange(dict.fromkeys(peers, greeting.dump({"done": sorted(done)})))
    for message in told.values():
        theirs = {int(bucket) for bucket in greeting.load(message).get("done", [])}
        if len(done - theirs) > 1:
            raise greeting.differs("A peer lacks buckets that were matched with it; submit again.")
        done &= theirs
    mesh.watch(spu_links.leave_as_lost(context))
    connection = spu_links.connect(context, PSI_STAGE, ranks=ranks, receive_seconds=RECEIVE_SECONDS)
    for bucket in range(work.buckets):
        if bucket in done:
            continue
        context.progress("match", 20 + 70 * bucket // work.buckets)
        records = work.read(bucket)
        places, order = spu_matching.match_words(
            context, records["key"], connection, ranks=ranks, protocol=protocol, broadcast=broadcast
        )
        work.write_down(bucket, records["payload"][places], order=order)


def _record(width: int) -> "np.dtype[np.void]":
    return np.dtype([("key", ">u8", 2), ("payload", "<i8", (width,))])


def _kept(directory: Path, buckets: int, width: int) -> Work | None:
    try:
        found = json.loads((directory / _SPREAD).read_text())
        work = Work(
            directory,
            int(found["buckets"]),
            int(found["rows"]),
            bytes.fromhex(found["key"]),
            int(found["width"]),
            tuple(int(one) for one in found["summary"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return work if (work.buckets, work.width) == (buckets, width) else None


def _proof(key: bytes) -> str:
    return hmac.digest(key, b"hengshu/buckets/v1", "sha256").hex()


def _spread(
    context: StageContext, meta: DatasetMeta, key: bytes, payload: Payload, *, buckets: int, directory: Path
) -> int:
    """Write every row's keyed value and payload into the file of its bucket; returns the number of rows."""
    context.progress("load", 15)
    rows = 0
    for chunk in loading.chunks(context.own_dataset, meta, ids=True, **payload.columns):
        keys = identifiers.keyed(chunk.ids or (), key)
        records = np.zeros(len(keys), _record(payload.width))
        records["key"] = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2)
        records["payload"] = payload.take(chunk, rows)
        rows += len(keys)
        numbers = (records["key"][:, 1] & np.uint64(buckets - 1)).astype(np.uint32)
        order = np.argsort(numbers.astype(np.uint16) if buckets <= 1 << 16 else numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=buckets))
        for bucket, part in enumerate(np.split(records[order], ends[:-1])):
            with (directory / f"{bucket}.bucket").open("ab") as file:
                part.tofile(file)
    return rows
