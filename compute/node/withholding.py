"""Which blocks of a column no exact answer may tell, decided once for each version, before its first answer.

Three reasons besides fewer than k persons: all have the same value, one person dominates the sum (the owner's rule in
schema.toml), or another version that was answered first differs by 1 to k - 1 persons. A version's place among the
answered ones is taken in the transaction that reserves its first unit, so that of two versions asked for at the same
moment one is the earlier. A run that came to nothing keeps its place: to withhold too much is safe.

The rows are read by a process of its own (`compute/engines/privacy/withhold.py`); the run's engine gets block numbers.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.engines import gate
from compute.protocol.codes import Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS answered_first (
    place INTEGER PRIMARY KEY AUTOINCREMENT, dataset TEXT NOT NULL, commitment_hex TEXT NOT NULL,
    column_name TEXT NOT NULL, withheld TEXT, UNIQUE (commitment_hex, column_name)
) STRICT;
"""
DECIDE_SECONDS = 600
_LOOK_SECONDS = 0.2


def claim(connection: sqlite3.Connection, columns: Sequence[tuple[str, str]]) -> None:
    """Give each (commitment, column) its place among the answered versions of its table; asking again changes none."""
    connection.executemany(
        "INSERT OR IGNORE INTO answered_first (dataset, commitment_hex, column_name)"
        " SELECT name, commitment_hex, ? FROM datasets WHERE commitment_hex = ?",
        [(column, commitment) for commitment, column in columns],
    )


def prepare(
    description: Mapping[str, Any],
    *,
    columns: Sequence[str],
    connection: sqlite3.Connection,
    root: Path,
    min_group: int,
    into: Path,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, list[int]]:
    """Write what is withheld of these columns into a run's directory; decided now if it never was.

    Args:
        description: of the version, with its directory below `root`; min_group: the node's own k.
        wait: called several times a second while the rows are read; may raise to stop.
    Raises:
        Refused: `ENGINE_FAILED` it could not be decided; nothing is then computed.
    """
    found = {}
    for column in columns:
        by_reason = decided(connection, commitment=description["commitment"], column=column)
        if by_reason is None:
            by_reason = foresee(description, column, connection=connection, root=root, min_group=min_group, wait=wait)
            connection.execute(
                "UPDATE answered_first SET withheld = ?"
                " WHERE commitment_hex = ? AND column_name = ? AND withheld IS NULL",
                (json.dumps(by_reason), description["commitment"], column),
            )
        found[column] = sorted({block for blocks in by_reason.values() for block in blocks})
    descriptor = os.open(into / gate.WITHHELD_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(found, file)
    return found


def decided(connection: sqlite3.Connection, *, commitment: str, column: str) -> dict[str, list[int]] | None:
    """Block numbers by reason, once they are decided."""
    row = connection.execute(
        "SELECT withheld FROM answered_first WHERE commitment_hex = ? AND column_name = ?", (commitment, column)
    ).fetchone()
    return json.loads(row[0]) if row is not None and row[0] is not None else None


def foresee(
    description: Mapping[str, Any],
    column: str,
    *,
    connection: sqlite3.Connection,
    root: Path,
    min_group: int,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, list[int]]:
    """What would be decided now, block numbers by reason; reads the rows, keeps nothing.

    Raises:
        Refused: `ENGINE_FAILED` it could not be decided.
    """
    commitment = str(description["commitment"])
    earlier = connection.execute(
        "SELECT datasets.directory FROM answered_first JOIN datasets USING (commitment_hex)"
        " WHERE dataset = ? AND column_name = ? AND commitment_hex <> ? AND place < coalesce("
        "(SELECT place FROM answered_first WHERE commitment_hex = ? AND column_name = ?), 9e15) ORDER BY place",
        (description["name"], column, commitment, commitment, column),
    ).fetchall()
    question = {
        "directory": str(root / str(description["directory"])),
        "column": column,
        "rule": description.get("dominance", {}),
        "earlier": [str(root / row[0]) for row in earlier],
        "k": max(min_group, int(description["min_group"])),
    }
    return _ask(question, wait=wait)


def _ask(question: Mapping[str, Any], *, wait: Callable[[], None]) -> dict[str, list[int]]:
    """Have it decided in a process of its own; the process ends with us, whatever `wait` raises."""
    until = time.monotonic() + DECIDE_SECONDS
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "compute.engines.privacy.withhold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            text: bytes | None = json.dumps(question).encode()
            while True:
                try:
                    out, _ = process.communicate(text, timeout=_LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    text = None
                    wait()
                    if time.monotonic() > until:
                        raise Refused("ENGINE_FAILED") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise Refused("ENGINE_FAILED")
    found: dict[str, list[int]] = json.loads(out)
    return found
