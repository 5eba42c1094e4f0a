"""What the headless demo checks after its story: from outside, over the database's own protocol and plain files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from exchange.runner import canary


@dataclass(frozen=True, slots=True)
class Books:
    """The money as the database's own tables tell it.

    Args:
        postings_sum: Σ of every posting in fen; anything but 0 is a broken promise.
        unbalanced_transfers: transfers whose own postings do not sum to zero.
        charges_per_result: charges for each released computation; 1 when every one has exactly one.
    """

    postings_sum: int
    unbalanced_transfers: int
    charges_per_result: int
    receipts_logged: int


def books(database_url: str) -> Books:
    """Read the books with SQL of our own, sharing no code with the exchange."""
    with psycopg.connect(_plain(database_url)) as connection:
        total = _number(connection, "SELECT COALESCE(SUM(amount_fen), 0) FROM contracts_posting")
        unbalanced = _number(
            connection,
            "SELECT COUNT(*) FROM (SELECT transfer_id FROM contracts_posting"
            " GROUP BY transfer_id HAVING SUM(amount_fen) <> 0) AS broken",
        )
        per_result = connection.execute(
            "SELECT DISTINCT"
            " (SELECT COUNT(*) FROM contracts_transfer t WHERE t.kind = 'charge' AND t.subject = u.subject)"
            " FROM contracts_usagerecord u"
        ).fetchall()
        charges = per_result[0][0] if len(per_result) == 1 else -1
        logged = _number(connection, "SELECT COUNT(*) FROM ledger_entry WHERE kind = 'settlement.charged'")
    return Books(total, unbalanced, charges, logged)


def canary_hits(
    values: Sequence[str], *, run_directory: Path, members: Path, extra: Sequence[Path] = ()
) -> list[canary.Hit]:
    """Look for planted values in everything of the exchange: database with WAL, broker, chain, logs, media.

    The members' own machines (their directories) are left out: that is where the values belong.
    """
    return canary.sweep(values, roots=[run_directory, *extra], leave_out=[members])


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _plain(database_url: str) -> str:
    return database_url.replace("postgres://", "postgresql://", 1)
