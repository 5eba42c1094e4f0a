"""Scores and models in the clear, computed a second way: what the engines of `scoring` are compared with.

Pure Python over text cells; it shares no arithmetic with the engines. It reads every party's rows at one place and is
therefore never dispatched: no registry names it.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

LOWEST, HIGHEST, REASONS = 300, 850, 4

Row = dict[str, str]


def scores(
    card: Mapping[str, Any],
    *,
    applicants: Path,
    agencies: Sequence[Path],
    features: Sequence[Sequence[str]],
    own: Sequence[str],
    names: Sequence[str],
    recipient: str,
    day: int,
    withdrawn: frozenset[tuple[int, str, str]] = frozenset(),
    disputed: frozenset[tuple[int, str]] = frozenset(),
) -> list[dict[str, Any]]:
    """One answer for each row of the applicants, as credit_scores/v2 has them.

    Args:
        features: columns of each agency; own: of the applicants; names: what reasons call them, in that order.
        recipient, day: for whom and for what consent is needed, and on which day.
        withdrawn: (agency, canonical id, scope) of consents withdrawn since.
        disputed: (agency, canonical id) of records whose subject has objected.
    """
    tables = [_read(path) for path in agencies]
    scheme, rows = _read(applicants)
    found = []
    for number, row in enumerate(rows):
        values: list[int | None] = []
        known, denied, marked = False, False, False
        for place, ((schema, people), columns) in enumerate(zip(tables, features, strict=True)):
            person = _find(people, schema["id"], row[scheme["id"]])
            known = known or person is not None
            valid = {
                scope: person is not None
                and _valid(person, scope, recipient, day)
                and (place, row[scheme["id"]].lower(), scope) not in withdrawn
                for scope in ("", "spouse_")
            }
            denied = denied or (person is not None and not valid[""])
            marked = marked or (person is not None and (place, row[scheme["id"]].lower()) in disputed)
            for column in columns:
                usable = valid[""] and (valid["spouse_"] or not column.startswith("spouse_"))
                values.append(_number(person[column], schema, column) if person is not None and usable else None)
        values += [_number(row[column], scheme, column) for column in own]
        answer: dict[str, Any] = {"row": number, "status": "scored", "score": None, "reasons": [], "disputed": False}
        if denied or not known:
            answer["status"] = "denied_consent" if denied else "no_record"
        else:
            bounds = [_bounds(tables[a][0], name) for a, some in enumerate(features) for name in some]
            bounds += [_bounds(scheme, name) for name in own]
            answer["score"], answer["reasons"] = _score(card, values, bounds, names)
            answer["disputed"] = marked
        found.append(answer)
    return found


def _score(
    card: Mapping[str, Any], values: Sequence[int | None], bounds: Sequence[tuple[int, int]], names: Sequence[str]
) -> tuple[int, list[str]]:
    given, best = [], []
    for item, value, (low, high) in zip(card["features"], values, bounds, strict=True):
        given.append(item["absent"] if value is None else _contribution(item, value))
        best.append(max(item["points"]) if "points" in item else max(_contribution(item, end) for end in (low, high)))
    total = math.floor((card["base"] + sum(given)) / 2 ** card["shift"])
    lost = [(most - one, -place) for place, (most, one) in enumerate(zip(best, given, strict=True)) if most > one]
    reasons = [names[-place] for _, place in sorted(lost, reverse=True)[:REASONS]]
    return max(LOWEST, min(HIGHEST, total)), reasons


def _contribution(item: Mapping[str, Any], value: int) -> int:
    if "weight" in item:
        return int(item["weight"]) * value
    return int(item["points"][sum(value >= cut for cut in item["cuts"])])


def _valid(person: Mapping[str, str], scope: str, recipient: str, day: int) -> bool:
    until, wanted = person.get(scope + "consent_until"), person.get(scope + "consent_for")
    return until is not None and int(until) >= day and wanted == recipient


def _find(people: Sequence[Row], column: str, wanted: str) -> Row | None:
    return next((person for person in people if person[column].lower() == wanted.lower()), None)


def _number(cell: str, schema: Mapping[str, Any], column: str) -> int:
    scale = next(item.get("scale", 0) for item in schema["columns"] if item["name"] == column)
    return int(Decimal(cell).scaleb(scale))


def _bounds(schema: Mapping[str, Any], column: str) -> tuple[int, int]:
    item = next(item for item in schema["columns"] if item["name"] == column)
    return int(item["min"]), int(item["max"])


def _read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    schema = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    with (path / "data.csv").open(encoding="utf-8", newline="") as file:
        return schema, list(csv.DictReader(file))


# --- training -----------------------------------------------------------------------------------------------


def train(rows: Sequence[Sequence[float]], labels: Sequence[int], *, epochs: int, rate: float) -> list[float]:
    """Logistic regression by full-batch gradient descent; weights, the constant last. Rows are standardised already."""
    width, weights = len(rows[0]), [0.0] * (len(rows[0]) + 1)
    for _ in range(epochs):
        slope = [0.0] * (width + 1)
        for row, label in zip(rows, labels, strict=True):
            error = probability(weights, row) - label
            for place, value in enumerate((*row, 1.0)):
                slope[place] += error * value
        weights = [weight - rate * one / len(rows) for weight, one in zip(weights, slope, strict=True)]
    return weights


def probability(weights: Sequence[float], row: Sequence[float]) -> float:
    """The modelled probability of label 1."""
    odds = sum(weight * value for weight, value in zip(weights, (*row, 1.0), strict=True))
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0


def area(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Area under the ROC curve: how often a random 1 has the larger score than a random 0, ties counting half."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    ranks, start = [0.0] * len(scores), 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + end + 1) / 2
        start = end
    positives = sum(labels)
    total = sum(rank for rank, label in zip(ranks, labels, strict=True) if label)
    return (total - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))
