"""What a witness knows, in SQLite: WAL mode and synchronous=FULL, so what it cosigned survives a power cut.

One row for each log, changed only inside `transaction`: no request can put a log back. Evidence against a
log is never changed or deleted; a suspicion is dropped when the proof that was owed has come.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.witness.rules import Held, Kind

MAX_UNPROVEN = 100  # of one log: anybody can add a wrong proof to a right checkpoint
MAX_PROVEN = 100  # of one log: two notes convict it as well as a thousand

_SCHEMA = """
CREATE TABLE IF NOT EXISTS logs (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL CHECK (size >= 0), root BLOB NOT NULL CHECK (length(root) = 32),
    note TEXT NOT NULL, cosigned_at INTEGER NOT NULL CHECK (cosigned_at > 0)
) STRICT;
CREATE TRIGGER IF NOT EXISTS logs_only_grow BEFORE UPDATE ON logs
    WHEN NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) OR NEW.cosigned_at < OLD.cosigned_at
    BEGIN SELECT RAISE(ABORT, 'a log only grows'); END;
CREATE TRIGGER IF NOT EXISTS logs_stay BEFORE DELETE ON logs
    BEGIN SELECT RAISE(ABORT, 'a log is never forgotten'); END;
CREATE TABLE IF NOT EXISTS conflicts (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL, kind TEXT NOT NULL, held_size INTEGER NOT NULL,
    held_note TEXT NOT NULL, shown_size INTEGER NOT NULL, shown_root BLOB NOT NULL, shown_note TEXT NOT NULL,
    proof TEXT NOT NULL, seen_at INTEGER NOT NULL,
    UNIQUE (origin, kind, held_size, shown_size, shown_root)
) STRICT;
CREATE TRIGGER IF NOT EXISTS conflicts_stay BEFORE UPDATE ON conflicts
    BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER IF NOT EXISTS conflicts_kept BEFORE DELETE ON conflicts WHEN OLD.kind <> 'unproven'
    BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A checkpoint, signed by its log, that does not fit the one the witness held.

    Args:
        held_note: the checkpoint held; empty where the shown one convicts the log alone.
        proof: the proof lines that came with it, as sent, one a line.
        seen_at: POSIX time in seconds by the witness's clock.
    """

    origin: str
    kind: Kind
    held_size: int
    held_note: str
    shown_size: int
    shown_root: bytes
    shown_note: str
    proof: str
    seen_at: int

    def document(self) -> dict[str, Any]:
        """The evidence as JSON: whoever has the log's key can judge it."""
        return {
            "origin": self.origin,
            "kind": self.kind.value,
            "held_note": self.held_note,
            "shown_note": self.shown_note,
            "proof": self.proof,
            "seen_at": self.seen_at,
        }


class State:
    """The witness's database; threads share one connection, processes are kept apart by SQLite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)
        path.chmod(0o600)

    def close(self) -> None:
        """Close the database once running transactions are through."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One change at a time, in this process and in others; on the disk when it ends."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # Also when COMMIT itself fails, on a full disk: nothing was promised yet, nothing stays open.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def held(self, origin: str) -> Held:
        """The last checkpoint cosigned for a log."""
        with self._lock:
            row = self._connection.execute(
                "SELECT size, root, note, cosigned_at FROM logs WHERE origin = ?", (origin,)
            ).fetchone()
        return Held() if row is None else Held(*row)

    def origins(self) -> list[str]:
        """Every log of which something was cosigned."""
        with self._lock:
            return [row[0] for row in self._connection.execute("SELECT origin FROM logs ORDER BY origin")]

    def hold(self, origin: str, held: Held) -> None:
        """Put a checkpoint in place of the one held, inside a transaction; suspicions it answers go."""
        self._connection.execute(
            "INSERT INTO logs VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET size = excluded.size,"
            " root = excluded.root, note = excluded.note, cosigned_at = excluded.cosigned_at",
            (origin, held.size, held.root, held.note, held.at),
        )
        self._connection.execute(
            "DELETE FROM conflicts WHERE kind = 'unproven' AND origin = ? AND shown_size = ? AND shown_root = ?",
            (origin, held.size, held.root),
        )

    def keep(self, conflict: Conflict) -> bool:
        """Keep evidence, inside a transaction; False when it is known already or there is enough of it."""
        bound = MAX_UNPROVEN if conflict.kind is Kind.UNPROVEN else MAX_PROVEN
        made = self._connection.execute(
            "INSERT INTO conflicts (origin, kind, held_size, held_note, shown_size, shown_root, shown_note, proof,"
            " seen_at) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"
            " WHERE (SELECT count(*) FROM conflicts WHERE origin = ? AND (kind = 'unproven') = ?) < ?"
            " ON CONFLICT DO NOTHING",
            (
                conflict.origin,
                conflict.kind.value,
                conflict.held_size,
                conflict.held_note,
                conflict.shown_size,
                conflict.shown_root,
                conflict.shown_note,
                conflict.proof,
                conflict.seen_at,
                conflict.origin,
                conflict.kind is Kind.UNPROVEN,
                bound,
            ),
        )
        return made.rowcount == 1

    def count_conflicts(self, origin: str) -> tuple[int, int]:
        """How much evidence there is against a log: what convicts it, and what is only unproven."""
        with self._lock:
            found = self._connection.execute(
                "SELECT count(*) FILTER (WHERE kind <> 'unproven'), count(*) FILTER (WHERE kind = 'unproven')"
                " FROM conflicts WHERE origin = ?",
                (origin,),
            ).fetchone()
        return int(found[0]), int(found[1])

    def conflicts(self, origin: str | None = None) -> list[Conflict]:
        """Evidence kept, oldest first; of all logs, or of one."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT origin, kind, held_size, held_note, shown_size, shown_root, shown_note, proof, seen_at"
                " FROM conflicts WHERE origin = ? OR ? ORDER BY id",
                (origin, origin is None),
            ).fetchall()
        return [Conflict(row[0], Kind(row[1]), *row[2:]) for row in rows]
