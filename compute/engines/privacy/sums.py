"""The exact numbers of a noised query, next to the rows: counts and clamped sums of every group, in bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import loading
from compute.engines.metadata import ColumnMeta, DatasetMeta
from compute.engines.privacy.sensitivity import COUNT, Plan
from compute.protocol import privacy

_INT64 = 2**63 - 1

Ints = NDArray[np.int64]
Chunk = tuple[int, Mapping[str, Ints]]  # how many rows, and the named columns: categories as their numbers


def totals(directory: Path, meta: DatasetMeta, plan: Plan, *, filters: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Count and sums of the plan's groups over the rows that every filter lets through; values are clamped.

    Shapes: result (components, groups), exact integers.
    Raises:
        EngineRefused: COMMITMENT or ENGINE_ERROR for files that do not hold what their schema says.
    """
    groups = len(plan.labels)
    found = [[0] * groups for _ in plan.components]
    values = [item.name for item in plan.components if item.name != COUNT]
    wanted = [meta.column(name) for name in {*values, *(g for g, _ in plan.groups), *(f["column"] for f in filters)}]
    for rows, columns in _chunks(directory, meta, wanted):
        kept = _passes(rows, columns, meta, filters)
        group_of: Ints = np.zeros(int(kept.sum()), np.int64)
        for name, categories in plan.groups:
            group_of = group_of * len(categories) + columns[name][kept]
        _add(found[0], np.bincount(group_of, minlength=groups))
        for place, name in enumerate(values, start=1):
            _add_sums(found[place], group_of, columns[name][kept], groups)
    return found


def _chunks(directory: Path, meta: DatasetMeta, wanted: Sequence[ColumnMeta]) -> Iterator[Chunk]:
    """The wanted columns chunk by chunk; each category column is read as if it were the only block dimension."""
    numeric = [column for column in wanted if column.is_numeric]
    kinds = [column.name for column in wanted if not column.is_numeric]
    streams = [loading.chunks(directory, meta, values=[column.name for column in numeric], blocks=False)]
    streams += [
        loading.chunks(directory, replace(meta, block_dimensions=(name,)), values=[], blocks=True) for name in kinds
    ]
    for first, *others in zip(*streams, strict=True):
        found = {column.name: _clamped(first.values[column.name], column) for column in numeric}
        found |= {name: table.blocks.astype(np.int64) for name, table in zip(kinds, others, strict=True)}
        yield len(next(iter(found.values()))), found


def _passes(
    rows: int, columns: Mapping[str, Ints], meta: DatasetMeta, filters: Sequence[Mapping[str, Any]]
) -> NDArray[np.bool_]:
    passes = np.ones(rows, np.bool_)
    for item in filters:
        column, found = meta.column(item["column"]), columns[item["column"]]
        if "in" in item:
            chosen = [place for place, category in enumerate(column.categories) if category in item["in"]]
            passes &= np.isin(found, chosen)
            continue
        low, high = (privacy.scaled(item[end], scale=column.scale) for end in ("from", "to"))
        # Bounds may lie outside 64 bits or between two values: they are cut to what the column can hold first.
        lowest = min(max(-(-low.numerator // low.denominator), column.minimum), column.maximum + 1)
        highest = max(min(high.numerator // high.denominator, column.maximum), column.minimum - 1)
        passes &= (found >= lowest) & (found <= highest)
    return passes


def _clamped(numbers: Ints, column: ColumnMeta) -> Ints:
    """Nobody's value counts for more than the declared bounds; the noise is measured against these."""
    return np.clip(numbers.astype(np.int64), column.minimum, column.maximum)


def _add(found: list[int], more: Ints) -> None:
    for group, number in enumerate(more):
        found[group] += int(number)


def _add_sums(found: list[int], group_of: Ints, values: Ints, groups: int) -> None:
    """Add values into their groups, so few at a time that no 64-bit sum can wrap."""
    largest = max(1, int(np.abs(values).max())) if values.size else 1
    rows = max(1, _INT64 // largest)
    for start in range(0, values.size, rows):
        sums = np.zeros(groups, np.int64)
        np.add.at(sums, group_of[start : start + rows], values[start : start + rows])
        _add(found, sums)
