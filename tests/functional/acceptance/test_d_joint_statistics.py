"""Scenario (d): joint statistics between agencies, from contract to receipt (D1 to D3; D6 in test_faults.py).

Agency A has who lives where, agency B what they earn; seven in ten of either are in both. D4 is a matter of the
bucketed matching (`tests/spec/matching/test_buckets.py`), D5 of `docs/benchmarks.md`.
"""

import random
from collections import defaultdict
from decimal import Decimal

import pytest

from exchange.runner import people

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REGIONS, AGES, INDUSTRIES = ("990101", "990102", "990103"), ("18-39", "40+"), ("制造业", "金融业")
K = 10
WAGE = {"type": "decimal", "scale": 2, "min": "0", "max": "60000.00"}
RESIDENTS = {
    "person_id": {"type": "text"},
    "region": {"type": "category", "values": list(REGIONS)},
    "age": {"type": "category", "values": list(AGES)},
}
EARNERS = {
    "person_id": {"type": "text"},
    "wage": WAGE,
    "months": {"type": "integer", "min": 0, "max": 480},
    "industry": {"type": "category", "values": list(INDUSTRIES)},
}


def _tables() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """600 persons each, 420 in both; one block of six people and one whose unmatched rest is three."""
    rng = random.Random(20261121)
    persons = [one.person_id for one in people.city((("990101", "东湖区", 1.0),), count=780, seed=7)]
    residents = [
        {"person_id": person, "region": rng.choice(REGIONS[:2]), "age": rng.choice(AGES)} for person in persons[:594]
    ] + [{"person_id": person, "region": REGIONS[2], "age": AGES[0]} for person in persons[594:600]]
    earners = [
        {
            "person_id": person,
            "wage": f"{rng.lognormvariate(8.8, 0.4):.2f}",
            "months": str(rng.randrange(1, 300)),
            "industry": rng.choice(INDUSTRIES),
        }
        for person in persons[180:]
    ]
    return residents, earners


@pytest.fixture(scope="module")
def agencies(market):
    """Both tables at their nodes, and a product of each."""
    residents, earners = _tables()
    market.table("civil", "residents", RESIDENTS, residents, blocks=("region", "age"))
    market.table("social", "earners", EARNERS, earners, blocks=("industry",))
    wanted = ["joined_statistics", "joint_statistics"]
    return {
        "civil": market.product("civil", "residents", name="常住人口", operations=wanted),
        "social": market.product("social", "earners", name="缴费工资", operations=wanted),
    }


@pytest.fixture(scope="module")
def joined(market, agencies):
    return market.contract(
        "joined_statistics",
        agencies,
        columns={"civil": ["region", "age"], "social": ["wage", "months"]},
        compute_party="helper",
    )


def _parameters(market, **changes):
    urn = {code: market.story.organizations[code]["urn"] for code in ("civil", "social")}
    return {
        "group_by": ["region", "age"],
        "values": ["wage"],
        "filters": [],
        "min_group": K,
        "group_provider": urn["civil"],
        "value_provider": urn["social"],
        **changes,
    }


def _oracle() -> dict[tuple[str, str], list[Decimal]]:
    residents, earners = _tables()
    wage = {one["person_id"]: Decimal(one["wage"]) for one in earners}
    found = defaultdict(list)
    for one in residents:
        if one["person_id"] in wage:
            found[one["region"], one["age"]].append(wage[one["person_id"]])
    return found


def test_d1_d2_the_cells_are_exact_and_none_is_small(market, joined):
    """D1: equal to the plaintext on every released cell. D2: none under k, and no total gives a withheld one away."""
    asked = market.ask(joined, "joined_statistics", _parameters(market))
    total = market.ask(joined, "joined_statistics", _parameters(market, group_by=[]))

    assert (asked.state, total.state) == ("released", "released"), (asked.code, total.code)
    cells = {tuple(cell["group"].values()): cell for cell in market.opened(asked)["cells"]}
    oracle = _oracle()
    small = {group for group, wages in oracle.items() if len(wages) < K}
    assert small, "the fixture has a block that is too small"
    assert set(cells) == set(oracle) - small
    for group, cell in cells.items():
        assert (cell["count"], Decimal(cell["sum"])) == (len(oracle[group]), sum(oracle[group]))
    (whole,) = market.opened(total)["cells"]
    assert whole["count"] == sum(cell["count"] for cell in cells.values())
    assert Decimal(whole["sum"]) == sum(Decimal(cell["sum"]) for cell in cells.values())
    checks = market.receipt(asked)
    assert checks
    assert "FAIL" not in checks.values()


@pytest.fixture(scope="module")
def halves(market):
    """The same columns of two halves of the people, at two nodes, and a contract over both."""
    rng = random.Random(5)
    rows = [
        {"person_id": one["person_id"], "region": rng.choice(REGIONS), "months": one["months"]} for one in _tables()[1]
    ]
    columns = {
        "person_id": {"type": "text"},
        "region": {"type": "category", "values": list(REGIONS)},
        "months": EARNERS["months"],
    }
    products = {}
    for code, part in (("civil", rows[::2]), ("social", rows[1::2])):
        market.table(code, "contributions", columns, part, blocks=("region",))
        products[code] = market.product(code, "contributions", name="参保月数", operations=["joint_statistics"])
    wanted = {code: ["region", "months"] for code in products}
    return market.contract("joint_statistics", products, columns=wanted)


@pytest.mark.timeout(900)  # ten runs on a loaded machine
def test_d3_overlapping_questions_are_refused_when_the_budget_is_spent(market, halves):
    """Each noised answer costs epsilon 0.1; the table's budget of a year is 1, one for all buyers and contracts."""
    ends = []
    for low in range(0, 110, 10):
        parameters = {
            "group_by": ["region"],
            "values": ["months"],
            "filters": [{"column": "months", "from": str(low), "to": "300"}],
            "min_group": K,
            "privacy": {"mechanism": "discrete_laplace", "epsilon": "0.1"},
        }
        ends.append(market.ask(halves, "joint_statistics", parameters).state)

    assert ends == ["released"] * 10 + ["rejected"]
