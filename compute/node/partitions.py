"""Each value column is answered over one partition of its persons, remembered in the node's own store.

Answers over one partition are unions of its blocks, so no combination of them isolates fewer than k persons.
Answers over two partitions are not: the wages of a city over its own blocks, less the wages over those whom another
office's blocks match, are the wages of the few who did not match. So the first partition over which a version's
column is answered is the only one.

The number of persons whom two tables have in common is told exactly of one version of each: another version with one
person more would give that person away, and whoever owns the other table can make such versions at will. Further
versions are asked with noise.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.node import withholding
from compute.protocol import operations
from compute.protocol.codes import Refused


@dataclass(frozen=True, slots=True)
class Use:
    """One column whose exact values an answer adds up, and the partition of persons it adds them up over."""

    commitment: str  # or, of a rule that goes beyond one version, the table
    column: str
    partition: str


OWN_BLOCKS = "own blocks"
# How an operation counts the persons whom two tables have in common. By blocks, small ones are left out; less those,
# the whole match would speak of the few in them. So the count, too, is told over one partition.
COUNTED_OVER = {
    operations.ALIGNED_STATISTICS: "blocks",
    operations.JOINED_STATISTICS: "blocks",
    operations.TWO_PARTY_STATISTICS: "blocks",
    operations.MATCHED_SUM: "the whole",
    operations.MATCHING: "the whole",
}
_COUNT = "persons in common with"


def uses(request: Mapping[str, Any], *, parties: Sequence[Mapping[str, Any]], organization: str) -> list[Use]:
    """Which of an organisation's columns a request adds up, over which blocks.

    Joint statistics use the owner's own blocks; aligned statistics those of the group owner's version, restricted to
    the match. The group owner of an aligned run adds up none of its own values; of both owners it counts persons.
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
    counted = _counted(request, own=own, parties=parties)
    if "value_provider" in parameters:
        if parameters["value_provider"] != organization:
            return counted
        if "group_provider" in parameters:
            grouping = next(party for party in parties if party["organization"] == parameters["group_provider"])
            partition = f"matched with {grouping['organization']} {grouping['dataset_commitment']}"
    return [Use(own["dataset_commitment"], column, partition) for column in parameters.get("values", [])] + counted


def _counted(request: Mapping[str, Any], *, own: Mapping[str, Any], parties: Sequence[Mapping[str, Any]]) -> list[Use]:
    """The count of the persons in common, as if it were a column; its name is none that a table can have."""
    over = COUNTED_OVER.get(request.get("operation", ""))
    if over is None or request["parameters"].get("form") == "list":  # a contract lists persons: no count says more
        return []
    others = [item for item in parties if item is not own and item["dataset_commitment"]]
    named = [f"{item['organization']} {item['dataset_commitment']}" for item in others]
    found = [Use(own["dataset_commitment"], f"({_COUNT} {', '.join(named)})", over)]
    if request["operation"] == operations.MATCHING:
        tables = [f"{item['organization']} {item['dataset']}" for item in others]
        pair = ", ".join([own["dataset_commitment"], *(item["dataset_commitment"] for item in others)])
        found.append(Use(f"table {own['dataset']}", f"({_COUNT} {', '.join(tables)})", pair))
    return found


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
    withholding.claim(connection, [(use.commitment, use.column) for use in uses if use.partition == OWN_BLOCKS])
