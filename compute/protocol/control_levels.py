"""Column control levels: what an owner lets a recipient see of a column, and what a program makes of it.

An owner gives each column one level for each recipient. A program is a list of uses: a column is grouped by, added
up, compared, joined on. A level names the one use after which the column may be shown; every other use leaves it as it
was. What reaches a recipient must be `PLAINTEXT` when the program ends, or stay inside (`ENCRYPTED_ONLY`, not shown).

    wages     plaintext_after_aggregate, used as  aggregate            -> plaintext: a sum may be shown
    wages     plaintext_after_aggregate, used as  group_key            -> as before: refused, wages would be labels
    district  plaintext_after_group_by,  used as  group_key            -> plaintext
    id        encrypted_only,            used as  join_key             -> encrypted_only: matched on, never shown
    a + b     several columns, or several owners of one column         -> the strictest of them

`UNKNOWN` is what nobody has decided: refused whatever the program does.

Source: the column control levels of SCQL 0.9 (SecretFlow), which its version 2.0 no longer has. Other than there, a
filter counts as a use: who asks for `wage >= 5000` learns about wages through the sums of those who are left.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """From open to sealed; between two that allow different things, `strictest` takes ENCRYPTED_ONLY."""

    PLAINTEXT = "plaintext"
    PLAINTEXT_AFTER_JOIN = "plaintext_after_join"
    PLAINTEXT_AFTER_COMPARE = "plaintext_after_compare"
    PLAINTEXT_AFTER_GROUP_BY = "plaintext_after_group_by"
    PLAINTEXT_AFTER_AGGREGATE = "plaintext_after_aggregate"
    ENCRYPTED_ONLY = "encrypted_only"
    UNKNOWN = "unknown"


class Use(StrEnum):
    """One thing that a program does with a column."""

    JOIN_KEY = "join_key"
    COMPARE = "compare"
    GROUP_KEY = "group_key"
    AGGREGATE = "aggregate"
    COMPUTE = "compute"  # arithmetic among shares; frees nothing


_FREES: Mapping[Use, frozenset[Level]] = {
    Use.JOIN_KEY: frozenset({Level.PLAINTEXT_AFTER_JOIN}),
    Use.COMPARE: frozenset({Level.PLAINTEXT_AFTER_COMPARE}),
    # Whoever may see the categories with their groups may see groups of them added up, and the other way round not.
    Use.GROUP_KEY: frozenset({Level.PLAINTEXT_AFTER_GROUP_BY}),
    Use.AGGREGATE: frozenset(
        {Level.PLAINTEXT_AFTER_AGGREGATE, Level.PLAINTEXT_AFTER_GROUP_BY, Level.PLAINTEXT_AFTER_COMPARE}
    ),
    Use.COMPUTE: frozenset(),
}
# What a column that an engine names by its outcome went through; see Engine.derive.
_USES_OF: Mapping[Level, tuple[Use, ...]] = {
    Level.PLAINTEXT_AFTER_JOIN: (Use.JOIN_KEY,),
    Level.PLAINTEXT_AFTER_COMPARE: (Use.COMPARE,),
    Level.PLAINTEXT_AFTER_GROUP_BY: (Use.GROUP_KEY,),
    Level.PLAINTEXT_AFTER_AGGREGATE: (Use.AGGREGATE,),
}


def after(level: Level, use: Use) -> Level:
    """The level of a column after one use."""
    return Level.PLAINTEXT if level in _FREES[use] else level


def derive(level: Level, uses: Iterable[Use]) -> Level:
    """The level of a column after a whole program."""
    for use in uses:
        level = after(level, use)
    return level


def strictest(levels: Iterable[Level]) -> Level:
    """The level of what is made of several columns, or of one column of several owners."""
    found = set(levels)
    if Level.UNKNOWN in found:
        return Level.UNKNOWN
    found.discard(Level.PLAINTEXT)
    if not found:
        return Level.PLAINTEXT
    return found.pop() if len(found) == 1 else Level.ENCRYPTED_ONLY


def output(sources: Mapping[str, Level], uses: Mapping[str, Sequence[Use]]) -> Level:
    """The level of one output column: every source through its own uses, then the strictest of all.

    Args:
        sources: the level of each source column; uses: what the program does with it.
    """
    return strictest(derive(sources.get(name, Level.UNKNOWN), found) for name, found in uses.items())


def permits(declared: Level, outcome: Level) -> bool:
    """Whether an owner's level allows what an engine says a column has become where it reaches the recipient.

    Args:
        outcome: `PLAINTEXT_AFTER_GROUP_BY` for "shown as a group's label", and so on; `ENCRYPTED_ONLY` for "not
            shown"; `PLAINTEXT` for "shown as it is".
    """
    if Level.UNKNOWN in (declared, outcome):
        return False
    if outcome == Level.ENCRYPTED_ONLY or declared == Level.PLAINTEXT:
        return True
    return derive(declared, _USES_OF.get(outcome, ())) == Level.PLAINTEXT


def declared(column: Mapping[str, Any], *, recipient: str, is_id: bool = False) -> Level:
    """The level that an owner gives a recipient for a column of its schema.

    Args:
        column: as schema.json describes it; `level` is absent, a word, or a word for each recipient and `default`.
    """
    found = column.get("level", {})
    word = found if isinstance(found, str) else found.get(recipient, found.get("default", ""))
    if word:
        return Level(word)
    if is_id or column["type"] == "text":
        return Level.ENCRYPTED_ONLY
    if column["type"] == "category" or "bands" in column:  # who declares bands lets persons be counted by them
        return Level.PLAINTEXT_AFTER_GROUP_BY
    return Level.PLAINTEXT_AFTER_AGGREGATE


def refused(description: Mapping[str, Any], outcomes: Mapping[str, str], *, recipient: str) -> dict[str, Level]:
    """The columns of one table that a program would show beyond their owner's level, with that level."""
    columns = {item["name"]: item for item in description["columns"]}
    found: dict[str, Level] = {}
    for name, outcome in outcomes.items():
        level = (
            declared(columns[name], recipient=recipient, is_id=name == description["id"])
            if name in columns
            else Level.UNKNOWN
        )
        if not permits(level, Level(outcome)):
            found[name] = level
    return found
