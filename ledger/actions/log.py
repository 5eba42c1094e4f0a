"""The log: waiting entries get their place, the tree grows, and a checkpoint is signed over it.

Four steps, each repeatable: sequence, integrate, sign, publish. Sequencing and integrating are one
transaction of at most 1,000 entries. Signing is another: the note goes to a file outside the database
before it goes into the database, so a restored backup can never sign a second history unseen.
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from exchange.kernel import identifiers
from ledger import keys
from ledger.errors import LogBehindSignedCheckpoint, SignedCheckpointMissing
from ledger.models import Checkpoint, Entry, Leaf, LogHead, Pending, Tile
from ledger.proofs import checkpoints, leaves, merkle, tiles
from ledger.proofs.errors import VerificationError

BATCH = 1000  # entries in one transaction: one fsync for all, and a lock held for well under a second
_LOCK = 0x4C4F47  # advisory lock of the log, "LOG"


def seal() -> Checkpoint | None:
    """Bring the log up to date: sequence what waits, grow the tree, sign a checkpoint.

    Returns: the new checkpoint, or None when nothing was new.
    Raises:
        LogBehindSignedCheckpoint: the database holds less than, or something else than, what was signed.
        SignedCheckpointMissing: the file with the last signed checkpoint is gone.
    Idempotent: any number of sealers may run at once; one works, the others wait and find nothing to do.
    """
    while sequence(limit=BATCH) == BATCH:
        pass
    return sign()


@transaction.atomic
def sequence(*, limit: int = BATCH) -> int:
    """Give waiting entries their place in the log and add their hashes to the tiles; returns how many."""
    head = _lock_head()
    waiting = list(Pending.objects.select_related("entry").order_by("entry_id")[:limit])
    if not waiting:
        return 0
    rows = _leaves([pending.entry for pending in waiting], start=head.size)
    Leaf.objects.bulk_create(rows)
    hashes = [bytes(row.leaf_hash) for row in rows]
    changed = tiles.append(size=head.size, leaf_hashes=hashes, read=Tile.objects.data_of)
    _store(changed)
    head.size += len(rows)
    head.root = _root(head.size, changed).hex()
    head.save(update_fields=["size", "root"])
    Pending.objects.filter(entry__in=[pending.entry_id for pending in waiting]).delete()
    return len(rows)


@transaction.atomic
def sign() -> Checkpoint | None:
    """Sign a checkpoint over the whole log, unless the newest one covers it already.

    The note is written and flushed to the file first. A crash between file and commit leaves a file that
    agrees with the head, and the next pass signs the same bytes again (Ed25519 is deterministic).
    """
    head = _lock_head()
    newest = Checkpoint.objects.latest_or_none()
    check_not_behind(head, newest=newest)
    if head.size == 0 or (newest is not None and newest.size == head.size):
        return None
    note = checkpoints.sign(
        checkpoints.Checkpoint(origin=settings.LOG_ORIGIN, size=head.size, root=bytes.fromhex(head.root)),
        key=keys.log_keys().document,
    )
    remember(note)
    return Checkpoint.objects.create(size=head.size, root=head.root, note=note)


def check_not_behind(head: LogHead, *, newest: Checkpoint | None) -> None:
    """Compare the database with the last checkpoint signed, which is kept outside it.

    Raises:
        LogBehindSignedCheckpoint: fewer leaves than were signed, or other ones.
        SignedCheckpointMissing: checkpoints exist, their memory outside the database does not.
    """
    if head.alarm:
        raise LogBehindSignedCheckpoint(
            f"The chain holds what this log does not ({head.alarm}): the database was restored or edited. "
            "Restore the newest state; the alarm goes at the next anchoring pass once the two agree."
        )
    remembered = last_signed()
    if remembered is None:
        if newest is not None:
            raise SignedCheckpointMissing(
                "The file with the last signed checkpoint is gone. Put it back from its own backup; if there is "
                "none, compare the log with its anchors and witnesses, then run: manage.py verify_ledger --adopt"
            )
        return
    if head.size < remembered.size or _root(remembered.size) != remembered.root:
        raise LogBehindSignedCheckpoint(
            f"A checkpoint over {remembered.size} entries was signed, and this database does not hold them. It was "
            "restored from a backup or edited. Restore the newest state; nothing is signed until the two agree."
        )


def last_signed() -> checkpoints.Checkpoint | None:
    """The last checkpoint this log key signed, from the file outside the database; None where there is none.

    Raises:
        LogBehindSignedCheckpoint: the file is damaged or another log's.
    """
    try:
        note = keys.signed_checkpoint_file().read_bytes()
    except FileNotFoundError:
        return None
    try:
        return checkpoints.verify(note, keys=[keys.log_vkey()], origin=settings.LOG_ORIGIN)
    except VerificationError as error:
        raise LogBehindSignedCheckpoint(
            "The file with the last signed checkpoint is damaged or belongs to another log; restore it."
        ) from error


def remember(note: str) -> None:
    """Keep a signed checkpoint outside the database: written whole and flushed, or not at all."""
    path = keys.signed_checkpoint_file()
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


def _lock_head() -> LogHead:
    """Take the log for this transaction: the advisory lock first, so that even the first row is made once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    LogHead.objects.get_or_create(pk=1, defaults={"root": merkle.EMPTY_ROOT.hex()})
    return LogHead.objects.select_for_update().get(pk=1)


def _leaves(entries: list[Entry], *, start: int) -> list[Leaf]:
    previous = Leaf.objects.last_of({entry.subject for entry in entries})
    rows = []
    for index, entry in enumerate(entries, start=start):
        before = previous.get(entry.subject)
        data = leaf_of(entry, prev=before).data
        hashed = merkle.leaf_hash(data)
        previous[entry.subject] = hashed
        rows.append(Leaf(index=index, entry=entry, data=data, leaf_hash=hashed))
    return rows


def leaf_of(entry: Entry, *, prev: bytes | None) -> leaves.Leaf:
    """The leaf an entry becomes; `prev` is the hash of its subject's leaf before."""
    return leaves.Leaf(
        kind=entry.kind,
        entry=identifiers.make_urn("entry", entry.ref),
        subject=entry.subject,
        issuer=entry.issuer,
        prev=prev.hex() if prev else None,
        at=_instant(entry.at),
        commit=entry.commit,
    )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _store(changed: dict[tiles.Place, bytes]) -> None:
    Tile.objects.bulk_create(
        [Tile(level=level, index=index, data=data) for (level, index), data in sorted(changed.items())],
        update_conflicts=True,
        unique_fields=["level", "index"],
        update_fields=["data"],
    )


def _root(size: int, changed: dict[tiles.Place, bytes] | None = None) -> bytes:
    """The root over the first `size` leaves, from the tiles; a missing tile is a root that nothing equals."""
    fresh = changed or {}

    def read(level: int, index: int) -> bytes:
        return fresh.get((level, index)) or Tile.objects.data_of(level, index)

    try:
        return tiles.root(size=size, read=read)
    except VerificationError:
        return b""
