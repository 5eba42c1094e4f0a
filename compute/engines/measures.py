"""What joint statistics may tell of a group besides count, sum, mean and variance, and only where it is asked for.

- Covariance of two value columns: exact by the sum of products, rounded once.
- Histogram: persons by the column's declared bands (`bands.py`). `told` is how many persons it counts: those in blocks
  whose histogram is told.
- Quantile band: the declared band in which a quantile of the persons counted lies, from their histogram and
  nothing else. Never a value between the cuts: that would be a guess dressed as a figure.

A band reaches from its lower end to below its upper end; the last one includes it. Bands without anybody are absent,
as groups are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from compute.engines import bands
from compute.engines.base import PLACES, Total, write_decimal


@dataclass(frozen=True, slots=True)
class Measures:
    """What is asked for, from the request's `measures`; every column in it is one of the request's values."""

    covariance: tuple[tuple[str, str], ...] = ()
    histogram: tuple[str, ...] = ()
    quantiles: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def banded(self, values: Sequence[str]) -> tuple[str, ...]:
        """The values that are counted by bands, in the order of the request."""
        asked = {*self.histogram, *(name for name, _ in self.quantiles)}
        return tuple(name for name in values if name in asked)


@dataclass(frozen=True, slots=True)
class Cuts:
    """The bands of one column as all owners declare them: lowest bound, cuts, highest bound, as scaled integers."""

    scale: int
    edges: tuple[int, ...]

    @property
    def bands(self) -> int:
        """How many bands there are."""
        return len(self.edges) - 1

    def ends(self, band: int) -> dict[str, str]:
        """Where a band begins and ends, as decimals."""
        unit = 10**self.scale
        start, end = (write_decimal(Fraction(self.edges[band + i], unit), self.scale) for i in (0, 1))
        return {"from": start, "to": end}


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """What the buyer's sums say of one group: exact integers at the agreed scales."""

    values: Mapping[str, Total]
    products: Mapping[tuple[str, str], int]
    histograms: Mapping[str, Sequence[int]]


def read(parameters: Mapping[str, Any]) -> Measures:
    """The measures of a request's parameters; none where it names none."""
    asked = parameters.get("measures", {})
    return Measures(
        covariance=tuple((left, right) for left, right in asked.get("covariance", [])),
        histogram=tuple(asked.get("histogram", [])),
        quantiles=tuple((item["column"], tuple(item["probabilities"])) for item in asked.get("quantile_bands", [])),
    )


def describe(
    asked: Measures,
    groups: Mapping[tuple[str, ...], GroupTotals],
    *,
    group_by: Sequence[str],
    cuts: Mapping[str, Cuts],
) -> dict[str, list[dict[str, Any]]]:
    """The member `measures` of the result: a list for each measure that was asked for, sorted by group."""
    found: dict[str, list[dict[str, Any]]] = {}
    named = [(dict(zip(group_by, labels, strict=True)), groups[labels]) for labels in sorted(groups)]
    if asked.covariance:
        found["covariance"] = [
            {"group": group, "columns": list(pair), **_covariance(totals, pair)}
            for group, totals in named
            for pair in asked.covariance
            if totals.values[pair[0]].count
        ]
    if asked.histogram:
        found["histogram"] = [
            {"group": group, "column": name, **_histogram(totals.histograms[name], cuts[name])}
            for group, totals in named
            for name in asked.histogram
            if any(totals.histograms[name])
        ]
    if asked.quantiles:
        found["quantile_bands"] = [
            {"group": group, "column": name, **_quantile(totals.histograms[name], cuts[name], probability)}
            for group, totals in named
            for name, probabilities in asked.quantiles
            if any(totals.histograms[name])
            for probability in probabilities
        ]
    return found


def _covariance(totals: GroupTotals, pair: tuple[str, str]) -> dict[str, Any]:
    left, right = (totals.values[name] for name in pair)
    unit = 10 ** (left.scale + right.scale)
    covariance = Fraction(totals.products[pair], left.count * unit) - left.mean * right.mean
    return {"count": left.count, "covariance": write_decimal(covariance, PLACES)}


def _histogram(histogram: Sequence[int], cuts: Cuts) -> dict[str, Any]:
    counted = [{**cuts.ends(band), "count": count} for band, count in enumerate(histogram) if count]
    return {"told": sum(histogram), "bands": counted}


def _quantile(histogram: Sequence[int], cuts: Cuts, probability: str) -> dict[str, Any]:
    band = bands.holding(histogram, Fraction(probability))
    return {"probability": probability, "told": sum(histogram), **cuts.ends(band)}
