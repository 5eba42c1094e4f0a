"""Transition tables."""

from enum import StrEnum

import pytest

from exchange.kernel.errors import InvalidTransition
from exchange.kernel.states import Owner, Transitions


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    BRICKED = "bricked"


DOOR = Transitions(
    {
        Door.OPEN: frozenset({Door.SHUT}),
        Door.SHUT: frozenset({Door.OPEN, Door.BRICKED}),
        Door.BRICKED: frozenset(),
    },
    owners={Door.OPEN: Owner.BUYER, Door.SHUT: Owner.STAFF, Door.BRICKED: Owner.NOBODY},
)


def test_a_step_outside_the_table_is_refused_and_says_what_is_possible():
    with pytest.raises(InvalidTransition) as refusal:
        DOOR.check(Door.SHUT, Door.SHUT)

    assert "bricked, open" in refusal.value.message


def test_an_end_state_says_that_it_is_final():
    assert DOOR.is_final(Door.BRICKED)
    with pytest.raises(InvalidTransition, match="final"):
        DOOR.check(Door.BRICKED, Door.OPEN)


def test_sources_are_the_where_clause_of_a_conditional_update():
    assert DOOR.sources(Door.OPEN) == {Door.SHUT}
    assert DOOR.reachable(Door.OPEN) == set(Door)


def test_a_table_that_forgets_a_state_is_refused():
    with pytest.raises(ValueError):
        Transitions({Door.OPEN: frozenset()}, owners={Door.OPEN: Owner.BUYER})


def test_the_picture_has_every_step():
    assert DOOR.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    open --> shut",
        "    shut --> bricked",
        "    shut --> open",
        "    bricked --> [*]",
    ]
