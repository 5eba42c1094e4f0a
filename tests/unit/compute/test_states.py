"""The state tables: what leads where, and the page drawn from them."""

from pathlib import Path

import pytest

from compute.states import BEFORE_DISPATCH, COMPUTATION, OPEN_TASKS, TASK, ComputationState, TaskState
from exchange.kernel.errors import InvalidTransition

PAGE = Path(__file__).parents[3] / "docs" / "states" / "computation.md"
FINAL = {"released", "withdrawn", "rejected", "expired", "failed", "withheld"}


def test_a_request_can_reach_every_state():
    assert COMPUTATION.reachable(ComputationState.REQUESTED) == set(ComputationState)


def test_the_end_states_are_these():
    assert {state for state in ComputationState if COMPUTATION.is_final(state)} == FINAL


def test_nothing_is_sealed_without_having_been_executed():
    assert COMPUTATION.sources(ComputationState.SEALED) == {ComputationState.EXECUTING}
    assert COMPUTATION.sources(ComputationState.RELEASED) == {ComputationState.SEALED}
    assert COMPUTATION.sources(ComputationState.AUTHORIZED) == {ComputationState.CONSENTING}


def test_a_charged_result_cannot_be_withheld():
    with pytest.raises(InvalidTransition, match="sealed cannot become withheld"):
        COMPUTATION.check(ComputationState.SEALED, ComputationState.WITHHELD)


@pytest.mark.parametrize("state", BEFORE_DISPATCH)
def test_before_dispatch_the_buyer_may_withdraw_and_a_revocation_withholds(state):
    assert COMPUTATION.can(state, ComputationState.WITHDRAWN)
    assert COMPUTATION.can(state, ComputationState.WITHHELD)


def test_only_a_claim_goes_back_to_waiting():
    assert TASK.sources(TaskState.PENDING) == {TaskState.CLAIMED}


@pytest.mark.parametrize("state", OPEN_TASKS)
def test_an_open_task_can_be_cancelled(state):
    assert TASK.can(state, TaskState.CANCELLED)


def test_the_page_shows_the_tables_as_they_are():
    page = PAGE.read_text()

    assert f"```mermaid\n{COMPUTATION.mermaid()}```" in page
    assert f"```mermaid\n{TASK.mermaid()}```" in page
