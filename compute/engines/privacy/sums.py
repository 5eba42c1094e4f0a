"""The exact numbers of a noised query, next to the rows: counts and clamped sums of every group, in bounded memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.engines.errors import EngineRefused
from compute.engines.metadata import ColumnMeta, DatasetMeta
from compute.engines.privacy.sensitivity import COUNT, Plan
from compute.protocol import privacy

_CHUNK_ROWS = 500_000
_INT64 = 2**63 - 1


def totals(directory: Path, meta: DatasetMeta, plan: Plan, *, filters: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Count and sums of the plan's groups over the rows that every filter lets through; values are clamped.

    Shapes: result (components, groups), exact integers.
    Raises:
        EngineRefused: ENGINE_ERROR for a file that does not hold what its schema says.
    """
    groups = len(plan.labels)
    found = [[0] * groups for _ in plan.components]
    names = [name for name, _ in plan.groups]
    values = [item.name for item in plan.components if item.name != COUNT]
    wanted = sorted({*names, *values, *(item["column"] for item in filters)}) or [next(iter(meta.columns))]
    try:
        with pd.read_csv(
            directory / "data.csv",
            usecols=wanted,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8",
            chunksize=_CHUNK_ROWS,
        ) as reader:
            for chunk in reader:
                kept = chunk[_passes(chunk, meta, filters)]
                group_of = _groups(kept, [meta.column(name) for name in names])
                _add(found[0], np.bincount(group_of, minlength=groups))
                for place, name in enumerate(values, start=1):
                    _add_sums(found[place], group_of, _clamped(kept[name], meta.numeric(name)), groups)
    except (OSError, ValueError, KeyError, OverflowError):
        raise EngineRefused("ENGINE_ERROR", "The stored dataset is not what its schema says; add it again.") from None
    return found


def _passes(chunk: "pd.DataFrame", meta: DatasetMeta, filters: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    passes = np.ones(len(chunk), np.bool_)
    for item in filters:
        column = meta.column(item["column"])
        if "in" in item:
            passes &= chunk[column.name].isin(item["in"]).to_numpy(dtype=bool)
            continue
        numbers = _clamped(chunk[column.name], column)
        low, high = (privacy.scaled(item[end], scale=column.scale) for end in ("from", "to"))
        # Bounds may lie outside 64 bits or between two values: they are cut to what the column can hold first.
        lowest = min(max(-(-low.numerator // low.denominator), column.minimum), column.maximum + 1)
        highest = max(min(high.numerator // high.denominator, column.maximum), column.minimum - 1)
        passes &= (numbers >= lowest) & (numbers <= highest)
    return passes


def _groups(chunk: "pd.DataFrame", columns: Sequence[ColumnMeta]) -> NDArray[np.int64]:
    numbers = np.zeros(len(chunk), np.int64)
    for column in columns:
        kinds = pd.Index(column.categories, dtype=chunk[column.name].dtype)
        codes = kinds.get_indexer(chunk[column.name]).astype(np.int64)
        if (codes < 0).any():
            raise ValueError("a category is not declared")
        numbers = numbers * len(column.categories) + codes
    return numbers


def _clamped(cells: "pd.Series[str]", column: ColumnMeta) -> NDArray[np.int64]:
    numbers = np.asarray(cells.str.replace(".", "", regex=False).to_numpy(dtype=object), dtype=np.int64)
    return np.clip(numbers, column.minimum, column.maximum)


def _add(found: list[int], more: NDArray[np.int64]) -> None:
    for group, number in enumerate(more):
        found[group] += int(number)


def _add_sums(found: list[int], group_of: NDArray[np.int64], values: NDArray[np.int64], groups: int) -> None:
    """Add values into their groups, so few at a time that no 64-bit sum can wrap."""
    largest = max(1, int(np.abs(values).max())) if values.size else 1
    rows = max(1, _INT64 // largest)
    for start in range(0, values.size, rows):
        sums = np.zeros(groups, np.int64)
        np.add.at(sums, group_of[start : start + rows], values[start : start + rows])
        _add(found, sums)
