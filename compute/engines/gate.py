"""The privacy gate, tier 1: exact answers over fixed blocks of at least k persons, and nothing else.

The owner declares block dimensions once. Every combination of their categories is a *block*; the partition
never changes for a version of the dataset. A block with fewer than k persons is *withheld* from every answer
for good. A query is answered only as a union of whole blocks, so that whatever anybody combines out of any
number of answers is a combination of totals over blocks of at least k persons: subtracting two answers can
not isolate fewer.

Pure Python: the node's daemon uses the same code for admission and preview as the engines use in the run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta
from compute.protocol.operations import MINIMUM_GROUP

WITHHELD_FILE = "withheld.json"  # in a run's directory, by the node: blocks that are told of no answer
MAX_BLOCKS = 100_000  # one int64 counter each: below a megabyte
MAX_GROUPS = 10_000  # keeps a part of eight columns below MAX_PART_BYTES
FILTERED = -1  # the group number of a block that the filters leave out

Dimensions = Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Selection:
    """A query as a union of blocks.

    Args:
        group_by: grouped dimensions with their categories, in the order of the request.
        group_of: group number of each block, FILTERED where a filter leaves it out.
    """

    group_by: tuple[tuple[str, tuple[str, ...]], ...]
    group_of: tuple[int, ...]

    @property
    def groups(self) -> int:
        """How many groups there can be."""
        return prod(len(categories) for _, categories in self.group_by)

    def labels(self) -> list[tuple[str, ...]]:
        """The categories of each group, in order of group number."""
        return labels([categories for _, categories in self.group_by])


def check_query(
    meta: DatasetMeta,
    *,
    group_by: Sequence[str],
    filters: Sequence[Mapping[str, Any]],
    min_group: int,
    values_declared_elsewhere: bool = False,
) -> None:
    """Check that a query is a union of this dataset's blocks.

    Args:
        values_declared_elsewhere: another party's dataset may declare categories that this one has not;
            they then select nobody here.
    Raises:
        EngineRefused: COLUMN_UNKNOWN, GROUPING_NOT_A_BLOCK, FILTER_NOT_A_BLOCK, MIN_GROUP_TOO_SMALL or
            PARTITION_TOO_LARGE. None of them depends on a row.
    """
    check_min_group(min_group)
    if blocks(meta.dimensions()) > MAX_BLOCKS:
        raise EngineRefused(
            "PARTITION_TOO_LARGE", f"The dataset declares more than {MAX_BLOCKS} blocks; declare fewer dimensions."
        )
    for name in group_by:
        meta.column(name)
        if name not in meta.block_dimensions:
            raise EngineRefused(
                "GROUPING_NOT_A_BLOCK",
                f"Column {name} is not a block dimension; group by {_listed(meta.block_dimensions)}.",
            )
    for item in filters:
        name = item["column"]
        categories = set(meta.column(name).categories)
        is_declared = "in" in item and (values_declared_elsewhere or categories.issuperset(item["in"]))
        if name not in meta.block_dimensions or not is_declared:
            raise EngineRefused(
                "FILTER_NOT_A_BLOCK",
                f"The filter on {name} does not keep to whole blocks; "
                f"filter by the declared categories of {_listed(meta.block_dimensions)}.",
            )
    check_groups([meta.column(name).categories for name in group_by])


def check_min_group(min_group: int) -> None:
    """Refuse a k below the floor."""
    if min_group < MINIMUM_GROUP:
        raise EngineRefused(
            "MIN_GROUP_TOO_SMALL", f"Groups have at least {MINIMUM_GROUP} persons; ask with a larger min_group."
        )


def check_groups(categories: Sequence[Sequence[str]]) -> None:
    """Refuse a grouping with more groups than a result may hold."""
    if prod(len(item) for item in categories) > MAX_GROUPS:
        raise EngineRefused("PARTITION_TOO_LARGE", f"More than {MAX_GROUPS} groups; group by fewer columns.")


def effective_k(metas: Sequence[DatasetMeta], *, min_group: int) -> int:
    """The k in force: the largest of the floor, the job's and every owner's own."""
    return max([MINIMUM_GROUP, min_group, *(meta.min_group for meta in metas)])


def blocks(dimensions: Dimensions) -> int:
    """How many blocks the dimensions make; a dataset without dimensions is one block."""
    return prod(len(categories) for _, categories in dimensions)


def labels(categories: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """All combinations, the last dimension running fastest: the numbering of blocks and of groups."""
    return [tuple(item) for item in product(*categories)]


def select(
    dimensions: Dimensions,
    *,
    group_by: Sequence[tuple[str, Sequence[str]]],
    filters: Sequence[Mapping[str, Any]],
) -> Selection:
    """Say for each block into which group it goes.

    Args:
        dimensions: the dataset's own block dimensions with their own categories.
        group_by: grouped dimensions with the categories agreed among all parties.
    """
    places = {name: place for place, (name, _) in enumerate(dimensions)}
    allowed = {places[item["column"]]: set(item["in"]) for item in filters}
    numbers = [
        (places[name], {category: number for number, category in enumerate(categories)}, len(categories))
        for name, categories in group_by
    ]
    group_of = []
    for block in labels([categories for _, categories in dimensions]):
        if any(block[place] not in wanted for place, wanted in allowed.items()):
            group_of.append(FILTERED)
            continue
        group = 0
        for place, number, size in numbers:
            group = group * size + number[block[place]]
        group_of.append(group)
    agreed = tuple((name, tuple(categories)) for name, categories in group_by)
    return Selection(agreed, tuple(group_of))


def released(counts: Sequence[int], *, k: int) -> list[bool]:
    """Which blocks may enter an answer: those of at least k persons."""
    return [count >= k for count in counts]


def read_withheld(work_dir: Path, values: Sequence[str]) -> frozenset[int]:
    """The blocks that the node withholds for any of these columns, whatever their size; none without its file.

    A query of several columns leaves out what is withheld for any of them, so that all its numbers speak of the same
    persons. Two queries then differ by whole blocks that each column may tell.
    """
    path = work_dir / WITHHELD_FILE
    if not path.exists():
        return frozenset()
    found: dict[str, list[int]] = json.loads(path.read_text(encoding="utf-8"))
    return frozenset(block for name in values for block in found[name])


def hidden_by_rest(matched: Sequence[int], *, totals: Sequence[int], k: int) -> list[bool]:
    """Which blocks of a matched table stay out because of those who did not match.

    A block of 30 persons of whom 25 match has 25 in its answer, and the owner's own statistics may publish the 30:
    the difference would speak of five. So the rest is nobody, or at least k persons, or the block is withheld.

    Args:
        matched: persons of each block who are in both datasets; totals: all persons of each block.
    """
    return [0 < total - found < k for found, total in zip(matched, totals, strict=True)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing (the dataset declares no block dimension)"
