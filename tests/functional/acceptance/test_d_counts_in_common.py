"""Scenario (d), two tables' persons in common: counted exactly once, then with noise from both owners' budgets (D3).

The second version of one table has one person more, which is in the other table, too: two exact numbers would say so.
"""

import json

import pytest

from compute.protocol import operations
from exchange.runner import people
from exchange.runner.world import member

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

OWNERS = ("civil", "social")
COLUMNS = {"person_id": {"type": "text"}, "months": {"type": "integer", "min": 0, "max": 480}}
LAPLACE = {"mechanism": "discrete_laplace", "epsilon": "0.1"}
IN_COMMON, TARGET = 400, 420


def _product(market, code: str, persons: list[str]):
    """A version of an owner's table, and a product of it."""
    market.table(code, "counted", COLUMNS, [{"person_id": person, "months": "12"} for person in persons])
    return market.product(code, "counted", name="在册人员", operations=["matching"])


def _contract(market, products):
    columns = {code: ["months"] for code in OWNERS}
    return market.contract("matching", products, columns=columns, approval="per_run")


@pytest.fixture(scope="module")
def persons() -> list[str]:
    return [one.person_id for one in people.city((("990102", "西岭区", 1.0),), count=500, seed=3)]


def _ask(market, contract, **changes):
    receiver = market.story.organizations["civil"]["urn"]
    return market.ask(contract, "matching", operations.matching(receiver=receiver, **changes))


def _left(market, code: str) -> str:
    """What an owner's own command says is left of the table's budget."""
    (found,) = market.story.parties.node_cli(member(code), "budget", "--dataset", "counted")
    return str(found["left"])


def test_d3_a_second_version_is_counted_with_noise_or_not_at_all(market, persons):
    others = [*persons[:IN_COMMON], *persons[460:]]
    products = {"civil": _product(market, "civil", persons[:450]), "social": _product(market, "social", others)}
    contract = _contract(market, products)

    exact = _ask(market, contract)
    noisy = [_ask(market, contract, privacy=LAPLACE) for _ in range(2)]

    assert [one.state for one in (exact, *noisy)] == ["released"] * 3, [one.code for one in (exact, *noisy)]
    assert market.opened(exact)["count"] == IN_COMMON
    told = [market.opened(one) for one in noisy]
    assert told[0] == told[1], "the same question has the same noise"
    assert told[0]["privacy"]["count_deviation"] == "15"
    assert abs(told[0]["count"] - IN_COMMON) < 300  # thirty scales: one time in 10^13
    assert [_left(market, code) for code in OWNERS] == ["0.9", "0.9"], "paid once, by both"
    checks = market.receipt(noisy[1])
    assert checks
    assert "FAIL" not in checks.values()

    second = _product(market, "social", [*others, persons[TARGET]])
    with_the_target = _contract(market, {**products, "social": second})
    assert _ask(market, with_the_target).state == "rejected"
    again = _ask(market, with_the_target, privacy=LAPLACE)
    assert again.state == "released", again.code
    assert [_left(market, code) for code in OWNERS] == ["0.8", "0.8"]
    assert json.dumps(persons[TARGET]) not in json.dumps(market.opened(again))
