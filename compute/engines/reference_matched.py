"""Matched sums in the clear, computed a second way: what `ddh_paillier_sum/1` is compared with.

Pure Python over text cells, identifiers compared as text; shares no arithmetic with the engine. It reads both owners'
rows at one place and is therefore never dispatched: no registry names it.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

from compute.engines.base import RESULT_TYPE
from compute.protocol.operations import MINIMUM_GROUP


def matched_sum(*, parameters: Mapping[str, Any], datasets: Sequence[Path], min_group: int) -> dict[str, Any]:
    """The result document that the engine must equal.

    Args:
        datasets: the list owner's stored dataset directory, then the value owner's.
        min_group: the job's k; each owner's own k counts as well.
    """
    schemas = [json.loads((path / "schema.json").read_text(encoding="utf-8")) for path in datasets]
    listed, valued = (_persons(path, schema["id"]) for path, schema in zip(datasets, schemas, strict=True))
    both = sorted(listed.keys() & valued.keys())
    k = max(MINIMUM_GROUP, min_group, *(int(schema.get("min_group", 0)) for schema in schemas))
    rests = (len(listed) - len(both), len(valued) - len(both))
    is_told = len(both) >= k and all(rest == 0 or rest >= k for rest in rests)
    scales = {column["name"]: column.get("scale", 0) for column in schemas[1]["columns"]}
    cells = [
        {
            "group": {},
            "column": name,
            "count": len(both),
            **_described([Fraction(valued[one][name]) for one in both], scales[name]),
        }
        for name in parameters["values"]
    ]
    return {
        "type": RESULT_TYPE,
        "group_by": [],
        "values": list(parameters["values"]),
        "min_group": min_group,
        "cells": cells if is_told else [],
    }


def _persons(path: Path, identifier: str) -> dict[str, dict[str, str]]:
    with (path / "data.csv").open(encoding="utf-8", newline="") as file:
        return {row[identifier].casefold(): row for row in csv.DictReader(file)}


def _described(numbers: Sequence[Fraction], scale: int) -> dict[str, str]:
    mean = sum(numbers, Fraction(0)) / max(1, len(numbers))
    variance = sum(((number - mean) ** 2 for number in numbers), Fraction(0)) / max(1, len(numbers))
    return {
        "sum": _write(sum(numbers, Fraction(0)), scale),
        "mean": _write(mean, 6),
        "variance": _write(variance, 6),
    }


def _write(value: Fraction, places: int) -> str:
    with localcontext() as exact:
        exact.prec, exact.rounding = 200, ROUND_HALF_EVEN
        rounded = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal(1).scaleb(-places))
        return format(rounded if rounded else abs(rounded), f".{places}f")
