"""What the parties of joint statistics agree on before anything is shared: groups, scales, bands, and so the order.

Each party's greeting holds what its schema declares and nothing that depends on a row. From all greetings every party
derives the same layout, or the run ends: two owners with different districts are put side by side, different
cuts of one column are not, because they could not be added up.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from compute.engines import gate, measures, shares
from compute.engines.base import StageContext, Total
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.measures import Cuts, GroupTotals, Measures
from compute.engines.metadata import DatasetMeta

MAX_NUMBERS = 180_000  # of 16 bytes, in base64: below MAX_PART_BYTES
MAX_CELLS = 1_000_000  # blocks by the bands of all columns: some tens of megabytes at the owner


@dataclass(frozen=True, slots=True)
class Layout:
    """The order of the shared numbers: group by group the count, each value's sum and squares, products, bands.

    Args:
        group_by: grouped columns with all their categories; values: value columns with their scales.
        products: pairs of values whose products are added up; cuts: values that are counted by bands.
    """

    group_by: tuple[tuple[str, tuple[str, ...]], ...]
    values: tuple[tuple[str, int], ...]
    products: tuple[tuple[str, str], ...] = ()
    cuts: tuple[tuple[str, Cuts], ...] = ()

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The categories of each group."""
        return gate.labels([categories for _, categories in self.group_by])

    @property
    def width(self) -> int:
        """How many numbers each group has."""
        return self.first_band + sum(cuts.bands for _, cuts in self.cuts)

    @property
    def first_product(self) -> int:
        """Where the products begin in a group's numbers."""
        return 1 + 2 * len(self.values)

    @property
    def first_band(self) -> int:
        """Where the persons by bands begin."""
        return self.first_product + len(self.products)

    @property
    def size(self) -> int:
        """How many numbers are shared."""
        return len(self.groups) * self.width

    def describe(self) -> dict[str, Any]:
        """The layout as plain values."""
        found: dict[str, Any] = {
            "group_by": [[name, list(categories)] for name, categories in self.group_by],
            "values": [[name, scale] for name, scale in self.values],
        }
        if self.products:
            found["products"] = [list(pair) for pair in self.products]
        if self.cuts:
            found["bands"] = [[name, cuts.scale, list(cuts.edges)] for name, cuts in self.cuts]
        return found

    def totals(self, numbers: Sequence[int]) -> dict[tuple[str, ...], GroupTotals]:
        """The joined numbers, group by group."""
        found = {}
        for place, labels in enumerate(self.groups):
            group = numbers[place * self.width : (place + 1) * self.width]
            values = {
                name: Total(count=group[0], total=group[1 + 2 * i], squares=group[2 + 2 * i], scale=scale)
                for i, (name, scale) in enumerate(self.values)
            }
            products = dict(zip(self.products, group[self.first_product : self.first_band], strict=True))
            histograms, start = {}, self.first_band
            for name, cuts in self.cuts:
                histograms[name] = group[start : start + cuts.bands]
                start += cuts.bands
            found[labels] = GroupTotals(values, products, histograms)
        return found


def read(value: Mapping[str, Any]) -> Layout:
    """Read what `describe` wrote; KeyError, TypeError or ValueError for anything else."""
    layout = Layout(
        group_by=tuple((str(name), tuple(map(str, categories))) for name, categories in value["group_by"]),
        values=tuple((str(name), int(scale)) for name, scale in value["values"]),
        products=tuple((str(left), str(right)) for left, right in value.get("products", ())),
        cuts=tuple(
            (str(name), Cuts(int(scale), tuple(map(int, edges)))) for name, scale, edges in value.get("bands", ())
        ),
    )
    gate.check_groups([categories for _, categories in layout.group_by])
    check_size(layout)
    return layout


def check_answers(layout: Layout, parameters: Mapping[str, Any]) -> None:
    """Raise PartInvalid where a layout is not that of a question."""
    asked = measures.read(parameters)
    same = (
        [name for name, _ in layout.group_by] == parameters["group_by"]
        and [name for name, _ in layout.values] == parameters["values"]
        and layout.products == asked.covariance
        and tuple(name for name, _ in layout.cuts) == asked.banded(parameters["values"])
    )
    if not same:
        raise PartInvalid("The parts answer another question; report the run to the exchange.")


def check_size(layout: Layout) -> None:
    """Refuse a layout whose part would be larger than a part may be."""
    if layout.size > MAX_NUMBERS:
        raise EngineRefused(
            "PARTITION_TOO_LARGE", f"More than {MAX_NUMBERS} numbers; ask for fewer groups or measures."
        )


def check_range(name: str, bound: int) -> None:
    """Refuse a value whose squares could add up to what shares cannot hold.

    Products need no bound of their own: |Σxy| is at most the root of Σx²·Σy² (Cauchy and Schwarz).
    """
    if bound >= shares.LIMIT:
        raise EngineRefused(
            "VALUE_RANGE_TOO_WIDE", f"The declared range of {name} is too wide for exact sums; narrow its bounds."
        )


def check_bands(meta: DatasetMeta, asked: Measures, values: Sequence[str]) -> None:
    """Refuse a count by bands that this dataset does not declare, or whose partition is too large to count."""
    wanted = asked.banded(values)
    for name in wanted:
        if not meta.numeric(name).cuts:
            raise EngineRefused(
                "GROUPING_NOT_A_BLOCK", f"The owner declares no bands of {name}; ask for its mean and variance."
            )
    cells = gate.blocks(meta.dimensions()) * prod(meta.column(name).bands for name in meta.banded)
    if wanted and cells > MAX_CELLS:
        raise EngineRefused(
            "PARTITION_TOO_LARGE", f"Blocks by bands are more than {MAX_CELLS}; the owner has to declare fewer."
        )


def greeting(context: StageContext, meta: DatasetMeta) -> dict[str, Any]:
    """What a party tells its peers: declared metadata only, nothing that depends on a row."""
    parameters = context.parameters
    named = {*parameters["group_by"], *(item["column"] for item in parameters["filters"])}
    columns = [meta.numeric(name) for name in parameters["values"]]
    found: dict[str, Any] = {
        "job": context.job_digest,
        "categories": {name: list(meta.column(name).categories) for name in sorted(named)},
        "values": {column.name: [column.scale, max(1, column.largest)] for column in columns},
        "magnitude": meta.magnitude,
    }
    if banded := measures.read(parameters).banded(parameters["values"]):
        declared = [meta.numeric(name) for name in banded]
        found["bands"] = {item.name: [item.minimum, *item.cuts, item.maximum] for item in declared}
    return found


def read_greetings(received: Mapping[int, bytes]) -> dict[int, dict[str, Any]]:
    """The peers' greetings, by rank; EngineRefused JOB_DIFFERS for one that is none."""
    try:
        return {rank: json.loads(data) for rank, data in received.items()}
    except ValueError:
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None


def agree(context: StageContext, greetings: Mapping[int, Mapping[str, Any]]) -> Layout:
    """Derive the same layout at every party from what all declared.

    Raises:
        EngineRefused: JOB_DIFFERS when a peer runs another job, FILTER_NOT_A_BLOCK for a category that no
            party declares, GROUPING_NOT_A_BLOCK where bands differ, VALUE_RANGE_TOO_WIDE, PARTITION_TOO_LARGE.
    """
    parameters, asked = context.parameters, measures.read(context.parameters)
    try:
        if any(found["job"] != context.job_digest for found in greetings.values()):
            raise EngineRefused("JOB_DIFFERS", "A peer runs another job; the exchange dispatches it again.")
        for item in parameters["filters"]:
            if not set(item["in"]) <= _declared(greetings, item["column"]):
                raise EngineRefused(
                    "FILTER_NOT_A_BLOCK", f"The filter on {item['column']} names a category that no party declares."
                )
        group_by = tuple((name, tuple(sorted(_declared(greetings, name)))) for name in parameters["group_by"])
        gate.check_groups([categories for _, categories in group_by])
        scales = {name: _agreed_scale(greetings, name) for name in parameters["values"]}
        cuts = tuple((name, _agreed_cuts(greetings, name, scales[name])) for name in asked.banded(parameters["values"]))
    except (KeyError, TypeError, ValueError, IndexError):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None
    layout = Layout(group_by, tuple(scales.items()), asked.covariance, cuts)
    check_size(layout)
    return layout


def _agreed_scale(greetings: Mapping[int, Mapping[str, Any]], name: str) -> int:
    """The finest scale of a value, at which all owners' squares together must fit."""
    scale = max(int(found["values"][name][0]) for found in greetings.values())
    bound = 0
    for found in greetings.values():
        largest = int(found["values"][name][1]) * 10 ** (scale - int(found["values"][name][0]))
        bound += largest * largest * int(found["magnitude"])
    check_range(name, bound)
    return scale


def _agreed_cuts(greetings: Mapping[int, Mapping[str, Any]], name: str, scale: int) -> Cuts:
    """The owners' cuts at the agreed scale, which must be the same; the outer ends reach as far as any owner's."""
    declared = []
    for found in greetings.values():
        raised = 10 ** (scale - int(found["values"][name][0]))
        declared.append([int(edge) * raised for edge in found["bands"][name]])
    if any(edges[1:-1] != declared[0][1:-1] for edges in declared):
        raise EngineRefused(
            "GROUPING_NOT_A_BLOCK", f"The owners declare different bands of {name}; ask for its mean and variance."
        )
    return Cuts(scale, (min(edges[0] for edges in declared), *declared[0][1:-1], max(e[-1] for e in declared)))


def _declared(greetings: Mapping[int, Mapping[str, Any]], name: str) -> set[str]:
    return {str(category) for found in greetings.values() for category in found["categories"][name]}
