"""Tier 2 before any row is opened: what a noised query asks, and how far one person can move each number of it.

Neighbours: two tables of which one has one row more. One person is one row, because the id column is unique; without
an id column nobody can say that, and the query is refused. A person is in at most one group of a query, so that the
vector over all groups moves by what one person adds to one group:

    count            1
    sum of x         the larger of |min| and |max| that the schema declares; values are clamped to them

In 10^-scale units: wages from 0 to 60,000.00 at scale 2 move a sum by at most 6,000,000 cents. Epsilon is shared
equally by the count and the m sums: with epsilon 0.1 and one value each gets 0.05, so the count's noise has scale
1 / 0.05 = 20 and the sum's 6,000,000 / 0.05 = 120,000,000 (1.2 million yuan). Replacing a person's row by another is
one row less and one more: twice the epsilon.

Gaussian: the same by rho of concentrated privacy. With delta d, rho = (sqrt(ln(1/d) + eps) - sqrt(ln(1/d)))^2, shared
equally; the standard deviation of a number of sensitivity s is s * sqrt((1 + m) / (2 rho)).

Sources: Dwork and Roth, The Algorithmic Foundations of Differential Privacy, 2014 (composition); Bun and Steinke,
Concentrated Differential Privacy, TCC 2016 (rho to epsilon and delta); Canonne, Kamath and Steinke, The Discrete
Gaussian for Differential Privacy, NeurIPS 2020.

Pure Python: the node's daemon uses it for admission and for the dry run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from compute.engines import gate
from compute.engines.errors import EngineRefused
from compute.engines.metadata import DatasetMeta
from compute.protocol import privacy

COUNT = ""  # the name of the number of persons among the components
MAX_SCALE = 2**53  # beyond it noise could leave 64 bits, which OpenDP draws in
_MARGIN = 1e-9  # rho is rounded down by this share, so that no rounding of a square root can spend more


@dataclass(frozen=True, slots=True)
class Component:
    """One number that is released for each group: how far one person can move it, and the scale of its noise."""

    name: str
    sensitivity: int
    scale: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A noised query over one owner's table, in canonical order: group columns and values sorted by name."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    components: tuple[Component, ...]
    mechanism: str
    epsilon_micro: int
    delta_pico: int

    @property
    def labels(self) -> list[tuple[str, ...]]:
        """The categories of each group, the last column running fastest: the whole declared domain."""
        return gate.labels([categories for _, categories in self.groups])

    def describe(self) -> dict[str, Any]:
        """The plan as plain values, for the dry run and for whoever draws the noise."""
        return {
            "groups": [[name, list(categories)] for name, categories in self.groups],
            "components": [[item.name, item.sensitivity, item.scale] for item in self.components],
            "mechanism": self.mechanism,
            "epsilon_micro": self.epsilon_micro,
            "delta_pico": self.delta_pico,
        }


def plan(meta: DatasetMeta, parameters: Mapping[str, Any]) -> Plan:
    """Check a noised query against one owner's table, and work out sensitivities and scales.

    A query without groups and values, such as the number of persons in common, is its count alone.

    Raises:
        EngineRefused: IDENTIFIER_MISSING, COLUMN_UNKNOWN, VALUE_NOT_NUMERIC, GROUPING_NOT_A_BLOCK for a group
            column that is no category, FILTER_NOT_A_BLOCK for a filter that fits no type, VALUE_RANGE_TOO_WIDE,
            PARTITION_TOO_LARGE. None depends on a row.
    """
    if meta.id is None:
        raise EngineRefused("IDENTIFIER_MISSING", "Without an id column nobody can say that one person is one row.")
    groups = tuple((name, _categories(meta, name)) for name in sorted(parameters.get("group_by", ())))
    gate.check_groups([categories for _, categories in groups])
    for item in parameters.get("filters", ()):
        _check_filter(meta, item)
    names = sorted(parameters.get("values", ()))
    sensitivities = [1, *(max(1, meta.numeric(name).largest) for name in names)]
    epsilon, delta = privacy.cost(parameters["privacy"])
    mechanism = parameters["privacy"]["mechanism"]
    if mechanism == privacy.REVIEWED:  # two persons let it through: no noise, and no epsilon that could be stated
        exact = tuple(Component(name, moved, 0.0) for name, moved in zip([COUNT, *names], sensitivities, strict=True))
        return Plan(groups, exact, mechanism, 0, 0)
    scales = noise_scales(sensitivities, mechanism=mechanism, epsilon_micro=epsilon, delta_pico=delta)
    if max(scales) > MAX_SCALE:
        raise EngineRefused(
            "VALUE_RANGE_TOO_WIDE", "The declared range of a value is too wide for this epsilon; narrow its bounds."
        )
    components = tuple(map(Component, [COUNT, *names], sensitivities, scales))
    return Plan(groups, components, mechanism, epsilon, delta)


def noise_scales(sensitivities: Sequence[int], *, mechanism: str, epsilon_micro: int, delta_pico: int) -> list[float]:
    """The scale of each number's noise; rounded up, so that what is spent is never above epsilon."""
    if mechanism == privacy.LAPLACE:
        share = Fraction(epsilon_micro, privacy.MICRO) / len(sensitivities)
        return [_float_above(Fraction(found) / share) for found in sensitivities]
    rho = rho_of(epsilon_micro, delta_pico) / len(sensitivities)
    return [_float_above(Fraction(found) / Fraction(math.sqrt(2 * rho))) for found in sensitivities]


def rho_of(epsilon_micro: int, delta_pico: int) -> float:
    """The rho of concentrated privacy that epsilon and delta allow, rounded down."""
    log = math.log(privacy.PICO / delta_pico)
    epsilon = epsilon_micro / privacy.MICRO
    return float((math.sqrt(log + epsilon) - math.sqrt(log)) ** 2 * (1 - _MARGIN))


def _categories(meta: DatasetMeta, name: str) -> tuple[str, ...]:
    column = meta.column(name)
    if column.type != "category":
        raise EngineRefused(
            "GROUPING_NOT_A_BLOCK", f"Column {name} declares no categories; group by a category column."
        )
    return column.categories


def _check_filter(meta: DatasetMeta, item: Mapping[str, Any]) -> None:
    column = meta.column(item["column"])
    if not (column.type == "category" if "in" in item else column.is_numeric):
        raise EngineRefused(
            "FILTER_NOT_A_BLOCK",
            f"Filter {column.name} by categories that its schema declares, or by a range of declared numbers.",
        )


def _float_above(value: Fraction) -> float:
    """A float that is not below the fraction, with room for the rounding of whoever divides by it."""
    return math.nextafter(math.nextafter(float(value), math.inf), math.inf)
