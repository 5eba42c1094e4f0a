"""Column control levels: what a program makes of a column, for whom, and that the strictest owner wins."""

from itertools import product

import pytest

from compute.protocol import control_levels as levels
from compute.protocol.control_levels import Level, Use

AFTER = {
    Use.JOIN_KEY: Level.PLAINTEXT_AFTER_JOIN,
    Use.COMPARE: Level.PLAINTEXT_AFTER_COMPARE,
    Use.GROUP_KEY: Level.PLAINTEXT_AFTER_GROUP_BY,
    Use.AGGREGATE: Level.PLAINTEXT_AFTER_AGGREGATE,
}


@pytest.mark.parametrize(("use", "level"), AFTER.items())
def test_each_use_frees_its_own_level(use, level):
    assert levels.after(level, use) == Level.PLAINTEXT
    assert levels.after(level, Use.COMPUTE) == level


def test_nothing_frees_what_is_encrypted_only_or_unknown():
    for level, uses in product((Level.ENCRYPTED_ONLY, Level.UNKNOWN), product(Use, repeat=3)):
        assert levels.derive(level, uses) == level


def test_a_wage_may_be_added_up_and_not_grouped_by_or_joined_on():
    wage = Level.PLAINTEXT_AFTER_AGGREGATE
    assert levels.derive(wage, [Use.COMPUTE, Use.AGGREGATE]) == Level.PLAINTEXT
    for use in (Use.GROUP_KEY, Use.JOIN_KEY, Use.COMPARE):
        assert levels.derive(wage, [use]) == wage


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([Level.PLAINTEXT, Level.PLAINTEXT], Level.PLAINTEXT),
        ([Level.PLAINTEXT, Level.PLAINTEXT_AFTER_JOIN], Level.PLAINTEXT_AFTER_JOIN),
        ([Level.PLAINTEXT_AFTER_AGGREGATE, Level.PLAINTEXT_AFTER_JOIN], Level.ENCRYPTED_ONLY),
        ([Level.PLAINTEXT, Level.ENCRYPTED_ONLY], Level.ENCRYPTED_ONLY),
        ([Level.ENCRYPTED_ONLY, Level.UNKNOWN, Level.PLAINTEXT], Level.UNKNOWN),
        ([], Level.PLAINTEXT),
    ],
)
def test_the_strictest_wins(found, expected):
    assert levels.strictest(found) == expected


def test_the_strictest_is_never_freed_by_what_does_not_free_every_one():
    """For any two levels and any program: if the two together end open, each of them does alone."""
    for left, right in product(Level, repeat=2):
        for uses in product(Use, repeat=2):
            if levels.derive(levels.strictest([left, right]), uses) == Level.PLAINTEXT:
                assert levels.derive(left, uses) == levels.derive(right, uses) == Level.PLAINTEXT


def test_an_output_of_several_owners_ends_open_only_if_all_of_them_allow_it():
    uses = {"a.wage": [Use.AGGREGATE], "b.wage": [Use.AGGREGATE]}
    both = {"a.wage": Level.PLAINTEXT_AFTER_AGGREGATE, "b.wage": Level.PLAINTEXT_AFTER_AGGREGATE}

    assert levels.output(both, uses) == Level.PLAINTEXT
    assert levels.output({**both, "b.wage": Level.ENCRYPTED_ONLY}, uses) == Level.ENCRYPTED_ONLY
    assert levels.output({"a.wage": Level.PLAINTEXT}, uses) == Level.UNKNOWN  # the other owner said nothing


def test_what_a_level_permits_of_what_an_engine_shows():
    permitted = {
        (declared, outcome) for declared, outcome in product(Level, repeat=2) if levels.permits(declared, outcome)
    }

    inside = {(declared, Level.ENCRYPTED_ONLY) for declared in Level if declared != Level.UNKNOWN}
    open_ = {(Level.PLAINTEXT, outcome) for outcome in Level if outcome != Level.UNKNOWN}
    same = {(level, level) for level in AFTER.values()}
    added_up = {
        (Level.PLAINTEXT_AFTER_GROUP_BY, Level.PLAINTEXT_AFTER_AGGREGATE),
        (Level.PLAINTEXT_AFTER_COMPARE, Level.PLAINTEXT_AFTER_AGGREGATE),
    }
    assert permitted == inside | open_ | same | added_up


DESCRIPTION = {
    "id": "person",
    "columns": [
        {"name": "person", "type": "text"},
        {"name": "note", "type": "text"},
        {"name": "district", "type": "category", "values": ["a"]},
        {"name": "wage", "type": "integer"},
        {"name": "banded", "type": "integer", "bands": [10]},
        {"name": "secret", "type": "integer", "level": "encrypted_only"},
        {"name": "for_one", "type": "integer", "level": {"default": "encrypted_only", "urn:x": "plaintext"}},
    ],
}


def test_levels_that_nobody_declared():
    found = {
        item["name"]: str(levels.declared(item, recipient="urn:x", is_id=item["name"] == "person"))
        for item in DESCRIPTION["columns"]
    }
    assert found == {
        "person": "encrypted_only",
        "note": "encrypted_only",
        "district": "plaintext_after_group_by",
        "wage": "plaintext_after_aggregate",
        "banded": "plaintext_after_group_by",
        "secret": "encrypted_only",
        "for_one": "plaintext",
    }


def test_a_level_counts_for_the_recipient_it_names():
    shown = {"for_one": Level.PLAINTEXT_AFTER_AGGREGATE, "wage": Level.PLAINTEXT_AFTER_AGGREGATE}

    assert levels.refused(DESCRIPTION, shown, recipient="urn:x") == {}
    assert levels.refused(DESCRIPTION, shown, recipient="urn:y") == {"for_one": Level.ENCRYPTED_ONLY}
    assert levels.refused(DESCRIPTION, {"nowhere": Level.ENCRYPTED_ONLY}, recipient="urn:x") == {
        "nowhere": Level.UNKNOWN
    }
