"""Matching tables of any size: keyed buckets on disk, one after the other, and a run that was stopped can go on.

An id belongs to the bucket that the second half of its keyed value names, so that both owners put a person into the
same one, and buckets are of one size up to chance. The table is read once in bounded chunks and spread into files of
keyed values and row numbers; every bucket is then matched by itself. Memory is that of one chunk or one bucket,
whatever the table holds; disk is 24 bytes a row.

    magnitude of the larger table 2^27 = 134,217,728 rows → 64 buckets of some 2,097,152

After each bucket its matched rows are written down under the bucket's number, whole or not at all. A run of the same
job that starts again (its peers, too) keeps the key and the files, does the buckets that are not done at all parties,
and counts none twice, because a bucket's answer replaces an earlier one of that bucket. The directory is the engine's
own at this node and is removed with the last bucket. A node that keeps nothing for engines runs without going on.

What the parties learn beyond `spu_matching`: how many ids the other has in each bucket, which under the key of the job
is chance, but would confirm a guess at its whole table. A random value beside the ids keeps a bucket from being empty.
"""

import hmac
import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compute.engines import greeting, identifiers, keeping, link, loading, spu_links, spu_matching
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta

BUCKET_ROWS = 1 << 21  # of the larger table; the library takes most of the memory of a bucket
PSI_STAGE = 1
KEPT_SECONDS = 86_400.0  # what a stopped run kept is its owner's own, and still no more than a day old
_RECORD = np.dtype([("key", ">u8", 2), ("row", "<i8")])
_SPREAD = "spread.json"  # written last: the key, and how many rows were spread

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Work:
    """One party's buckets on disk; `rows` of its table, `key` of the job."""

    directory: Path
    buckets: int
    rows: int
    key: bytes

    def done(self) -> set[int]:
        """Buckets whose answer is written down."""
        return {int(path.stem) for path in self.directory.glob("*.done")}

    def read(self, bucket: int) -> NDArray[np.void]:
        """Keyed values and rows of one bucket, and one random value of no row (-1)."""
        path = self.directory / f"{bucket}.bucket"
        found = np.fromfile(path, _RECORD) if path.exists() else np.zeros(0, _RECORD)
        filling = np.zeros(1, _RECORD)
        filling["key"] = np.frombuffer(secrets.token_bytes(identifiers.SIZE), ">u8")
        filling["row"] = -1
        return np.concatenate([found, filling])

    def write_down(self, bucket: int, rows: Int64) -> None:
        """A bucket's matched rows, whole or not at all; an earlier answer of this bucket is replaced."""
        temporary = self.directory / f"{bucket}.tmp"
        keeping.write(temporary, rows.astype("<i8").tobytes())
        temporary.replace(self.directory / f"{bucket}.done")

    def matched(self) -> list[int]:
        """The matched rows of all buckets, in order."""
        parts = [np.fromfile(path, "<i8") for path in self.directory.glob("*.done")]
        found: list[int] = np.sort(np.concatenate(parts)).tolist()
        return found


def count(magnitudes: Sequence[int]) -> int:
    """How many buckets: a power of two, one for tables that fit into memory."""
    return max(1, max(magnitudes) // BUCKET_ROWS)


def prepare(context: StageContext, mesh: link.Mesh, meta: DatasetMeta, *, buckets: int) -> Work:
    """This party's buckets: those of the run of this job that was stopped, where every party has its own still, or
    new."""
    directory = context.work_dir / "buckets"
    if context.state is not None:
        clear(context.state, before=time.time() - KEPT_SECONDS)
        directory = keeping.directory(context, context.job_digest)
    directory.mkdir(mode=0o700, exist_ok=True)
    kept = _kept(directory, buckets)
    own = {"kept": _proof(kept.key) if kept else secrets.token_hex(32)}
    if kept and all(greeting.load(told) == own for told in mesh.broadcast(greeting.dump(own)).values()):
        return kept
    if not kept:
        mesh.broadcast(greeting.dump(own))
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    key = greeting.job_key(context, mesh, ranks=range(context.parties))
    rows = _spread(context, meta, key, buckets=buckets, directory=directory)
    keeping.write(directory / _SPREAD, json.dumps({"key": key.hex(), "rows": rows, "buckets": buckets}).encode())
    return Work(directory, buckets, rows, key)


def clear(state: Path, *, before: float) -> None:
    """Remove what runs kept that nobody started again; `before` in seconds of the epoch."""
    for path in state.iterdir() if state.exists() else ():
        if path.is_dir() and path.stat().st_mtime < before:
            shutil.rmtree(path, ignore_errors=True)


def match(context: StageContext, mesh: link.Mesh, work: Work, *, protocol: str) -> list[int]:
    """Match what is not done yet, bucket by bucket; the receiver's rows, in order, and nothing at the others."""
    done = work.done()
    told = mesh.broadcast(greeting.dump({"done": sorted(done)}))
    for message in told.values():
        done &= {int(bucket) for bucket in greeting.load(message).get("done", [])}
    mesh.watch(spu_links.leave_as_lost(context))
    ranks = range(context.parties)
    connection = spu_links.connect(context, PSI_STAGE, ranks=ranks)
    for bucket in range(work.buckets):
        if bucket in done:
            continue
        context.progress("match", 20 + 70 * bucket // work.buckets)
        records = work.read(bucket)
        places, _ = spu_matching.match_words(
            context, records["key"], connection, ranks=ranks, protocol=protocol, broadcast=False
        )
        rows: Int64 = records["row"][places].astype(np.int64)
        work.write_down(bucket, rows)
    found = work.matched()
    shutil.rmtree(work.directory)
    return found


def _kept(directory: Path, buckets: int) -> Work | None:
    try:
        found = json.loads((directory / _SPREAD).read_text())
        work = Work(directory, int(found["buckets"]), int(found["rows"]), bytes.fromhex(found["key"]))
    except (OSError, ValueError, KeyError):
        return None
    return work if work.buckets == buckets else None


def _proof(key: bytes) -> str:
    return hmac.digest(key, b"hengshu/buckets/v1", "sha256").hex()


def _spread(context: StageContext, meta: DatasetMeta, key: bytes, *, buckets: int, directory: Path) -> int:
    """Write every row's keyed value and number into the file of its bucket; returns the number of rows."""
    if context.dataset is None:
        raise EngineRefused("JOB_DIFFERS", "A data party needs its dataset.")
    rows = 0
    for chunk in loading.chunks(context.dataset, meta, values=[], blocks=False, ids=True):
        keys = identifiers.keyed(chunk.ids or (), key)
        records = np.zeros(len(keys), _RECORD)
        records["key"] = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2)
        records["row"] = np.arange(rows, rows + len(keys))
        rows += len(keys)
        numbers = (records["key"][:, 1] % np.uint64(buckets)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=buckets))
        for bucket, part in enumerate(np.split(records[order], ends[:-1])):
            with (directory / f"{bucket}.bucket").open("ab") as file:
                part.tofile(file)
    return rows
