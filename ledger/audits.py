"""Fsck of the log: rebuild everything that can be rebuilt, and report what does not agree.

Reads only. A superuser of the database can lift every trigger; this finds what he left behind, and an
outside verifier with an older checkpoint finds what this cannot.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count, F, Q

from ledger.actions import log
from ledger.errors import LogBehindSignedCheckpoint
from ledger.models import Checkpoint, Disclosure, Entry, Leaf, Log, Tile
from ledger.proofs import canonical, checkpoints, leaves, merkle, tiles
from ledger.proofs.errors import VerificationError

CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. `where` names a table and a place in it, never a content."""

    code: str
    where: str


def audit() -> list[Finding]:
    """Compare entries, leaves, tiles, head, checkpoints and disclosures with each other.

    Returns: every disagreement found, in the order of the log; empty when all is well.
    """
    return [
        *_check_entries(),
        *_check_leaves(),
        *_check_tree(),
        *_check_disclosures(),
        *_check_memory(),
    ]


def adopt() -> Checkpoint | None:
    """Write the newest checkpoint to the file outside the database, after people have compared the log.

    Returns: the checkpoint, or None when there is none. The caller has run `audit` and found nothing.
    """
    newest = Checkpoint.objects.latest_or_none()
    if newest is not None and log.last_signed(newest.log) is None:
        log.remember(newest.note, number=newest.log_id)
    return newest


def _check_entries() -> Iterator[Finding]:
    """Every entry is either in the log or waiting, never neither and never both (an outer join)."""
    both_or_neither = Entry.objects.filter(
        Q(leaf__isnull=True, pending__isnull=True) | Q(leaf__isnull=False, pending__isnull=False)
    )
    for ref in both_or_neither.order_by("pk").values_list("ref", flat=True):
        yield Finding("ENTRY_NEITHER_LOGGED_NOR_WAITING", f"entry {ref}")
    for index in Leaf.objects.filter(entry__ref__isnull=True).order_by("index").values_list("index", flat=True):
        yield Finding("LEAF_WITHOUT_ENTRY", f"leaf {index}")


def _check_leaves() -> Iterator[Finding]:
    """Indexes have no gap, bytes say what the entry says, hashes are those of the bytes, `prev` chains hold."""
    previous: dict[str, bytes] = {}
    shard, expected = 0, 0
    for leaf in Leaf.objects.select_related("entry").order_by("log_id", "index").iterator(chunk_size=CHUNK):
        if leaf.log_id != shard:
            shard, expected = leaf.log_id, 0
        where = f"leaf {leaf.index} of log {shard}"
        if leaf.index != expected:
            yield Finding("LEAF_MISSING", f"leaf {expected} of log {shard}")
        expected = leaf.index + 1
        data, stored = bytes(leaf.data), bytes(leaf.leaf_hash)
        subject = leaf.entry.subject
        if merkle.leaf_hash(data) != stored:
            yield Finding("LEAF_HASH_DIFFERS", where)
        if log.leaf_of(leaf.entry, prev=previous.get(subject)).data != data:
            yield Finding("LEAF_DIFFERS_FROM_ENTRY", where)
        previous[subject] = stored


def _check_tree() -> Iterator[Finding]:
    """Of each log: tiles, size and every checkpoint are those of the leaves, rebuilt from the first one."""
    for shard in Log.objects.all():
        yield from _check_log(shard)


def _check_log(shard: Log) -> Iterator[Finding]:
    hashes = [bytes(value) for value in shard.leaves.order_by("index").values_list("leaf_hash", flat=True)]
    rebuilt = tiles.append(size=0, leaf_hashes=hashes, read=lambda _level, _index: b"")
    stored = {(tile.level, tile.index): bytes(tile.data) for tile in shard.tiles.all().iterator(chunk_size=CHUNK)}
    for level, index in sorted(rebuilt.keys() | stored.keys()):
        if rebuilt.get((level, index)) != stored.get((level, index)):
            yield Finding("TILE_DIFFERS", f"tile {level}/{index} of log {shard.number}")
    if shard.size != len(hashes) or shard.root != merkle.root(hashes).hex():
        yield Finding("HEAD_DIFFERS", f"head of log {shard.number}")

    def read(level: int, index: int) -> bytes:
        return rebuilt.get((level, index), b"")

    for checkpoint in shard.checkpoints.order_by("size").iterator(chunk_size=CHUNK):
        where = f"checkpoint {checkpoint.size} of log {shard.number}"
        try:
            note = checkpoints.verify(checkpoint.note.encode(), keys=[shard.vkey], origin=shard.origin)
        except VerificationError as error:
            yield Finding(error.code, where)
            continue
        if note.size != checkpoint.size or note.root.hex() != checkpoint.root:
            yield Finding("CHECKPOINT_DIFFERS_FROM_NOTE", where)
        if checkpoint.size > len(hashes) or tiles.root(size=checkpoint.size, read=read).hex() != checkpoint.root:
            yield Finding("CHECKPOINT_DIFFERS_FROM_LEAVES", where)


def _check_disclosures() -> Iterator[Finding]:
    """Every commitment has its disclosure, opens to it, or was erased in the open."""
    for ref in Entry.objects.filter(disclosure__isnull=True).order_by("pk").values_list("ref", flat=True):
        yield Finding("DISCLOSURE_MISSING", f"entry {ref}")
    rows = Disclosure.objects.readable().annotate(commit=F("entry__commit"), ref=F("entry__ref")).order_by("pk")
    for payload, salt, commit, ref in rows.values_list("payload", "salt", "commit", "ref").iterator(chunk_size=CHUNK):
        try:
            data = bytes(payload or b"")
            canonical.parse_canonical(data)
            opens = leaves.commitment(data, salt=bytes(salt or b"")) == commit
        except VerificationError:
            opens = False
        if not opens:
            yield Finding("DISCLOSURE_DIFFERS", f"entry {ref}")


def _check_memory() -> Iterator[Finding]:
    """The checkpoint kept outside the database is one that this database can stand behind."""
    for shard in Log.objects.all():
        yield from _check_memory_of(shard)


def _check_memory_of(shard: Log) -> Iterator[Finding]:
    place = f"file of the last signed checkpoint of log {shard.number}"
    newest = shard.checkpoints.order_by("-size").first()
    try:
        remembered = log.last_signed(shard)
    except LogBehindSignedCheckpoint as refusal:
        yield Finding(refusal.code, place)
        return
    if remembered is None:
        if newest is not None:
            yield Finding("LOG_SIGNED_CHECKPOINT_MISSING", place)
        return
    known = shard.checkpoints.filter(size=remembered.size).first()
    if shard.size < remembered.size or (known and known.root != remembered.root.hex()):
        yield Finding(LogBehindSignedCheckpoint.code, place)


def counts() -> dict[str, int]:
    """How much was looked at: entries, leaves, tiles, checkpoints, erased disclosures."""
    return {
        "entries": Entry.objects.count(),
        "leaves": Leaf.objects.count(),
        "tiles": Tile.objects.count(),
        "checkpoints": Checkpoint.objects.count(),
        "erased": Disclosure.objects.aggregate(n=Count("pk", filter=Q(payload__isnull=True)))["n"],
    }
