"""The same statistics in the clear, computed a second way: what every engine is compared with.

Pure Python over text cells and fractions; shares no arithmetic with the engines. It reads every party's
rows at one place and is therefore never dispatched: no registry names it.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
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
    if operation == operations.ALIGNED_STATISTICS:
        people = _matched(read[0], read[1], parameters["values"], k=max(min_group, _k(*read)))
    else:
        people = [row for item in read for row in _released(item[1], _dimensions(item), max(min_group, _k(item)))]
    for item in parameters["filters"]:
        people = [row for row in people if row[item["column"]] in item["in"]]
    grouped: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in people:
        grouped[tuple(row[name] for name in parameters["group_by"])].append(row)
    cells = [
        {
            "group": dict(zip(parameters["group_by"], labels, strict=True)),
            "column": column,
            **_describe(rows, column, read),
        }
        for labels, rows in sorted(grouped.items())
        for column in parameters["values"]
    ]
    return {
        "type": RESULT_TYPE,
        "group_by": list(parameters["group_by"]),
        "values": list(parameters["values"]),
        "min_group": min_group,
        "cells": cells,
    }


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
