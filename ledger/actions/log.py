"""The log: waiting entries get their place, the tree grows, and a checkpoint is signed over it.

Four steps, each repeatable: sequence, integrate, sign, publish. Sequencing and integrating are one
transaction of at most 1,000 entries. Signing is another: the note goes to a file outside the database
before it goes into the database, so a restored backup can never sign a second history unseen.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypedDict

from django.conf import settings
from django.db import connection, transaction

from compute.protocol.keyfiles import KeyFile
from exchange.kernel import identifiers
from ledger import keys
from ledger.actions import log_keys
from ledger.errors import LogBehindSignedCheckpoint, LogKeyDiffers, SignedCheckpointMissing
from ledger.models import Checkpoint, Entry, Leaf, Log, Tile, Witness
from ledger.proofs import checkpoints, leaves, merkle, notes, tiles
from ledger.proofs.errors import VerificationError
from ledger.querysets import Placed

BATCH = 1000  # entries in one transaction: one fsync for all, and a lock held for well under a second
HELD_BY_WITNESS = "WITNESS_HOLDS_OTHER"  # a witness's trouble that stops the signing
_LOCK = 0x4C4F47  # advisory lock of the log, "LOG"
# By arrays and not by joins: the planner knows nothing of how few rows are taken and would read the whole tables.
_TAKE = """
    WITH taken AS (
        DELETE FROM ledger_pending
        WHERE entry_id = ANY(ARRAY(SELECT entry_id FROM ledger_pending ORDER BY entry_id LIMIT %s)) RETURNING entry_id
    )
    SELECT id, ref, kind, subject, issuer, at, commit
    FROM ledger_entry WHERE id = ANY(ARRAY(SELECT entry_id FROM taken)) ORDER BY id
"""


class _Said(TypedDict):
    kind: str
    entry: str
    subject: str
    issuer: str
    prev: str | None
    at: str
    commit: str


class Waiting(NamedTuple):
    """What a leaf says of an entry, without the weight of a model: a thousand of them are sequenced at once."""

    id: int
    ref: str
    kind: str
    subject: str
    issuer: str
    at: datetime
    commit: str


def seal() -> Checkpoint | None:
    """Bring the log up to date: sequence what waits, grow the tree, sign a checkpoint.

    Returns: the new checkpoint, or None when nothing was new.
    Raises:
        LogBehindSignedCheckpoint: the database holds less than, or something else than, what was signed.
        SignedCheckpointMissing: the file with the last signed checkpoint is gone, or an earlier one.
        LogKeyDiffers: the key file holds another key than the log was opened with.
    Idempotent: any number of sealers may run at once; one works, the others wait and find nothing to do.
    """
    while sequence(limit=BATCH) == BATCH:
        pass
    return sign()


@transaction.atomic
def sequence(*, limit: int = BATCH) -> int:
    """Give waiting entries their place in the log and add their hashes to the tiles; returns how many."""
    log = lock_log()
    waiting = _take(limit)
    if waiting:
        append(log, waiting)
    return len(waiting)


def append(log: Log, entries: Sequence[Waiting | Entry]) -> None:
    """Give entries the next places of a log whose row the caller has locked."""
    rows = _leaves(log, entries)
    Leaf.objects.add(log, rows)
    hashes = [row.leaf_hash for row in rows]
    changed = tiles.append(size=log.size, leaf_hashes=hashes, read=Tile.objects.reader(log))
    _store(log, changed)
    log.size += len(rows)
    log.root = root_of(log, log.size, changed).hex()
    log.save(update_fields=["size", "root"])


@transaction.atomic
def sign() -> Checkpoint | None:
    """Sign a checkpoint over the whole log, unless the newest one covers it already.

    The note is written and flushed to the file first. A crash between file and commit leaves a file that
    agrees with the head, and the next pass signs the same bytes again (Ed25519 is deterministic; what is not
    comes from the file).
    """
    return sign_log(lock_log())


def sign_log(log: Log, *, by: KeyFile | None = None) -> Checkpoint | None:
    """Sign a checkpoint over a log whose row the caller has locked; None when the newest one covers it.

    Args:
        by: the key file to sign with; the one in LOG_KEY_FILE by default.
    Raises:
        as `seal`, and LogKeyDiffers.
    """
    newest = log.checkpoints.order_by("-size").first()
    check_not_behind(log, newest=newest)
    if log.size == 0 or (newest is not None and newest.size == log.size):
        return None
    signer = (by or keys.log_keys()).document
    if notes.vkey(log.origin, signer.public_key()) != log.vkey:
        raise LogKeyDiffers(
            f"The key in LOG_KEY_FILE is not the one of log {log.origin}; put the right file in its place, or rotate"
            " the key with: manage.py rotate_log_key"
        )
    note = _kept(log) or checkpoints.sign(
        checkpoints.Checkpoint(origin=log.origin, size=log.size, root=bytes.fromhex(log.root)),
        key=signer,
        extra_keys=[key for key in [keys.log_mldsa_key()] if key is not None],
    )
    remember(note, number=log.number)
    return Checkpoint.objects.create(log=log, size=log.size, root=log.root, note=note)


def _kept(log: Log) -> str | None:
    """The note of this very size, where a crash fell between file and commit: ML-DSA-44 lines never come out alike."""
    if not settings.LOG_MLDSA_KEY_FILE:
        return None
    remembered = last_signed(log)
    if remembered is None or remembered.size != log.size:
        return None
    return keys.signed_checkpoint_file(log.number).read_text()


def check_not_behind(log: Log, *, newest: Checkpoint | None) -> None:
    """Compare the database with the last checkpoint signed, which is kept outside it.

    Raises:
        LogBehindSignedCheckpoint: fewer leaves than were signed, or other ones.
        SignedCheckpointMissing: checkpoints exist, and outside the database nothing or an earlier one is remembered.
    """
    if log.alarm:
        raise LogBehindSignedCheckpoint(
            f"The chain holds what this log does not ({log.alarm}): the database was restored or edited. "
            "Restore the newest state; the alarm goes at the next anchoring pass once the two agree."
        )
    if Witness.objects.filter(withdrawn_at=None, trouble=HELD_BY_WITNESS).exists():
        raise LogBehindSignedCheckpoint(
            "A witness holds a checkpoint under this log's key that this database does not hold: it was restored, or "
            "somebody else signs. Restore the newest state; once people have looked, withdraw the witness or let it "
            "cosign."
        )
    if keys.signed_checkpoint_file(log.number + 1).exists():
        raise LogBehindSignedCheckpoint(
            f"This database has log {log.number} open, but a later one has signed checkpoints already. It was restored"
            " from a backup. Restore the newest state; nothing is signed until the two agree."
        )
    remembered = last_signed(log)
    if remembered is None:
        if newest is not None:
            raise SignedCheckpointMissing(
                "The file with the last signed checkpoint is gone. Put it back from its own backup; if there is "
                "none, compare the log with its anchors and witnesses, then run: manage.py verify_ledger --adopt"
            )
        return
    if log.size < remembered.size or root_of(log, remembered.size) != remembered.root:
        raise LogBehindSignedCheckpoint(
            f"A checkpoint over {remembered.size} entries was signed, and this database does not hold them. It was "
            "restored from a backup or edited. Restore the newest state; nothing is signed until the two agree."
        )
    if newest is not None and newest.size > remembered.size:
        raise SignedCheckpointMissing(
            "The file with the last signed checkpoint is older than the database: an old copy was put back, or a "
            "second sealer keeps a file of its own. Stop that sealer and put the newest file back; if there is none, "
            "compare the log with its anchors and witnesses, remove the file, then run: manage.py verify_ledger --adopt"
        )


def last_signed(log: Log) -> checkpoints.Checkpoint | None:
    """The last checkpoint signed for a log, from the file outside the database; None where there is none.

    Raises:
        LogBehindSignedCheckpoint: the file is damaged or another log's.
    """
    try:
        note = keys.signed_checkpoint_file(log.number).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return checkpoints.verify(note, keys=log_keys.vkeys_of(log), origin=log.origin)
    except VerificationError as error:
        raise LogBehindSignedCheckpoint(
            "The file with the last signed checkpoint is damaged or belongs to another log; restore it."
        ) from error


def remember(note: str, *, number: int) -> None:
    """Keep a log's signed checkpoint outside the database: written whole and flushed, or not at all."""
    path = keys.signed_checkpoint_file(number)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def alone() -> Iterator[None]:
    """Keep every other sealer out for several transactions; own ones pass, because the lock is the session's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def identity() -> tuple[str, str]:
    """The open log's name and vkey, as new contracts name them."""
    log = Log.objects.current()
    return (settings.LOG_ORIGIN, keys.log_vkey()) if log is None else (log.origin, log.vkey)


def lock_log() -> Log:
    """Take the open log for this transaction: the advisory lock first, so that even the first row is made once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    return Log.objects.open().select_for_update().first() or open_first()


def open_first() -> Log:
    """Make the first log's row, under the name and key of the settings; harmless when it is there."""
    defaults = {"origin": settings.LOG_ORIGIN, "vkey": keys.log_vkey(), "root": merkle.EMPTY_ROOT.hex()}
    return Log.objects.get_or_create(number=1, defaults=defaults)[0]


def _take(limit: int) -> list[Waiting]:
    """Take the oldest entries that wait out of the queue, with what their leaves say; in one question."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [limit])
        return [Waiting(*row) for row in cursor.fetchall()]


def _leaves(log: Log, entries: Sequence[Waiting | Entry]) -> list[Placed]:
    previous = Leaf.objects.last_of({entry.subject for entry in entries})
    rows = []
    for index, entry in enumerate(entries, start=log.size):
        data = leaves.write(**_said(entry, prev=previous.get(entry.subject)))
        hashed = merkle.leaf_hash(data)
        previous[entry.subject] = hashed
        rows.append(Placed(index, entry.id, data, hashed))
    return rows


def leaf_of(entry: Waiting | Entry, *, prev: bytes | None) -> leaves.Leaf:
    """The leaf an entry becomes; `prev` is the hash of its subject's leaf before."""
    return leaves.Leaf(**_said(entry, prev=prev))


def _said(entry: Waiting | Entry, *, prev: bytes | None) -> _Said:
    return {
        "kind": entry.kind,
        "entry": identifiers.make_urn("entry", entry.ref),
        "subject": entry.subject,
        "issuer": entry.issuer,
        "prev": prev.hex() if prev else None,
        "at": _instant(entry.at),
        "commit": entry.commit,
    }


@lru_cache(maxsize=256)  # entries of one batch share a few seconds
def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _store(log: Log, changed: dict[tiles.Place, bytes]) -> None:
    Tile.objects.bulk_create(
        [Tile(log=log, level=level, index=index, data=data) for (level, index), data in sorted(changed.items())],
        update_conflicts=True,
        unique_fields=["log", "level", "index"],
        update_fields=["data"],
    )


def root_of(log: Log, size: int, changed: dict[tiles.Place, bytes] | None = None) -> bytes:
    """The root over a log's first `size` leaves, from the tiles; a missing tile is a root that nothing equals."""
    fresh = changed or {}
    stored = Tile.objects.reader(log)

    def read(level: int, index: int) -> bytes:
        return fresh.get((level, index)) or stored(level, index)

    try:
        return tiles.root(size=size, read=read)
    except VerificationError:
        return b""
