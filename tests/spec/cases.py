"""The expectation tables of both operations: small worlds, and what is asked of them."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.factories.engines import write_dataset

AGES = ("20-29", "30-39", "40-49")


@dataclass(frozen=True)
class Owner:
    """One dataset: random people with a fixed seed."""

    people: range
    blocks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    weights: tuple[int, ...] | None = None
    seed: int = 1
    id_case: str = "X"
    bands: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it as a stored dataset version."""
        drawn = random.Random(self.seed)
        rows = []
        for person in self.people:
            row = {"person_id": f"99010119800101{person:03d}{self.id_case}"}
            for number, (name, categories) in enumerate(self.blocks.items()):
                row[name] = drawn.choices(categories, weights=self.weights if number == 0 else None)[0]
            for name, (scale, low, high) in self.values.items():
                row[name] = plain(drawn.randint(low, high), scale)
            rows.append(row)
        return write_dataset(path, rows, blocks=self.blocks, values=self.values, bands=self.bands)


def plain(number: int, scale: int) -> str:
    """A scaled integer as a canonical cell."""
    digits = str(abs(number)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if number < 0 else text


@dataclass(frozen=True)
class Case:
    """One row of a table; `cells` is how many cells a reader expects, counted by hand where it is telling."""

    _case: str
    owners: tuple[Owner, ...]
    group_by: tuple[str, ...] = ()
    values: tuple[str, ...] = ("base",)
    filters: tuple[dict[str, Any], ...] = ()
    min_group: int = 10
    cells: int | None = None
    measures: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self._case

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the request."""
        return {
            "group_by": list(self.group_by),
            "values": list(self.values),
            "filters": list(self.filters),
            "min_group": self.min_group,
            **({"measures": self.measures} if self.measures else {}),
        }


EAST_WEST = {"district": ("东区", "西区"), "age_band": AGES}
WEST_SOUTH = {"district": ("西区", "南区"), "age_band": AGES}
BASE = {"base": (2, -5_000, 5_000_000)}
EARNED = {"wage": (2, 0, 900_000), "months": (0, 0, 480)}

JOINT = (
    Case(
        "two cities with different districts, grouped and filtered",
        (Owner(range(400), EAST_WEST, BASE), Owner(range(400, 700), WEST_SOUTH, BASE, seed=2)),
        group_by=("district",),
        filters=({"column": "age_band", "in": ["20-29", "30-39"]},),
        cells=3,
    ),
    Case(
        "three owners, two values, scales that differ, negative numbers",
        tuple(
            Owner(
                range(start, start + 150),
                {"district": ("东区", "西区")},
                {"base": (scale, -900, 900), "months": (0, -12, 600)},
                seed=start,
            )
            for start, scale in ((0, 0), (150, 1), (300, 3))
        ),
        group_by=("district",),
        values=("base", "months"),
        cells=4,
    ),
    Case(
        "no grouping, and an owner with a single person, who is withheld",
        (Owner(range(200), EAST_WEST, BASE), Owner(range(200, 201), WEST_SOUTH, BASE)),
        cells=1,
    ),
    Case(
        "everybody withheld",
        (Owner(range(9), {}, BASE), Owner(range(9, 18), {}, BASE)),
        cells=0,
    ),
    Case(
        "the widest values that a dataset may declare",
        (
            Owner(range(60), {}, {"base": (0, -(10**15), 10**15)}),
            Owner(range(60, 120), {}, {"base": (0, -(10**15), 10**15)}, seed=5),
        ),
        cells=1,
    ),
    Case(
        "a larger k asked for by the buyer",
        (
            Owner(range(300), EAST_WEST, BASE, weights=(9, 1)),
            Owner(range(300, 600), EAST_WEST, BASE, weights=(9, 1), seed=3),
        ),
        group_by=("district", "age_band"),
        min_group=40,
        cells=3,
    ),
    Case(
        "covariance, histogram and quantile bands of three owners, one of whom has blocks too small for bands",
        (
            Owner(range(600), EAST_WEST, EARNED, bands={"wage": (200_000, 500_000), "months": (120,)}),
            Owner(range(600, 690), WEST_SOUTH, EARNED, bands={"wage": (200_000, 500_000), "months": (120,)}, seed=2),
            Owner(
                range(690, 990),
                {"district": ("东区",), "age_band": AGES},
                {"wage": (0, -20, 9_000), "months": (1, 0, 4_800)},
                bands={"wage": (2_000, 5_000), "months": (1_200,)},
                seed=3,
            ),
        ),
        group_by=("district",),
        values=("wage", "months"),
        measures={
            "covariance": [["wage", "months"]],
            "histogram": ["wage", "months"],
            "quantile_bands": [{"column": "wage", "probabilities": ["0.1", "0.25", "0.5", "0.999999"]}],
        },
        cells=6,
    ),
    Case(
        "covariance of the widest values that may be declared, without a group",
        tuple(
            Owner(
                range(start, start + 40),
                {},
                {"base": (0, -(10**15), 10**15), "other": (0, -(10**15), 10**15)},
                seed=start,
            )
            for start in (0, 40)
        ),
        values=("base", "other"),
        measures={"covariance": [["other", "base"]]},
        cells=2,
    ),
    Case(
        "a histogram that nobody may tell: both owners have one person in the highest band",
        tuple(
            Owner(range(start, start + 30), {}, {"base": (0, 0, 2_900)}, bands={"base": (2_850,)}, seed=seed)
            for start, seed in ((0, 6), (30, 14))
        ),
        values=("base",),
        measures={"histogram": ["base"], "quantile_bands": [{"column": "base", "probabilities": ["0.5"]}]},
        cells=1,
    ),
)

VALUES = {"wage": (2, -10_000, 9_000_000), "months": (0, 0, 600)}
ALIGNED = (
    Case(
        "groups of one side over values of the other, x and X the same person, a rare block withheld",
        (
            Owner(range(500), EAST_WEST, weights=(80, 1)),
            Owner(range(120, 700), {}, VALUES, seed=4, id_case="x"),
        ),
        group_by=("district", "age_band"),
        values=("wage", "months"),
        cells=6,
    ),
    Case(
        "nobody in both",
        (Owner(range(100), EAST_WEST), Owner(range(100, 200), {}, VALUES)),
        group_by=("district",),
        values=("wage",),
        cells=0,
    ),
    Case(
        "one person in both",
        (Owner(range(100), EAST_WEST), Owner(range(99, 200), {}, VALUES)),
        values=("wage",),
        cells=0,
    ),
    Case(
        "no grouping, filtered, the largest numbers the circuit takes",
        (Owner(range(300), EAST_WEST), Owner(range(120, 420), {}, {"wage": (0, -(2**31) + 1, 2**31 - 1)}, seed=6)),
        values=("wage",),
        filters=({"column": "district", "in": ["西区"]},),
        cells=1,
    ),
    Case(
        "95 of 100 match: the five who do not could be told by a difference, so the block is withheld",
        (Owner(range(100)), Owner(range(5, 200), {}, VALUES)),
        values=("wage",),
        cells=0,
    ),
    Case(
        "everybody matches: no rest that could be told",
        (Owner(range(100)), Owner(range(200), {}, VALUES)),
        values=("wage",),
        cells=1,
    ),
)
