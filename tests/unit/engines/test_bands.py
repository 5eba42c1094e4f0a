"""Declared bands: when a histogram is told, in which band a quantile lies, and what may be asked."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from compute.engines import bands, layout, measures, metadata, registry
from compute.engines.base import Level
from compute.engines.errors import EngineRefused
from compute.node import schemas
from compute.node.errors import DatasetInvalid
from compute.protocol import operations
from compute.protocol.shapes import DocumentInvalid
from tests.factories.engines import schema


@pytest.mark.parametrize(
    ("cells", "is_told"),
    [
        ([10, 10], True),
        ([10, 0, 25], True),
        ([10, 9], False),
        ([500, 1, 30], False),
        ([0, 0, 0], True),
    ],
)
def test_the_cells_of_a_block_are_told_all_or_none(cells, is_told):
    assert bands.told(cells, k=10) == (cells if is_told else [0] * len(cells))


def test_a_histogram_adds_up_the_cells_of_its_column():
    cells = [10, 20, 30, 40, 50, 0]  # two bands by three

    assert bands.histogram(cells, widths=[2, 3], place=0) == [60, 90]
    assert bands.histogram(cells, widths=[2, 3], place=1) == [50, 70, 30]
    assert bands.histogram([0, 0, 0, 40, 50, 0], widths=[2, 3], place=1) == [40, 50, 0]


def test_one_band_that_holds_everybody_is_not_told():
    assert bands.histogram([0, 0, 0, 40, 50, 0], widths=[2, 3], place=0) == [0, 0]


@pytest.mark.parametrize(
    ("probability", "band"), [("0.000001", 1), ("0.25", 1), ("0.250001", 2), ("0.5", 2), ("0.75", 2), ("0.999999", 4)]
)
def test_the_quantile_is_the_person_at_its_place(probability, band):
    assert bands.holding([0, 10, 20, 0, 10], Fraction(probability)) == band


def meta(cuts=(3000, 6000), **kwargs):
    blocks = {"district": [f"d{n}" for n in range(kwargs.pop("districts", 3))]}
    values = {"wage": (0, 0, 50_000), "months": (0, 0, 480)}
    return metadata.from_schema(schema(rows=100, blocks=blocks, values=values, bands={"wage": cuts} if cuts else None))


def parameters(**asked):
    return operations.joint_statistics(group_by=["district"], values=["wage", "months"], measures=asked)


@pytest.mark.parametrize(
    ("_case", "described", "asked", "code"),
    [
        ("no bands declared", meta(cuts=()), {"histogram": ["wage"]}, "GROUPING_NOT_A_BLOCK"),
        ("none of that column", meta(), {"histogram": ["months"]}, "GROUPING_NOT_A_BLOCK"),
        (
            "a quantile without bands",
            meta(),
            {"quantile_bands": [{"column": "months", "probabilities": ["0.5"]}]},
            "GROUPING_NOT_A_BLOCK",
        ),
        (
            "too many cells",
            meta(cuts=range(1, 64), districts=16_000),
            {"histogram": ["wage"]},
            "PARTITION_TOO_LARGE",
        ),
    ],
)
def test_what_is_not_declared_is_refused_by_the_schema_alone(_case, described, asked, code):
    question = {**parameters(**asked), "group_by": []}
    with pytest.raises(EngineRefused) as refused:
        registry.get("additive_sharing/1").check(question, {0: described}, min_group=10)

    assert refused.value.code == code


def test_what_is_declared_may_be_asked_and_is_a_group_of_its_own():
    engine, question = registry.get("additive_sharing/1"), parameters(histogram=["wage"])

    engine.check(question, {0: meta()}, min_group=10)

    assert engine.derive(question, rank=0) == {
        "district": Level.PLAINTEXT_AFTER_GROUP_BY,
        "wage": Level.PLAINTEXT_AFTER_GROUP_BY,
        "months": Level.PLAINTEXT_AFTER_AGGREGATE,
    }


def test_a_part_stays_below_its_largest_size():
    cuts = measures.Cuts(0, tuple(range(65)))
    wide = layout.Layout((("district", tuple(map(str, range(3_000)))),), (("wage", 0),), cuts=(("wage", cuts),))

    with pytest.raises(EngineRefused) as refused:
        layout.check_size(wide)

    assert refused.value.code == "PARTITION_TOO_LARGE"


BAD_MEASURES = {
    "empty": {},
    "unknown": {"median": ["wage"]},
    "one column": {"covariance": [["wage"]]},
    "with itself": {"covariance": [["wage", "wage"]]},
    "a pair twice": {"covariance": [["wage", "months"], ["months", "wage"]]},
    "not a value": {"histogram": ["district"]},
    "a column twice": {"histogram": ["wage", "wage"]},
    "cuts of its own": {"histogram": [{"column": "wage", "edges": ["0", "3001"]}]},
    "probability of one": {"quantile_bands": [{"column": "wage", "probabilities": ["1.0"]}]},
    "probability of nothing": {"quantile_bands": [{"column": "wage", "probabilities": ["0.0"]}]},
    "probability as a number": {"quantile_bands": [{"column": "wage", "probabilities": [0.5]}]},
    "one quantile column twice": {"quantile_bands": [{"column": "wage", "probabilities": ["0.5"]}] * 2},
}


@pytest.mark.parametrize("asked", BAD_MEASURES.values(), ids=BAD_MEASURES)
def test_measures_are_closed_and_bounded(asked):
    with pytest.raises(DocumentInvalid, match=r"parameters\.measures"):
        parameters(**asked)


def test_a_request_without_measures_is_what_it_was():
    assert set(operations.joint_statistics(group_by=[], values=["wage"])) == {
        "group_by",
        "values",
        "filters",
        "min_group",
    }


SCHEMA = {
    "dataset": {"encoding": "utf-8"},
    "columns": {"wage": {"type": "decimal", "scale": 2, "min": 0, "max": "50000.00"}},
}


def declared(cuts, **changed):
    return {**SCHEMA, "columns": {"wage": {**SCHEMA["columns"]["wage"], "bands": cuts, **changed}}}


def test_bands_are_declared_with_the_version():
    described = schemas.parse(declared([3000, "6000.50"])).describe()

    assert described["columns"][0]["bands"] == [300_000, 600_050]
    assert "bands" not in schemas.parse(SCHEMA).describe()["columns"][0]


@pytest.mark.parametrize(
    "cuts",
    [[0], [-1], [50_001], [6000, 3000], [3000, 3000], ["3000.001"], [3000.5], [True], "3000", list(range(1, 65))],
    ids=str,
)
def test_wrong_cuts_are_refused(cuts):
    with pytest.raises(DatasetInvalid) as refused:
        schemas.parse(declared(cuts))
    assert refused.value.reason == "SCHEMA_INVALID"


def test_text_has_no_bands():
    with pytest.raises(DatasetInvalid):
        schemas.parse({**SCHEMA, "columns": {"name": {"type": "text", "bands": [1]}}})


def test_without_measures_greeting_layout_and_numbers_are_what_they_were():
    context = SimpleNamespace(
        parameters=operations.joint_statistics(group_by=["district"], values=["wage"]), job_digest="0" * 64
    )
    greeting = layout.greeting(context, meta())

    agreed = layout.agree(context, {0: greeting})

    assert set(greeting) == {"job", "categories", "values", "magnitude"}
    assert agreed.describe() == {"group_by": [["district", ["d0", "d1", "d2"]]], "values": [["wage", 0]]}
    assert agreed.size == 9  # of each group a count, a sum, and a sum of squares
