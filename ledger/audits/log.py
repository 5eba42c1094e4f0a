"""The log against itself: entries, leaves, tiles, heads, checkpoints, cosignatures, disclosures, and the file outside.

Everything streams: a log of any length is rebuilt in the memory of some tiles.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.db.models import Exists, F, OuterRef, Q, Window
from django.db.models.functions import Lag

from ledger import keys
from ledger.actions import log, log_keys
from ledger.audits.counterparts import table_of
from ledger.audits.findings import Finding, Progress, counted, silent
from ledger.errors import LogBehindSignedCheckpoint
from ledger.models import ChainDeployment, Checkpoint, Cosignature, Disclosure, Entry, Leaf, Log
from ledger.proofs import canonical, checkpoints, cosignatures, leaves, merkle, notes, tiles
from ledger.proofs.errors import VerificationError
from ledger.proofs.growing import GrowingTree

CHUNK = 2000


def check(progress: Progress = silent) -> Iterator[Finding]:
    """Every disagreement of the log with itself, in the order of the log."""
    yield from _check_references()
    yield from _check_entries()
    yield from _check_leaves(progress)
    for shard in Log.objects.all():
        yield from _Rebuilt(shard, progress).check()
        yield from _check_memory(shard)
    yield from _check_logs()
    yield from _check_cosignatures(progress)
    yield from _check_disclosures(progress)


def adopt() -> Checkpoint | None:
    """Write the newest checkpoint to the file outside the database, after people have compared the log.

    Returns: the checkpoint, or None when there is none. The caller has run `check` and found nothing.
    """
    newest = Checkpoint.objects.latest_or_none()
    if newest is not None and log.last_signed(newest.log) is None:
        log.remember(newest.note, number=newest.log_id)
    return newest


def _check_references() -> Iterator[Finding]:
    """Every row points to rows that are there: one that does not would drop out of every join below."""
    for model in apps.get_app_config("ledger").get_models():
        for field in model._meta.concrete_fields:  # noqa: SLF001  Django documents it
            target = field.related_model
            if not isinstance(target, type):
                continue
            there = target._default_manager.filter(pk=OuterRef(field.attname))  # noqa: SLF001
            rows = model._default_manager.filter(~Exists(there), **{f"{field.attname}__isnull": False})  # noqa: SLF001
            for pk in rows.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=CHUNK):
                yield Finding("REFERENCE_DANGLING", table_of(model), f"{pk} {field.name}")


def _check_entries() -> Iterator[Finding]:
    """Every entry is either in the log or waiting, never neither and never both (an outer join)."""
    both_or_neither = Entry.objects.filter(
        Q(leaf__isnull=True, pending__isnull=True) | Q(leaf__isnull=False, pending__isnull=False)
    )
    for ref in both_or_neither.order_by("pk").values_list("ref", flat=True).iterator(chunk_size=CHUNK):
        yield Finding("ENTRY_NEITHER_LOGGED_NOR_WAITING", "ledger_entry", ref)
    for index in Leaf.objects.filter(entry__ref__isnull=True).order_by("index").values_list("index", flat=True):
        yield Finding("LEAF_WITHOUT_ENTRY", "ledger_leaf", str(index))


def _check_leaves(progress: Progress) -> Iterator[Finding]:
    """Indexes have no gap, bytes say what the entry says, hashes are those of the bytes, `prev` chains hold.

    The hash of the subject's leaf before comes from the database, which sorts on disk what would not fit here.
    """
    before = Window(
        Lag("leaf_hash"), partition_by=[F("entry__subject")], order_by=[F("log_id").asc(), F("index").asc()]
    )
    rows = Leaf.objects.select_related("entry").annotate(before=before).order_by("log_id", "index")
    shard, expected = 0, 0
    for leaf in counted(rows.iterator(chunk_size=CHUNK), "leaves", progress):
        if leaf.log_id != shard:
            shard, expected = leaf.log_id, 0
        if leaf.index != expected:
            yield Finding("LEAF_MISSING", "ledger_leaf", f"{shard}/{expected}")
        expected = leaf.index + 1
        place = f"{shard}/{leaf.index}"
        data, stored = bytes(leaf.data), bytes(leaf.leaf_hash)
        if merkle.leaf_hash(data) != stored:
            yield Finding("LEAF_HASH_DIFFERS", "ledger_leaf", place)
        if not _says(data, leaf.entry, getattr(leaf, "before", None)):
            yield Finding("LEAF_DIFFERS_FROM_ENTRY", "ledger_leaf", place)


def _says(data: bytes, entry: Entry, before: Any) -> bool:
    try:
        return log.leaf_of(entry, prev=None if before is None else bytes(before)).data == data
    except (VerificationError, ValueError):  # a changed column may hold what has no URN or no canonical form
        return False


class _Rebuilt:
    """One log grown again from its first leaf: its tiles, its head and every checkpoint are those of the leaves."""

    def __init__(self, shard: Log, progress: Progress) -> None:
        self._shard = shard
        self._vkeys = log_keys.vkeys_of(self._shard)
        self._progress = progress
        self._tree = GrowingTree()
        self._checkpoints = shard.checkpoints.order_by("size").iterator(chunk_size=CHUNK)
        self._next = next(self._checkpoints, None)

    def check(self) -> Iterator[Finding]:
        hashes = self._shard.leaves.order_by("index").values_list("leaf_hash", flat=True)
        what = f"tree of log {self._shard.number}"
        yield from self._check_checkpoints()
        for value in counted(hashes.iterator(chunk_size=CHUNK), what, self._progress):
            for place, data in self._tree.append(bytes(value)):
                yield from self._check_tile(place, data)
            yield from self._check_checkpoints()
        for place, data in self._tree.rest():
            yield from self._check_tile(place, data)
        yield from self._check_no_more_tiles()
        if self._shard.size != self._tree.size or self._shard.root != self._tree.root().hex():
            yield Finding("HEAD_DIFFERS", "ledger_log", str(self._shard.number))
        while self._next is not None:
            yield from self._check_checkpoint(self._next, root=None)
            self._next = next(self._checkpoints, None)

    def _check_tile(self, place: tiles.Place, data: bytes) -> Iterator[Finding]:
        level, index = place
        stored = self._shard.tiles.filter(level=level, index=index).values_list("data", flat=True).first()
        if stored is None or bytes(stored) != data:
            yield Finding("TILE_DIFFERS", "ledger_tile", f"{self._shard.number}/{level}/{index}")

    def _check_no_more_tiles(self) -> Iterator[Finding]:
        places = self._shard.tiles.order_by("level", "index").values_list("level", "index")
        for level, index in places.iterator(chunk_size=CHUNK):
            if not tiles.width(level=level, index=index, size=self._tree.size):
                yield Finding("TILE_DIFFERS", "ledger_tile", f"{self._shard.number}/{level}/{index}")

    def _check_checkpoints(self) -> Iterator[Finding]:
        while self._next is not None and self._next.size <= self._tree.size:
            root = self._tree.root().hex() if self._next.size == self._tree.size else None
            yield from self._check_checkpoint(self._next, root=root)
            self._next = next(self._checkpoints, None)

    def _check_checkpoint(self, checkpoint: Checkpoint, *, root: str | None) -> Iterator[Finding]:
        place = f"{self._shard.number}/{checkpoint.size}"
        try:
            note = checkpoints.verify(checkpoint.note.encode(), keys=self._vkeys, origin=self._shard.origin)
        except VerificationError as error:
            yield Finding(error.code, "ledger_checkpoint", place)
            return
        if note.size != checkpoint.size or note.root.hex() != checkpoint.root:
            yield Finding("CHECKPOINT_DIFFERS_FROM_NOTE", "ledger_checkpoint", place)
        if checkpoint.root != root:
            yield Finding("CHECKPOINT_DIFFERS_FROM_LEAVES", "ledger_checkpoint", place)


def _check_logs() -> Iterator[Finding]:
    """Each log stands under its key, its epoch is one that was, and nothing has stopped it."""
    epochs = {1, *ChainDeployment.objects.values_list("epoch", flat=True)}
    shards = list(Log.objects.all())
    for position, shard in enumerate(shards, start=1):
        ref = str(shard.number)
        if not _is_named(shard):
            yield Finding("LOG_KEY_DIFFERS", "ledger_log", ref)
        if shard.epoch not in epochs or shard.number != position or shard.is_frozen != (position < len(shards)):
            yield Finding("LOG_DIFFERS", "ledger_log", ref)
        if shard.is_frozen and not shard.checkpoints.filter(size=shard.size).exists():
            yield Finding("LOG_END_NOT_SIGNED", "ledger_log", ref)
        if shard.alarm:
            yield Finding("LOG_ALARM", "ledger_log", ref)


def _is_named(shard: Log) -> bool:
    try:
        return notes.parse_vkey(shard.vkey).name == shard.origin
    except VerificationError:
        return False


def _check_cosignatures(progress: Progress) -> Iterator[Finding]:
    """Every line holds under its witness's key for its own checkpoint, at the time that its row states."""
    rows = Cosignature.objects.select_related("checkpoint", "witness").order_by("checkpoint__log", "checkpoint__size")
    for row in counted(rows.iterator(chunk_size=CHUNK), "cosignatures", progress):
        place = f"{row.checkpoint.log_id}/{row.checkpoint.size} {row.witness.ref}"
        try:
            signed = notes.add_signatures(row.checkpoint.note, row.line.split("\n"))
            held = cosignatures.verify(signed, keys=[row.witness.vkey])
        except (VerificationError, ValueError):
            held = []
        if not held:
            yield Finding("COSIGNATURE_INVALID", "ledger_cosignature", place)
        elif datetime.fromtimestamp(held[0].at, tz=UTC) != row.at:
            yield Finding("COSIGNATURE_DIFFERS", "ledger_cosignature", place)


def _check_disclosures(progress: Progress) -> Iterator[Finding]:
    """Every commitment has its disclosure, opens to it, or was erased in the open."""
    for ref in Entry.objects.filter(disclosure__isnull=True).order_by("pk").values_list("ref", flat=True):
        yield Finding("DISCLOSURE_MISSING", "ledger_disclosure", ref)
    rows = Disclosure.objects.readable().annotate(commit=F("entry__commit"), ref=F("entry__ref")).order_by("pk")
    values = rows.values_list("payload", "salt", "commit", "ref").iterator(chunk_size=CHUNK)
    for payload, salt, commit, ref in counted(values, "disclosures", progress):
        try:
            data = bytes(payload or b"")
            canonical.parse_canonical(data)
            opens = leaves.commitment(data, salt=bytes(salt or b"")) == commit
        except VerificationError:
            opens = False
        if not opens:
            yield Finding("DISCLOSURE_DIFFERS", "ledger_disclosure", ref)


def _check_memory(shard: Log) -> Iterator[Finding]:
    """The checkpoint kept outside the database is one that this database can stand behind."""
    place = ("the file of the last signed checkpoint", f"of log {shard.number}")
    if keys.signed_checkpoint_file(shard.number + 1).exists() and not shard.is_frozen:
        yield Finding(LogBehindSignedCheckpoint.code, *place)
    newest = shard.checkpoints.order_by("-size").first()
    try:
        remembered = log.last_signed(shard)
    except LogBehindSignedCheckpoint as refusal:
        yield Finding(refusal.code, *place)
        return
    if remembered is None:
        if newest is not None:
            yield Finding("LOG_SIGNED_CHECKPOINT_MISSING", *place)
        return
    known = shard.checkpoints.filter(size=remembered.size).first()
    if shard.size < remembered.size or (known and known.root != remembered.root.hex()):
        yield Finding(LogBehindSignedCheckpoint.code, *place)
