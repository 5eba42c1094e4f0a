"""Random tables and requests against the reference, and analysts who combine all answers they can get.

All of the engine but its processes and sockets, which tests/spec runs.
"""

import base64
import json
import random
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines import additive, aggregates, bands, gate, layout, measures, metadata, reference, registry, shares
from compute.engines.base import PART_TYPE, Table
from compute.protocol.operations import JOINT_STATISTICS, joint_statistics
from compute.protocol.shapes import DocumentInvalid
from ledger.proofs import statements
from tests.factories.engines import schema, write_dataset
from tests.spec.cases import plain

K = 10
DISTRICTS = ("东", "南", "西")
AGES = ("a", "b")
CUTS = {"base": (-10, 50), "months": (12, 13, 24)}  # at scale 0
BOUNDS = {"base": (-99, 99), "months": (0, 60)}
MEASURES = {
    "covariance": [["months", "base"]],
    "histogram": ["base", "months"],
    "quantile_bands": [{"column": "months", "probabilities": ["0.01", "0.5", "0.75"]}],
}


class Owner:
    """One owner's table: whole numbers of its own scales, in blocks of its own categories."""

    def __init__(self, rows: list[tuple[str, str, int, int]], *, districts: tuple[str, ...], scale: int) -> None:
        self.rows = rows
        self.blocks = {"district": districts, "age": AGES}
        self.scales = {"base": scale, "months": 0}
        self.values = {
            name: (raised, *(bound * 10**raised for bound in BOUNDS[name])) for name, raised in self.scales.items()
        }
        self.cuts = {name: [cut * 10 ** self.scales[name] for cut in cuts] for name, cuts in CUTS.items()}
        described = schema(rows=len(rows), blocks=self.blocks, values=self.values, bands=self.cuts)
        self.meta = metadata.from_schema(described)

    def write(self, path: Path) -> Path:
        rows = [
            {"person_id": str(i), "district": d, "age": a, "base": plain(b, self.scales["base"]), "months": str(m)}
            for i, (d, a, b, m) in enumerate(self.rows)
        ]
        return write_dataset(path, rows, blocks=self.blocks, values=self.values, bands=self.cuts)

    def tables(self, *, cut: int) -> list[Table]:
        """The rows as two tables."""
        districts = self.blocks["district"]
        block_of = np.array([districts.index(d) * 2 + AGES.index(a) for d, a, _, _ in self.rows], np.int64)
        values = {
            name: np.array([row[place] for row in self.rows], np.int64) for place, name in ((2, "base"), (3, "months"))
        }
        return [
            Table(self.meta, block_of[part], {name: column[part] for name, column in values.items()})
            for part in (slice(None, cut), slice(cut, None))
        ]

    def numbers(self, agreed: layout.Layout, parameters: dict[str, Any], *, cut: int = 7) -> list[int]:
        """What this owner shares."""
        aggregator = aggregates.Aggregator(
            self.meta, values=parameters["values"], products=agreed.products, is_banded=bool(agreed.cuts)
        )
        for table in self.tables(cut=cut):
            aggregator.add(table)
        selection = gate.select(self.meta.dimensions(), group_by=agreed.group_by, filters=parameters["filters"])
        return additive.local_totals(agreed, selection, totals=aggregator.totals(), meta=self.meta, k=K)


def agree(owners: list[Owner], parameters: dict[str, Any]) -> layout.Layout:
    """The layout of a run of these owners."""
    context: Any = SimpleNamespace(parameters=parameters, job_digest="0" * 64)
    greetings = {rank: json.loads(json.dumps(layout.greeting(context, o.meta))) for rank, o in enumerate(owners)}
    return layout.agree(context, greetings)


def opened(owners: list[Owner], parameters: dict[str, Any], *, cut: int) -> dict[str, Any]:
    """The result that the buyer opens."""
    agreed, job = agree(owners, parameters), {"parties": [{}] * len(owners), "min_group": K}
    vectors = [
        shares.split(
            owner.numbers(agreed, parameters, cut=cut), parties=len(owners), random_bytes=random.Random(7).randbytes
        )
        for owner in owners
    ]
    parts = [
        {
            "type": PART_TYPE,
            "engine": "additive_sharing/1",
            "job": statements.digest(job),
            "rank": rank,
            "layout": agreed.describe(),
            "shares": base64.b64encode(shares.pack(shares.add([vector[rank] for vector in vectors]))).decode(),
        }
        for rank in range(len(owners))
    ]
    data = [json.dumps(part).encode() for part in parts]
    return registry.get("additive_sharing/1").open(data, job=job, request={"parameters": parameters}).describe()


@st.composite
def owner(draw: st.DrawFn, *, districts: tuple[str, ...] = ()) -> Owner:
    """Few different values and many people, so that blocks and bands of k or more are common, and of less as well."""
    scale = draw(st.integers(0, 2))
    districts = districts or tuple(draw(st.lists(st.sampled_from(DISTRICTS), unique=True, min_size=1)))
    value = st.sampled_from([-99, -11, -10, 0, 49, 50, 99]).map(lambda number: number * 10**scale)
    kind = st.tuples(st.sampled_from(districts), st.sampled_from(AGES), value, st.sampled_from([0, 11, 12, 13, 24, 60]))
    repeated = draw(st.lists(st.tuples(kind, st.sampled_from([2, 9, 10, 11, 14, 25])), min_size=1, max_size=9))
    rows = [row for row, times in repeated for _ in range(times)]
    return Owner(rows, districts=districts, scale=scale)


@settings(max_examples=60, deadline=None)
@given(
    owners=st.lists(owner(), min_size=2, max_size=3),
    group_by=st.lists(st.sampled_from(["district", "age"]), unique=True),
    is_filtered=st.booleans(),
    asked=st.sets(st.sampled_from(list(MEASURES))),
    cut=st.integers(0, 100),
)
def test_what_is_opened_equals_the_reference(owners, group_by, is_filtered, asked, cut):
    filters = [{"column": "age", "in": ["b"]}] if is_filtered else []
    chosen = {name: MEASURES[name] for name in sorted(asked)} or None
    parameters = joint_statistics(group_by=group_by, values=["base", "months"], filters=filters, measures=chosen)

    found = opened(owners, parameters, cut=cut)

    with TemporaryDirectory() as directory:
        datasets = [one.write(Path(directory) / str(number)) for number, one in enumerate(owners)]
        expected = reference.statistics(JOINT_STATISTICS, parameters=parameters, datasets=datasets, min_group=K)
    assert found == expected
    told = [band["count"] for item in found.get("measures", {}).get("histogram", []) for band in item["bands"]]
    assert all(count >= K for count in [*told, *(cell["count"] for cell in found["cells"])])


# An analyst who has everything but one owner's own numbers: all other owners help.


def answers(one: Owner, *, group_by: list[str], filters: list[dict[str, Any]], values: list[str]) -> dict[Any, Any]:
    """One owner's totals of one request, by group."""
    asked = {"histogram": values}
    parameters = joint_statistics(group_by=group_by, values=values, filters=filters, measures=asked)
    agreed = agree([one], parameters)
    return agreed.totals(one.numbers(agreed, parameters))


@settings(max_examples=60, deadline=None)
@given(
    one=owner(districts=DISTRICTS),
    first=st.sets(st.sampled_from(DISTRICTS), min_size=1),
    more=st.sets(st.sampled_from(DISTRICTS)),
)
def test_d2_two_answers_differ_by_nobody_or_by_k_persons_in_every_band_and_in_what_is_not_told(one, first, more):
    narrow, wide = ({"column": "district", "in": sorted(found)} for found in (first, first | more))
    for name in ("base", "months"):
        few = answers(one, group_by=[], filters=[narrow], values=[name])[()]
        many = answers(one, group_by=[], filters=[wide], values=[name])[()]
        difference = [b - a for a, b in zip(few.histograms[name], many.histograms[name], strict=True)]
        untold = [found.values[name].count - sum(found.histograms[name]) for found in (few, many)]
        assert all(number == 0 or number >= K for number in [*difference, untold[1] - untold[0]])


LATE = (0, 1, 2, 3)  # months late, each a band of its own
BLOCKS_LATE = {"南": (20, 20, 20, 20), "东": (25, 3, 17, 15), "西": (30, 4, 7, 12)}


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Owner:
    monkeypatch.delitem(CUTS, "base")
    monkeypatch.setitem(CUTS, "months", LATE[1:])
    monkeypatch.setitem(BOUNDS, "months", (0, 3))
    rows = [
        (district, "a", 0, late)
        for district, counts in BLOCKS_LATE.items()
        for late, count in zip(LATE, counts, strict=True)
        for _ in range(count)
    ]
    return Owner(rows, districts=DISTRICTS, scale=0)


def recovered(one: Owner) -> dict[str, list[tuple[int, ...]]]:
    """All histograms of each district that agree with its count, sum, squares and the bands that were told."""
    found = {}
    for (district,), totals in answers(one, group_by=["district"], filters=[], values=["months"]).items():
        count, told = totals.values["months"].count, totals.histograms["months"]
        ranges = [[number] if number else range(count - sum(told) + 1) for number in told[1:]]
        found[district] = [
            guess
            for rest in product(*ranges)
            for guess in [(count - sum(rest), *rest)]
            if guess[0] in ([told[0]] if told[0] else range(count + 1))
            and sum(n * x for n, x in zip(guess, LATE, strict=True)) == totals.values["months"].total
            and sum(n * x * x for n, x in zip(guess, LATE, strict=True)) == totals.values["months"].squares
        ]
    return found


def test_d2_no_small_band_is_recovered_from_totals(late):
    found = recovered(late)

    assert found["南"] == [(20, 20, 20, 20)]  # told
    assert len(found["东"]) > 1
    assert len(found["西"]) > 1


def _small_ones_left_out(cells: list[int], *, k: int) -> list[int]:
    return [count if count >= k else 0 for count in cells]


def _with_a_second_one(cells: list[int], *, k: int) -> list[int]:
    """The complementary rule of textbooks: small bands leave with others until k persons have left."""
    left: list[int] = []
    for band in sorted(range(len(cells)), key=lambda band: cells[band]):
        if cells[band] < k or (left and (len(left) < 2 or sum(cells[other] for other in left) < k)):
            left.append(band)
    return [0 if band in left else count for band, count in enumerate(cells)]


@pytest.mark.parametrize(
    ("rule", "districts"),
    [
        (lambda cells, *, k: list(cells), {"东", "西"}),
        (_small_ones_left_out, {"东", "西"}),
        (_with_a_second_one, {"西"}),
    ],
    ids=["no rule", "small bands left out", "and a second one with them"],
)
def test_with_a_weaker_rule_small_bands_are_recovered(late, monkeypatch, rule, districts):
    monkeypatch.setattr(bands, "told", rule)

    found = recovered(late)

    for district in districts:
        assert found[district] == [BLOCKS_LATE[district]]


def test_with_blocks_ungated_two_filters_isolate_two_persons(monkeypatch):
    rows = [("东", "a", 0, months) for months in (0, 60) for _ in range(10)] + [("东", "b", 0, 12), ("东", "b", 0, 13)]
    one = Owner(rows, districts=("东",), scale=0)
    young = [{"column": "age", "in": ["a"]}]

    def difference() -> list[int]:
        few, many = (answers(one, group_by=[], filters=f, values=["months"])[()] for f in (young, []))
        return [b - a for a, b in zip(few.histograms["months"], many.histograms["months"], strict=True)]

    assert difference() == [0, 0, 0, 0]
    monkeypatch.setattr(gate, "released", lambda counts, *, k: [True for _ in counts])
    monkeypatch.setattr(bands, "told", lambda cells, *, k: list(cells))
    assert difference() == [0, 1, 1, 0]


def test_two_columns_that_say_nearly_the_same_are_not_subtracted_from_each_other(monkeypatch):
    """20 persons have less than 12 months, 21 less than 50 in the other column: who is the one between?"""
    monkeypatch.setitem(CUTS, "base", (50,))
    monkeypatch.setitem(CUTS, "months", (12,))
    rows = [("东", "a", low, months) for low, months in ((0, 0), (60, 20)) for _ in range(20)] + [("东", "a", 49, 13)]
    one = Owner(rows, districts=("东",), scale=0)

    def below() -> list[int]:
        return [
            answers(one, group_by=[], filters=[], values=[name])[()].histograms[name][0] for name in ("base", "months")
        ]

    assert below() == [0, 0]
    monkeypatch.setattr(
        bands, "told", lambda cells, *, k: list(cells)
    )  # each column for itself has 20 or more in a band
    assert below() == [21, 20]


def test_a_request_cannot_name_cuts_of_its_own():
    """Cuts that a request chose would differ by the persons between 3000 and 3001: there is no place for them."""
    with pytest.raises(DocumentInvalid):
        joint_statistics(
            group_by=[], values=["base"], measures={"histogram": [{"column": "base", "edges": ["0", "3001"]}]}
        )
    assert measures.read({"measures": {"histogram": ["base"]}}).histogram == ("base",)
