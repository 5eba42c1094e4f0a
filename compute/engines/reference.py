"""The same statistics in the clear, computed a second way: what every engine is compared with.

Pure Python over text cells and fractions; shares no arithmetic with the engines: a variance is the mean of squared
distances, a quantile is the person at its place in the sorted row. It reads every party's rows at one place and is
therefore never dispatched: no registry names it.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

from compute.engines.base import RESULT_TYPE
from compute.protocol import operations

Row = Mapping[str, str]


def statistics(
    operation: str, *, parameters: Mapping[str, Any], datasets: Sequence[Path], min_group: int
) -> dict[str, Any]:
    """The result document that an engine must equal.

    Args:
        datasets: stored dataset directories in order of rank (aligned: group owner, then value owner).
        min_group: the job's k; each owner's own k counts as well.
    """
    read = [_read(path) for path in datasets]
    if operation in (operations.ALIGNED_STATISTICS, operations.JOINED_STATISTICS, operations.TWO_PARTY_STATISTICS):
        people = _matched(read[0], read[1], parameters["values"], k=max(min_group, _k(*read)))
    else:
        people = [row for item in read for row in _released(item[1], _dimensions(item), max(min_group, _k(item)))]
    grouped = _grouped(people, parameters)
    cells = [
        {**group, "column": column, **_describe(rows, column, read)}
        for group, rows in grouped
        for column in parameters["values"]
    ]
    found = {
        "type": RESULT_TYPE,
        "group_by": list(parameters["group_by"]),
        "values": list(parameters["values"]),
        "min_group": min_group,
        "cells": cells,
    }
    if "measures" in parameters:
        found["measures"] = _measures(parameters, grouped, read, min_group=min_group)
    return found


def _grouped(people: Sequence[Row], parameters: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[Row]]]:
    """The people that the filters leave, by group, in order of the group."""
    for item in parameters["filters"]:
        people = [row for row in people if row[item["column"]] in item["in"]]
    grouped: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in people:
        grouped[tuple(row[name] for name in parameters["group_by"])].append(row)
    return [
        ({"group": dict(zip(parameters["group_by"], labels, strict=True))}, rows)
        for labels, rows in sorted(grouped.items())
    ]


def _measures(
    parameters: Mapping[str, Any],
    grouped: Sequence[tuple[dict[str, Any], list[Row]]],
    read: Sequence[Any],
    *,
    min_group: int,
) -> dict[str, Any]:
    """Covariance of the groups, histograms and quantile bands of those whose block's histogram is told."""
    asked = parameters["measures"]
    found: dict[str, Any] = {}
    if "covariance" in asked:
        found["covariance"] = [
            {**group, "columns": pair, "count": len(rows), "covariance": _write(_covariance(rows, *pair), 6)}
            for group, rows in grouped
            for pair in asked["covariance"]
        ]
    told = {
        name: _grouped([row for item in read for row in _told(item, name, max(min_group, _k(item)))], parameters)
        for name in {*asked.get("histogram", []), *(item["column"] for item in asked.get("quantile_bands", []))}
    }
    bands = {name: _bands(name, read) for name in told}
    order = [group["group"] for group, _ in grouped]
    if "histogram" in asked:
        found["histogram"] = [
            {**group, "column": name, **_histogram([row[name] for row in rows], bands[name])}
            for place in order
            for name in asked["histogram"]
            for group, rows in told[name]
            if group["group"] == place
        ]
    if "quantile_bands" in asked:
        found["quantile_bands"] = [
            {
                **group,
                "column": item["column"],
                "probability": probability,
                "told": len(rows),
                **_named(_band(_quantile([row[item["column"]] for row in rows], probability), bands[item["column"]])),
            }
            for place in order
            for item in asked["quantile_bands"]
            for group, rows in told[item["column"]]
            if group["group"] == place
            for probability in item["probabilities"]
        ]
    return found


def _told(item: tuple[dict[str, Any], list[Row]], name: str, k: int) -> list[Row]:
    """Everybody in the released blocks in which k persons or more share the bands of each person in all banded
    columns, and not everybody is in one band of this one."""
    banded = [column["name"] for column in item[0]["columns"] if column.get("bands")]
    bands = {column: _bands(column, [item]) for column in banded}
    blocks: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in _released(item[1], _dimensions(item), k):
        blocks[tuple(row[dimension] for dimension in _dimensions(item))].append(row)
    found = []
    for rows in blocks.values():
        alike: dict[Any, int] = defaultdict(int)
        for row in rows:
            alike[tuple(_band(Fraction(row[column]), bands[column]) for column in banded)] += 1
        if min(alike.values()) >= k and len({_band(Fraction(row[name]), bands[name]) for row in rows}) > 1:
            found += rows
    return found


def _bands(name: str, read: Sequence[tuple[dict[str, Any], list[Row]]]) -> list[tuple[Fraction, Fraction, int]]:
    """Start, end and decimals of each declared band; the outer ends reach as far as any owner's bounds."""
    declared = [column for schema, _ in read for column in schema["columns"] if column["name"] == name]
    low = min(Fraction(column["min"], 10 ** column.get("scale", 0)) for column in declared)
    high = max(Fraction(column["max"], 10 ** column.get("scale", 0)) for column in declared)
    cuts = [Fraction(cut, 10 ** declared[0].get("scale", 0)) for cut in declared[0]["bands"]]
    places = max(column.get("scale", 0) for column in declared)
    return [(start, end, places) for start, end in pairwise([low, *cuts, high])]


def _band(number: Fraction, bands: Sequence[tuple[Fraction, Fraction, int]]) -> tuple[Fraction, Fraction, int]:
    return next((band for band in bands[:-1] if number < band[1]), bands[-1])


def _named(band: tuple[Fraction, Fraction, int]) -> dict[str, str]:
    return {"from": _write(band[0], band[2]), "to": _write(band[1], band[2])}


def _histogram(cells: Sequence[str], bands: Sequence[tuple[Fraction, Fraction, int]]) -> dict[str, Any]:
    taken = [_band(Fraction(cell), bands) for cell in cells]
    counted = [{**_named(band), "count": taken.count(band)} for band in bands if band in taken]
    return {"told": len(cells), "bands": counted}


def _quantile(cells: Sequence[str], probability: str) -> Fraction:
    """The ⌈p·N⌉-th smallest."""
    return sorted(map(Fraction, cells))[ceil(Fraction(probability) * len(cells)) - 1]


def _covariance(rows: Sequence[Row], left: str, right: str) -> Fraction:
    pairs = [(Fraction(row[left]), Fraction(row[right])) for row in rows]
    mean_left = sum((pair[0] for pair in pairs), Fraction(0)) / len(pairs)
    mean_right = sum((pair[1] for pair in pairs), Fraction(0)) / len(pairs)
    return sum(((x - mean_left) * (y - mean_right) for x, y in pairs), Fraction(0)) / len(pairs)


def matching(*, form: str, datasets: Sequence[Path], min_group: int) -> dict[str, Any]:
    """The result document of a matching: persons in all tables; rows of the first, counted from 1, for a list."""
    read = [_read(path) for path in datasets]
    k = max(min_group, _k(*read))
    tables = [[row[schema["id"]].upper() for row in rows] for schema, rows in read]
    rows = [number for number, one in enumerate(tables[0], start=1) if all(one in table for table in tables[1:])]
    is_told = len(rows) >= k and not any(0 < len(table) - len(rows) < k for table in tables)
    found = {
        "type": "matching/v1",
        "form": form,
        "min_group": min_group,
        "outcome": "released" if is_told else "withheld",
        "count": len(rows) if is_told else None,
    }
    return {**found, "rows": rows if is_told else []} if form == "list" else found


def _read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    schema = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    with (path / "data.csv").open(encoding="utf-8", newline="") as file:
        return schema, list(csv.DictReader(file))


def _dimensions(item: tuple[dict[str, Any], list[Row]]) -> list[str]:
    return list(item[0]["block_dimensions"])


def _k(*read: tuple[dict[str, Any], list[Row]]) -> int:
    return max(max(operations.MINIMUM_GROUP, int(schema.get("min_group", 0))) for schema, _ in read)


def _join(
    left: tuple[dict[str, Any], list[Row]], right: tuple[dict[str, Any], list[Row]], values: Sequence[str]
) -> list[Row]:
    known = {row[right[0]["id"]].upper(): row for row in right[1]}
    found = [(row, known.get(row[left[0]["id"]].upper())) for row in left[1]]
    return [{**mine, **{name: theirs[name] for name in values}} for mine, theirs in found if theirs is not None]


def _matched(
    left: tuple[dict[str, Any], list[Row]], right: tuple[dict[str, Any], list[Row]], values: Sequence[str], *, k: int
) -> list[Row]:
    """Matched people of the blocks that are released: k in the block, and k or nobody in it who did not match."""
    dimensions = _dimensions(left)
    rest: dict[tuple[str, ...], int] = defaultdict(int)
    joined = _join(left, right, values)
    for row in left[1]:
        rest[tuple(row[name] for name in dimensions)] += 1
    for row in joined:
        rest[tuple(row[name] for name in dimensions)] -= 1
    return [
        row for row in _released(joined, dimensions, k) if not 0 < rest[tuple(row[name] for name in dimensions)] < k
    ]


def _released(rows: Sequence[Row], dimensions: Sequence[str], k: int) -> list[Row]:
    blocks: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        blocks[tuple(row[name] for name in dimensions)].append(row)
    return [row for block in blocks.values() if len(block) >= k for row in block]


def _describe(rows: Sequence[Row], column: str, read: Sequence[tuple[dict[str, Any], list[Row]]]) -> dict[str, Any]:
    numbers = [Fraction(row[column]) for row in rows]
    count, total = len(numbers), sum(numbers, Fraction(0))
    mean = total / count
    variance = sum(((number - mean) ** 2 for number in numbers), Fraction(0)) / count
    scale = max(item.get("scale", 0) for schema, _ in read for item in schema["columns"] if item["name"] == column)
    return {"count": count, "sum": _write(total, scale), "mean": _write(mean, 6), "variance": _write(variance, 6)}


def _write(value: Fraction, places: int) -> str:
    exact = Context(prec=200, rounding=ROUND_HALF_EVEN)
    units = exact.divide(Decimal(value.numerator * 10**places), Decimal(value.denominator))
    whole = units.to_integral_value(rounding=ROUND_HALF_EVEN, context=exact)
    return format(exact.abs(whole) if not whole else whole.scaleb(-places, exact), f".{places}f")
