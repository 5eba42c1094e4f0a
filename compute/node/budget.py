"""One privacy budget for each table, over all buyers, contracts and versions: spent before noise is drawn, for good.

A table is a dataset's name. What was spent in the last `days` days, plus the next answer, never passes the limit: one
statement decides inside the transaction that reserves the unit. A spending is never given back, whatever becomes of
the run, because the noise may be known by then. An identical query over the same version has been paid for: it gets
the same noise again (`noises`) and costs nothing, whoever asks.

Amounts are whole millionths of epsilon and whole trillionths of delta.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from compute.protocol import privacy, shapes
from compute.protocol.codes import Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS spendings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, dataset TEXT NOT NULL, commitment_hex TEXT NOT NULL, query TEXT NOT NULL,
    computation TEXT NOT NULL, contract TEXT NOT NULL, buyer TEXT NOT NULL, epsilon_micro INTEGER NOT NULL,
    delta_pico INTEGER NOT NULL, left_micro INTEGER NOT NULL, spent_at TEXT NOT NULL,
    UNIQUE (commitment_hex, query), CHECK (epsilon_micro > 0 AND delta_pico >= 0 AND left_micro >= 0)
) STRICT;
CREATE INDEX IF NOT EXISTS spendings_by_table ON spendings (dataset, spent_at);
CREATE TRIGGER IF NOT EXISTS spendings_no_update BEFORE UPDATE ON spendings
    BEGIN SELECT RAISE(ABORT, 'what is spent stays spent'); END;
CREATE TRIGGER IF NOT EXISTS spendings_no_delete BEFORE DELETE ON spendings
    BEGIN SELECT RAISE(ABORT, 'what is spent stays spent'); END;
CREATE TABLE IF NOT EXISTS noises (
    commitment_hex TEXT NOT NULL, query TEXT NOT NULL, sealed TEXT NOT NULL, PRIMARY KEY (commitment_hex, query)
) STRICT;
"""

# The guard: whether there is enough, and the taking of it, are one statement.
_SPEND = """
INSERT INTO spendings (dataset, commitment_hex, query, computation, contract, buyer, epsilon_micro, delta_pico,
                       left_micro, spent_at)
SELECT :dataset, :commitment, :query, :computation, :contract, :buyer, :epsilon, :delta,
       :limit_micro - spent.epsilon - :epsilon, :now
  FROM (SELECT coalesce(sum(epsilon_micro), 0) AS epsilon, coalesce(sum(delta_pico), 0) AS delta
          FROM spendings WHERE dataset = :dataset AND spent_at > :since) AS spent
 WHERE spent.epsilon + :epsilon <= :limit_micro AND spent.delta + :delta <= :limit_pico
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an owner allows to be spent: of one table in `days` days, and by one answer."""

    epsilon_micro: int = 1_000_000
    per_answer_micro: int = 100_000
    delta_pico: int = 1_000_000
    days: int = 365


@dataclass(frozen=True, slots=True)
class Spending:
    """What one answer of tier 2 takes from its table's budget."""

    dataset: str
    commitment: str
    query: str
    contract: str
    buyer: str
    epsilon_micro: int
    delta_pico: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Balance:
    """What is spent and left of a table's budget at one moment."""

    spent_micro: int
    left_micro: int
    spent_pico: int
    left_pico: int


def spending(
    parameters: Mapping[str, Any],
    *,
    dataset: str,
    commitment: str,
    contract: str,
    buyer: str,
    limits: Limits,
    among: Sequence[str] = (),
) -> Spending:
    """What a noised query will take; Refused `PARAMETERS_OUT_OF_TERMS` above what one answer may take.

    Args:
        among: as in `privacy.query_digest`.
    """
    epsilon, delta = privacy.cost(parameters["privacy"])
    if epsilon > limits.per_answer_micro or delta > limits.delta_pico:
        raise Refused("PARAMETERS_OUT_OF_TERMS")
    return Spending(
        dataset=dataset,
        commitment=commitment,
        query=privacy.query_digest(parameters, among=among),
        contract=contract,
        buyer=buyer,
        epsilon_micro=epsilon,
        delta_pico=delta,
        limits=limits,
    )


def spend(connection: sqlite3.Connection, wanted: Spending, *, computation: str, now: datetime) -> int:
    """Take an answer's epsilon inside the caller's transaction; returns what was taken, 0 for a repeated query.

    Raises:
        Refused: `QUOTA_EXHAUSTED`, the table's budget has less left.
    """
    if is_paid(connection, wanted):
        return 0
    taken = connection.execute(
        _SPEND,
        {
            "dataset": wanted.dataset,
            "commitment": wanted.commitment,
            "query": wanted.query,
            "computation": computation,
            "contract": wanted.contract,
            "buyer": wanted.buyer,
            "epsilon": wanted.epsilon_micro,
            "delta": wanted.delta_pico,
            "limit_micro": wanted.limits.epsilon_micro,
            "limit_pico": wanted.limits.delta_pico,
            "now": shapes.write_time(now),
            "since": _since(now, wanted.limits),
        },
    ).rowcount
    if taken != 1:
        raise Refused("QUOTA_EXHAUSTED")
    return wanted.epsilon_micro


def check(connection: sqlite3.Connection, wanted: Spending, *, now: datetime) -> int:
    """What `spend` would take, taking nothing; Refused as it."""
    if is_paid(connection, wanted):
        return 0
    found = balance(connection, dataset=wanted.dataset, limits=wanted.limits, now=now)
    if wanted.epsilon_micro > found.left_micro or wanted.delta_pico > found.left_pico:
        raise Refused("QUOTA_EXHAUSTED")
    return wanted.epsilon_micro


def is_paid(connection: sqlite3.Connection, wanted: Spending) -> bool:
    """Whether this very query over this version was answered, or paid for, before."""
    key = (wanted.commitment, wanted.query)
    found = connection.execute("SELECT 1 FROM spendings WHERE commitment_hex = ? AND query = ?", key).fetchone()
    return found is not None


def balance(connection: sqlite3.Connection, *, dataset: str, limits: Limits, now: datetime) -> Balance:
    """What the last `days` days have taken from a table's budget."""
    epsilon, delta = connection.execute(
        "SELECT coalesce(sum(epsilon_micro), 0), coalesce(sum(delta_pico), 0) FROM spendings"
        " WHERE dataset = ? AND spent_at > ?",
        (dataset, _since(now, limits)),
    ).fetchone()
    # An owner who lowers a limit below what is spent has nothing left, not less than nothing.
    return Balance(epsilon, max(0, limits.epsilon_micro - epsilon), delta, max(0, limits.delta_pico - delta))


def taken(connection: sqlite3.Connection, *, computation: str) -> int:
    """The millionths that one computation took; 0 where it repeated a query that was paid for."""
    row = connection.execute(
        "SELECT coalesce(sum(epsilon_micro), 0) FROM spendings WHERE computation = ?", (computation,)
    ).fetchone()
    return int(row[0])


def spendings(connection: sqlite3.Connection, *, dataset: str) -> list[dict[str, Any]]:
    """Every spending of a table, oldest first."""
    rows = connection.execute(
        "SELECT spent_at, buyer, contract, computation, epsilon_micro, delta_pico, commitment_hex FROM spendings"
        " WHERE dataset = ? ORDER BY id",
        (dataset,),
    )
    names = ("spent_at", "buyer", "contract", "computation", "epsilon_micro", "delta_pico", "commitment")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _since(now: datetime, limits: Limits) -> str:
    return shapes.write_time(now - timedelta(days=limits.days))
