"""The apps' tables against the log, by outer join: nothing single-sided.

Both sides come from the database in the order of one text and are merged here, so that memory does not grow
with the tables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any, TypeVar

from django.db.models import F

from ledger.audits.counterparts import (
    SUBJECT,
    Counterpart,
    Owed,
    Standing,
    Stands,
    declared,
    in_order,
)
from ledger.audits.findings import Finding, Progress, counted, silent
from ledger.models import Entry
from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

L = TypeVar("L")
R = TypeVar("R")

_MAX_PAYLOAD_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry as it is compared; `facts` are None where its payload is erased or cannot be read."""

    token: str
    subject: str
    ref: str
    kind: str
    facts: Mapping[str, Any] | None


def check(progress: Progress = silent) -> Iterator[Finding]:
    """Every row that owes an entry, every entry that has no row, and every state the log does not lead to."""
    for item in declared():
        if isinstance(item, Counterpart):
            yield from check_counterpart(item, progress)
        elif isinstance(item, Standing):
            yield from check_standing(item, progress)


def check_counterpart(item: Counterpart, progress: Progress = silent) -> Iterator[Finding]:
    """One counterpart, in both directions."""
    logged = counted(_entries(item.kinds, by=item.by), f"entries of {item.table}", progress)
    owed = counted(item.rows(), f"rows of {item.table}", progress)
    for rows, entries in _merge(owed, logged, left=lambda row: row.token, right=lambda entry: entry.token):
        yield from _match(item, rows, entries)


def check_standing(item: Standing, progress: Progress = silent) -> Iterator[Finding]:
    """One kind of thing: its entries are a way through its table that ends where its row stands."""
    logged = counted(_entries(item.kinds, by=SUBJECT), f"entries of {item.name}", progress)
    rows = counted(item.rows(), f"rows of {item.table}", progress)
    for things, entries in _merge(rows, logged, left=lambda row: row.subject, right=lambda entry: entry.subject):
        yield from _follow(item, things, entries)


def _entries(kinds: Sequence[str], *, by: str) -> Iterator[Logged]:
    found = Entry.objects.filter(kind__in=kinds).annotate(
        payload=F("disclosure__payload"), disclosed=F("disclosure__entry")
    )
    for entry in in_order(found, F(by)):
        yield Logged(
            # An entry without a key stands for nothing that has one.
            token=entry.token or "",
            subject=entry.subject,
            ref=entry.ref,
            kind=entry.kind,
            facts={} if entry.disclosed is None else _facts(entry.payload),
        )


def _facts(payload: Any) -> Mapping[str, Any] | None:
    """A payload's members; one that cannot be read is another check's finding."""
    if payload is None:
        return None
    try:
        value = canonical.parse(bytes(payload), max_bytes=_MAX_PAYLOAD_BYTES)
    except VerificationError:
        return None
    return value if isinstance(value, dict) else None


def _match(item: Counterpart, rows: list[Owed], entries: list[Logged]) -> Iterator[Finding]:
    """Pair what agrees, then name what is left: two that differ, a row alone, or an entry alone."""
    left = list(entries)
    unpaired = []
    for row in sorted(rows, key=lambda one: one.optional):
        fitting = next((entry for entry in left if _agree(item, row, entry)), None)
        if fitting is not None:
            left.remove(fitting)
        elif not row.optional:
            unpaired.append(row)
    for row, entry in zip_longest(unpaired, left):
        if entry is None:
            yield Finding("ROW_WITHOUT_ENTRY", item.table, row.ref)
        elif row is None:
            yield Finding("ENTRY_WITHOUT_ROW", "ledger_entry", entry.ref)
        else:
            yield Finding("ROW_DIFFERS_FROM_ENTRY", item.table, row.ref)


def _agree(item: Counterpart, row: Owed, entry: Logged) -> bool:
    kind = item.kinds[0] if row.kind is None else row.kind
    return (kind, row.subject) == (entry.kind, entry.subject) and _holds(row.facts, entry.facts)


def _holds(wanted: Mapping[str, Any], facts: Mapping[str, Any] | None) -> bool:
    return facts is None or all(name in facts and facts[name] == value for name, value in wanted.items())


def _follow(item: Standing, things: list[Stands], entries: list[Logged]) -> Iterator[Finding]:
    last: str | None = None
    for entry in entries:
        state = str(item.states[next(kind for kind in item.states if kind == entry.kind)])
        repeated = state == last and entry.kind in item.repeats
        if not (repeated or item.leads(last, state)):
            yield Finding("ENTRY_OUT_OF_TURN", "ledger_entry", entry.ref)
        last = state
    if not things:
        yield Finding("ENTRY_WITHOUT_ROW", "ledger_entry", entries[-1].ref)
    for thing in things:
        if not item.rests(last, thing.state):
            yield Finding("STATE_DIFFERS_FROM_LOG", item.table, thing.ref)
        elif entries and not _holds(thing.facts, entries[-1].facts):
            yield Finding("ROW_DIFFERS_FROM_ENTRY", item.table, thing.ref)


def _merge(
    lefts: Iterable[L], rights: Iterable[R], *, left: Callable[[L], str], right: Callable[[R], str]
) -> Iterator[tuple[list[L], list[R]]]:
    """The groups of both sides that have the same token; one of them may be empty."""
    ours, theirs = _groups(lefts, left), _groups(rights, right)
    here, there = next(ours, None), next(theirs, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here[0] < there[0]):
            yield here[1] if here else [], []
            here = next(ours, None)
        elif here is None or there[0] < here[0]:
            yield [], there[1]
            there = next(theirs, None)
        else:
            yield here[1], there[1]
            here, there = next(ours, None), next(theirs, None)


def _groups(items: Iterable[L], token: Callable[[L], str]) -> Iterator[tuple[str, list[L]]]:
    before = None
    for name, group in groupby(items, key=token):
        if before is not None and name < before:
            raise ValueError("the rows of a counterpart come in the order of their tokens; use `in_order`")
        before = name
        yield name, list(group)
