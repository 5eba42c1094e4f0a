"""What was compared in a month, kept at the answering node without knowing about whom: one value for each row and
field.

The node sees a blinded person and a blinded value. Both stay the same for a month (their blinds do), so a second
comparison of the same person and field is seen, and whether it brings another value. Kept are only keyed values of
both under a secret of this node. The same value again is no new guess and goes through: a run that was cut off may
be repeated.

With one person, blinded 4, and her wage, blinded 9: (4, wage) -> 9 is kept. Tomorrow (4, wage) -> 9 passes, and
(4, wage) -> 11 is refused, with everything else of that run. Next month she is another number, and the slate is clean.
"""

import contextlib
import hmac
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from compute.engines.errors import EngineRefused

_SIZE = 16
_SCHEMA = """
CREATE TABLE IF NOT EXISTS guesses (
    period TEXT NOT NULL, place BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (period, place)
) STRICT, WITHOUT ROWID;
"""


def spend(
    path: Path, *, secret: bytes, period: str, asker: str, fields: Sequence[str], rows: Iterable[Sequence[bytes]]
) -> None:
    """Keep what one run compares, all or nothing, on disk before it returns; other months are forgotten.

    Args:
        asker: who compares; each has its own slate, because each has its own blinds.
        fields: the answering side's columns; rows: the blinded person, then a blinded value for each field.

    Raises:
        EngineRefused: GUESS_REPEATED when a person comes twice, or a person's field with another value than before.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as store:
        store.execute("PRAGMA synchronous = FULL")
        store.execute(_SCHEMA)
        store.execute("BEGIN IMMEDIATE")
        try:
            store.execute("DELETE FROM guesses WHERE period <> ?", (period,))
            _keep(store, secret=secret, period=period, asker=asker, fields=fields, rows=rows)
        except BaseException:
            store.execute("ROLLBACK")
            raise
        store.execute("COMMIT")


def _keep(
    store: sqlite3.Connection,
    *,
    secret: bytes,
    period: str,
    asker: str,
    fields: Sequence[str],
    rows: Iterable[Sequence[bytes]],
) -> None:
    seen: set[bytes] = set()
    for person, *values in rows:
        if person in seen:
            raise _repeated()
        seen.add(person)
        for field, value in zip(fields, values, strict=True):
            place = _keyed(secret, b"place", asker.encode(), field.encode(), person)
            mark = _keyed(secret, b"value", place, value)
            store.execute("INSERT OR IGNORE INTO guesses VALUES (?, ?, ?)", (period, place, mark))
            found = store.execute(
                "SELECT value FROM guesses WHERE period = ? AND place = ?", (period, place)
            ).fetchone()
            if found[0] != mark:
                raise _repeated()


def _keyed(secret: bytes, *parts: bytes) -> bytes:
    data = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(secret, data, "sha256")[:_SIZE]


def _repeated() -> EngineRefused:
    return EngineRefused(
        "GUESS_REPEATED", "A person's field was compared with another value this month; it is compared once."
    )
