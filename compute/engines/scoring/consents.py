"""Consent, checked by the discloser on its own rows, before a row enters the circuit.

The agency may not learn who is asked, so consent cannot be looked up for a person who is asked about. It is a property
of every row instead: columns of the agency's own table, read at each run, turned into one bit a row, and multiplied in
the circuit. The rule goes by the columns' names, so that no request can choose another:

    consent_until          last day (20261231) on which this row may be used; 0 without consent
    consent_for            for whom and for what: the buyer's organisation and the purpose, with a space between
    spouse_consent_until   the same for the columns spouse_...; the spouse's own consent
    spouse_consent_for

A table without the two columns cannot be scored, nor can a spouse_ column without the spouse's. Withdrawals lie
beside the dataset, in the node's kept directory, one id a line (`id` or `id,spouse`), and count from the next run on,
without a new version of the dataset.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from compute.engines import identifiers
from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta

UNTIL, FOR = "consent_until", "consent_for"
SPOUSE = "spouse_"
WITHDRAWALS = "withdrawals.csv"
_CHINA = timezone(timedelta(hours=8))  # a day of a consent is a day in Beijing


def scopes(columns: Sequence[str]) -> tuple[str, ...]:
    """The prefixes whose consent the columns need: the row's own, and the spouse's when one is about the spouse."""
    return ("", SPOUSE) if any(name.startswith(SPOUSE) for name in columns) else ("",)


def check(meta: DatasetMeta, columns: Sequence[str]) -> None:
    """Every needed consent column is there and of its type.

    Raises:
        EngineRefused: COLUMN_UNKNOWN for a table that keeps no consent, or a feature that is itself a consent.
    """
    for scope in scopes(columns):
        until, recipient = meta.columns.get(scope + UNTIL), meta.columns.get(scope + FOR)
        if until is None or recipient is None or until.type != "integer" or recipient.type != "category":
            raise EngineRefused(
                "COLUMN_UNKNOWN",
                f"The dataset keeps no consent in {scope + UNTIL} and {scope + FOR}; add both columns.",
            )
    for name in columns:
        if name.endswith((UNTIL, FOR)):
            raise EngineRefused("COLUMN_UNKNOWN", f"Column {name} holds consents and is no feature; choose another.")


def today(now: datetime) -> int:
    """The day as consents write it: 20261121."""
    local = now.astimezone(_CHINA)
    return local.year * 10_000 + local.month * 100 + local.day


def is_valid(until: int, recipient: str, *, wanted: str, day: int) -> bool:
    """Whether one consent covers this buyer and purpose on this day."""
    return recipient == wanted and until >= day


def withdrawn(kept: Path | None) -> Mapping[str, frozenset[str]]:
    """Canonical ids by scope whose consent was withdrawn since the dataset was added."""
    found: dict[str, set[str]] = {"": set(), SPOUSE: set()}
    path = None if kept is None else kept / WITHDRAWALS
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            identifier, _, scope = line.partition(",")
            found[SPOUSE if scope.strip() == "spouse" else ""].add(identifiers.canonical(identifier))
    return {scope: frozenset(ids) for scope, ids in found.items()}


def of_rows(
    dataset: Path, meta: DatasetMeta, columns: Sequence[str], *, ids: Sequence[str], wanted: str, kept: Path | None
) -> dict[str, list[bool]]:
    """Which rows may be used today, by scope, in stored order; of the spouse nobody where no column asks for it.

    Args:
        ids: the rows' identifiers; wanted: the buyer's organisation and the purpose; kept: where withdrawals lie.
    """
    from compute.engines import loading  # numeric: only in a run's own process

    day, gone = today(datetime.now(UTC)), withdrawn(kept)
    found = {SPOUSE: [False] * len(ids)}
    for scope in scopes(columns):
        rows = loading.records(dataset, meta, [scope + UNTIL, scope + FOR])
        found[scope] = [
            is_valid(int(until), recipient, wanted=wanted, day=day)
            and identifiers.canonical(identifier) not in gone[scope]
            for identifier, (until, recipient) in zip(ids, rows, strict=True)
        ]
    return found


def withdraw(kept: Path, identifier: str, *, scope: str = "") -> None:
    """Note that a person withdrew, or that the person's spouse did; it counts from the next run on."""
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = identifiers.canonical(identifier) + (",spouse" if scope == SPOUSE else "")
    with os.fdopen(os.open(kept / WITHDRAWALS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
