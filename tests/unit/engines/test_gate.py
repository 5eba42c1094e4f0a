"""The fixed-block gate: what may be asked, and that nothing smaller than a block can be told apart."""

import pytest

from compute.engines import gate, metadata
from compute.engines.errors import EngineRefused
from tests.factories.engines import schema

BLOCKS = {"district": ("north", "south"), "age_band": ("young", "old")}


def meta(**kwargs):
    values = {"base": (2, 0, 100_00)}
    return metadata.from_schema(schema(rows=1000, blocks=BLOCKS, values=values, **kwargs))


@pytest.mark.parametrize(
    ("_case", "group_by", "filters", "min_group", "code"),
    [
        ("a value column", ["base"], [], 10, "GROUPING_NOT_A_BLOCK"),
        ("the identifier", ["person_id"], [], 10, "GROUPING_NOT_A_BLOCK"),
        ("a column that is not there", ["wage"], [], 10, "COLUMN_UNKNOWN"),
        ("a filter on a value", [], [{"column": "base", "in": ["1.00"]}], 10, "FILTER_NOT_A_BLOCK"),
        ("a filter on one person", [], [{"column": "person_id", "in": ["p1"]}], 10, "FILTER_NOT_A_BLOCK"),
        ("a category not declared", [], [{"column": "district", "in": ["west"]}], 10, "FILTER_NOT_A_BLOCK"),
        ("too small a k", ["district"], [], 9, "MIN_GROUP_TOO_SMALL"),
    ],
)
def test_a_query_that_is_not_a_union_of_blocks_is_refused(_case, group_by, filters, min_group, code):
    with pytest.raises(EngineRefused) as refused:
        gate.check_query(meta(), group_by=group_by, filters=filters, min_group=min_group)

    assert refused.value.code == code


def test_a_union_of_blocks_is_let_through():
    gate.check_query(
        meta(), group_by=["age_band", "district"], filters=[{"column": "district", "in": ["south"]}], min_group=10
    )


def test_a_category_that_another_party_declares_selects_nobody_here():
    filters = [{"column": "district", "in": ["west"]}]
    gate.check_query(meta(), group_by=[], filters=filters, min_group=10, values_declared_elsewhere=True)

    selection = gate.select(meta().dimensions(), group_by=[], filters=filters)

    assert set(selection.group_of) == {gate.FILTERED}


def test_blocks_are_numbered_with_the_last_dimension_running_fastest():
    selection = gate.select(
        meta().dimensions(),
        group_by=[("age_band", ("old", "young"))],
        filters=[{"column": "district", "in": ["south"]}],
    )

    # blocks: north-young, north-old, south-young, south-old
    assert selection.group_of == (gate.FILTERED, gate.FILTERED, 1, 0)
    assert selection.labels() == [("old",), ("young",)]


def test_the_strictest_k_wins():
    assert gate.effective_k([meta(min_group=25), meta()], min_group=12) == 25
    assert gate.effective_k([meta()], min_group=12) == 12
    assert gate.effective_k([meta(min_group=3)], min_group=3) == 10


def test_too_many_groups_are_refused():
    with pytest.raises(EngineRefused) as refused:
        gate.check_groups([range(101), range(100)])

    assert refused.value.code == "PARTITION_TOO_LARGE"


def test_small_blocks_are_not_released():
    assert gate.released([0, 9, 10, 11], k=10) == [False, False, True, True]
