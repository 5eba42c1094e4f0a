"""The state tables: what leads where, and the page drawn from them."""

from pathlib import Path

import pytest

from contracts.states import CONTRACT, ENDED, GRANT, RESERVATION, ContractState, ReservationState
from exchange.kernel.errors import InvalidTransition

PAGE = Path(__file__).parents[3] / "docs" / "states" / "contract.md"


def test_a_draft_can_reach_every_state():
    assert CONTRACT.reachable(ContractState.DRAFT) == set(ContractState)


def test_nothing_is_in_force_without_signatures_and_money():
    assert CONTRACT.sources(ContractState.EFFECTIVE) == {ContractState.FUNDED, ContractState.SUSPENDED}
    assert CONTRACT.sources(ContractState.FUNDED) == {ContractState.SIGNED}
    assert CONTRACT.sources(ContractState.SIGNED) == {ContractState.SIGNING}


def test_what_has_ended_only_closes():
    for state in ENDED:
        assert [to for to in ContractState if CONTRACT.can(state, to)] == [ContractState.CLOSED]
    with pytest.raises(InvalidTransition, match="revoked cannot become effective"):
        CONTRACT.check(ContractState.REVOKED, ContractState.EFFECTIVE)


def test_a_reservation_is_resolved_once():
    for state in set(ReservationState) - {ReservationState.PENDING}:
        assert RESERVATION.is_final(state)


def test_the_page_shows_the_tables_as_they_are():
    page = PAGE.read_text()

    for table in (CONTRACT, RESERVATION, GRANT):
        assert f"```mermaid\n{table.mermaid()}```" in page
