"""Reads of the ledger's tables that more than one caller needs."""

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections, models

from ledger.proofs import tiles

if TYPE_CHECKING:
    from ledger import models as tables


_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_COPY_LEAF = struct.Struct(">hihiqiqi")  # five columns; log, index, entry, and how long the data are
_HASH_LENGTH = (32).to_bytes(4)


class Placed(NamedTuple):
    """An entry with its place in a log, about to be written."""

    place: int
    entry_id: int
    data: bytes
    leaf_hash: bytes


class EntryQuerySet(models.QuerySet["tables.Entry"]):
    """Entries, by what they are about."""

    def about(self, subject: str) -> "EntryQuerySet":
        """The entries of one subject, in log order; those not sequenced yet come last."""
        return self.filter(subject=subject).order_by(
            models.F("leaf__log_id").asc(nulls_last=True), models.F("leaf__index").asc(nulls_last=True), "pk"
        )

    def with_evidence(self) -> "EntryQuerySet":
        """Entries together with their leaf and disclosure, in one query."""
        return self.select_related("leaf", "disclosure")


class LogQuerySet(models.QuerySet["tables.Log"]):
    """The shards of the log."""

    def open(self) -> "LogQuerySet":
        """The one that grows; none before the first entry is sealed."""
        return self.filter(frozen_at__isnull=True)

    def current(self) -> "tables.Log | None":
        """The open log, or None before the first entry is sealed."""
        return self.open().first()


class LeafQuerySet(models.QuerySet["tables.Leaf"]):
    """Leaves of the log."""

    def add(self, log: "tables.Log", rows: Iterable[Placed]) -> None:
        """Insert leaves of one log by COPY in binary form: all triggers and constraints hold, no values are quoted.

        Source: PostgreSQL documentation, COPY, "Binary Format".
        """
        parts = [_COPY_HEAD]
        for row in rows:
            parts += (
                _COPY_LEAF.pack(5, 2, log.number, 8, row.place, 8, row.entry_id, len(row.data)),
                row.data,
                _HASH_LENGTH,
                row.leaf_hash,
            )
        parts.append(_COPY_END)
        into = "COPY ledger_leaf (log_id, index, entry_id, data, leaf_hash) FROM STDIN (FORMAT BINARY)"
        connection = connections[self.db]
        with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(into) as copy:
            copy.write(b"".join(parts))

    def last_of(self, subjects: set[str]) -> dict[str, bytes]:
        """The hash of each subject's newest leaf; subjects without one are absent."""
        rows = (
            self.filter(entry__subject__in=subjects)
            .order_by("entry__subject", "-log_id", "-index")
            .distinct("entry__subject")
            .values_list("entry__subject", "leaf_hash")
        )
        return {subject: bytes(leaf_hash) for subject, leaf_hash in rows}


class TileQuerySet(models.QuerySet["tables.Tile"]):
    """Tiles of the hash trees."""

    def reader(self, log: "tables.Log | int") -> "tiles.Reader":
        """What reads the hashes of one log's tiles; empty bytes where there is no tile yet."""
        number = log if isinstance(log, int) else log.number

        def read(level: int, index: int) -> bytes:
            found = self.filter(log_id=number, level=level, index=index).values_list("data", flat=True).first()
            return b"" if found is None else bytes(found)

        return read


class CheckpointQuerySet(models.QuerySet["tables.Checkpoint"]):
    """Signed checkpoints."""

    def latest_or_none(self) -> "tables.Checkpoint | None":
        """The newest checkpoint: of the newest log, over the most leaves."""
        return self.select_related("log").order_by("-log_id", "-size").first()


class DisclosureQuerySet(models.QuerySet["tables.Disclosure"]):
    """What the commitments open to."""

    def readable(self) -> "DisclosureQuerySet":
        """Those that have not been erased."""
        return self.filter(payload__isnull=False)
