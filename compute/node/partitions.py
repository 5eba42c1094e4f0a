"""Each value column is answered over one partition of its persons, remembered in the node's own store.

Answers over one partition are unions of its blocks, so no combination of them isolates fewer than k persons.
Answers over two partitions are not: the wages of a city over its own blocks, less the wages over those whom another
office's blocks match, are the wages of the few who did not match. So the first partition over which a version's
column is answered is the only one.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.protocol import operations
from compute.protocol.codes import Refused


@dataclass(frozen=True, slots=True)
class Use:
    """One column whose exact values an answer adds up, and the partition of persons it adds them up over."""

    commitment: str
    column: str
    partition: str


OWN_BLOCKS = "own blocks"


def uses(request: Mapping[str, Any], *, parties: Sequence[Mapping[str, Any]], organization: str) -> list[Use]:
    """Which of an organisation's columns a request adds up, over which blocks.

    Joint statistics use the owner's own blocks; aligned statistics those of the group owner's version, restricted to
    the match. The group owner of an aligned run adds up none of its own values.
    """
    parameters = request["parameters"]
    if "privacy" in parameters:
        return []  # noised numbers are no totals of blocks, and what was reviewed is shown in the table's history
    own = next(party for party in parties if party["organization"] == organization)
    if own.get("role") == "requester":
        return []  # its own table, its own answer
    partition = OWN_BLOCKS
    if request.get("operation", operations.JOINT_STATISTICS) != operations.JOINT_STATISTICS:
        # Whatever else adds values up does so over persons that the other parties' tables select.
        others = [f"{item['organization']} {item['dataset_commitment']}" for item in parties if item is not own]
        partition = f"{request['operation']} with {', '.join(others)}"
    if "value_provider" in parameters:
        if parameters["value_provider"] != organization:
            return []
        grouping = next(party for party in parties if party["organization"] == parameters["group_provider"])
        partition = f"matched with {grouping['organization']} {grouping['dataset_commitment']}"
    return [Use(own["dataset_commitment"], column, partition) for column in parameters.get("values", [])]


def check(connection: sqlite3.Connection, uses: Sequence[Use]) -> None:
    """Raise Refused `PARTITION_DIFFERS` where a column was answered over another partition before.

    Runs that came to nothing do not count: nothing of theirs left the node.
    """
    for use in uses:
        if connection.execute(
            "SELECT 1 FROM answered JOIN jobs USING (computation) WHERE commitment_hex = ? AND column_name = ?"
            " AND partition <> ? AND state <> 'void' LIMIT 1",
            (use.commitment, use.column, use.partition),
        ).fetchone():
            raise Refused("PARTITION_DIFFERS")


def keep(connection: sqlite3.Connection, uses: Sequence[Use], *, computation: str) -> None:
    """Remember what a computation that is now admitted adds up."""
    connection.executemany(
        "INSERT INTO answered VALUES (?, ?, ?, ?)",
        [(computation, use.commitment, use.column, use.partition) for use in uses],
    )
