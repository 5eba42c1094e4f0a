"""The journal: what this node decided and did, append-only and hash chained, without a row or an identifier."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from compute.node.errors import JournalBroken
from compute.protocol import shapes
from ledger.proofs import canonical

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    sequence INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


def append(connection: sqlite3.Connection, *, event: str, now: datetime, **details: Any) -> None:
    """Add one line inside the caller's transaction.

    Args:
        event: a dotted word such as `job.admitted`.
        details: references, codes, counts and digests only.
    """
    last = connection.execute("SELECT sequence, digest FROM journal ORDER BY sequence DESC LIMIT 1").fetchone()
    sequence, previous = (last[0] + 1, last[1]) if last else (1, None)
    line = {
        "sequence": sequence,
        "previous": previous,
        "at": shapes.write_time(now),
        "event": event,
        "details": details,
    }
    connection.execute(
        "INSERT INTO journal (sequence, line, digest) VALUES (?, ?, ?)",
        (sequence, canonical.encode(line).decode(), canonical.digest(line)),
    )


def read(connection: sqlite3.Connection, *, limit: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Lines in order; with `limit` the last ones."""
    query = "SELECT line FROM (SELECT * FROM journal ORDER BY sequence DESC LIMIT ?) ORDER BY sequence"
    for (line,) in connection.execute(query, (-1 if limit is None else limit,)):
        yield json.loads(line)


def verify(connection: sqlite3.Connection) -> int:
    """Check the whole chain; returns how many lines it has.

    Raises:
        JournalBroken: naming the first line that does not follow.
    """
    previous, count = None, 0
    for sequence, text, digest in connection.execute("SELECT sequence, line, digest FROM journal ORDER BY sequence"):
        count += 1
        line = json.loads(text)
        if (
            sequence != count
            or line["sequence"] != sequence
            or line["previous"] != previous
            or canonical.digest(line) != digest
        ):
            raise JournalBroken(
                f"Line {count} of the journal was changed, or one before it is missing; keep a copy and investigate.",
                zh=f"日志第 {count} 行被改动，或之前缺少一行；请保留副本并调查。",
            )
        previous = digest
    return count
