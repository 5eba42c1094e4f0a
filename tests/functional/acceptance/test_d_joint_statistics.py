"""Scenario (d): joint statistics between agencies, from contract to receipt (D1 to D3; D6 in test_faults.py).

Agency A has who lives where, agency B what they earn; seven in ten of either are in both. D4 is here for a matching of
16 buckets, D5 a matter of `docs/benchmarks.md`.
"""

import json
import os
import random
import signal
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from compute.protocol import operations
from exchange.runner import people
from exchange.runner.story import Deal
from tests.factories.processes import command_line, descendants, is_alive
from tests.functional.outside import Outside, until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REGIONS, AGES, INDUSTRIES = ("990101", "990102", "990103"), ("18-39", "40+"), ("制造业", "金融业")
K = 10
OWNERS = ("civil", "social")
BUCKET_ROWS = 64  # of tables of 600: sixteen buckets
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
def owners(market):
    """Nodes whose owners allow engines small buckets, and their tables three noised answers a year."""
    outside = Outside(market.story, Deal("matching", OWNERS, None))
    configs = [market.story.stack.member(code) / "node" / "config.toml" for code in OWNERS]
    genuine = [path.read_text(encoding="utf-8") for path in configs]
    changed = f'engine_bucket_rows = {BUCKET_ROWS}\n{{}}\n[privacy]\nepsilon = "0.3"\n'
    _restart_nodes(outside, configs, [changed.format(text) for text in genuine])
    yield outside
    _restart_nodes(outside, configs, genuine)


def _restart_nodes(outside, configs, texts):
    for code, path, text in zip(OWNERS, configs, texts, strict=True):
        path.write_text(text, encoding="utf-8")
        outside.kill(f"node-{code}")
        outside.restart(f"node-{code}")


@pytest.fixture(scope="module")
def halves(market, owners):
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


def test_d3_overlapping_questions_are_refused_when_the_budget_is_spent(market, halves):
    """Each noised answer costs epsilon 0.1; the table's budget of a year is 0.3, one for all buyers and contracts."""
    ends = []
    for low in range(0, 40, 10):
        parameters = {
            "group_by": ["region"],
            "values": ["months"],
            "filters": [{"column": "months", "from": str(low), "to": "300"}],
            "min_group": K,
            "privacy": {"mechanism": "discrete_laplace", "epsilon": "0.1"},
        }
        ends.append(market.ask(halves, "joint_statistics", parameters).state)

    assert ends == ["released"] * 3 + ["rejected"]


# --- D4 -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matched(market, owners):
    """A contract on how many persons two tables hold.

    Tables of their own: those of D1 are told by blocks, and a number of all would give the withheld ones away.
    """
    products = {}
    for code, rows in zip(OWNERS, _tables(), strict=True):
        column, persons = {"person_id": {"type": "text"}}, [{"person_id": one["person_id"]} for one in rows]
        market.table(code, "roll", column, persons)
        products[code] = market.product(code, "roll", name="在册人员", operations=["matching"])
    wanted = {code: ["person_id"] for code in OWNERS}
    return market.contract("matching", products, columns=wanted, approval="per_run")


def _engines(outside) -> dict[str, list[int]]:
    """Engine processes of both owners' nodes."""
    found = {}
    for code in OWNERS:
        family = descendants(outside.process(f"node-{code}").pid)
        found[code] = [pid for pid in family if b"compute.engines.worker" in command_line(pid) and is_alive(pid)]
    return found


def _kept(outside, code: str) -> list[Path]:
    """What the engine of a node has written down of this job, bucket by bucket; a job that ends may take its away."""
    found = os.walk(outside.story.stack.member(code) / "node" / "engine_state" / "psi_matching-1")
    return sorted(Path(folder) / name for folder, _, names in found for name in names if name.endswith(".done"))


def _kill_in_the_middle(outside, *, forget_one: bool) -> list[str]:
    """Kill one engine after some buckets and empty those, so that one that were matched again would match nobody.

    `forget_one` takes one of the answers away as well: what a node without the guard would do with all of them.
    """
    until(
        lambda: [len(_kept(outside, code)) for code in OWNERS], lambda found: min(found) >= 3, seconds=180, every=0.005
    )
    os.kill(_engines(outside)["social"][0], signal.SIGKILL)
    until(lambda: _engines(outside), lambda found: not any(found.values()), every=0.01)
    done = set.intersection(*({path.name for path in _kept(outside, code)} for code in OWNERS))
    for code in OWNERS:
        for path in _kept(outside, code):
            if path.name in done:
                path.with_suffix(".bucket").write_bytes(b"")
    if forget_one:
        next(path for path in _kept(outside, "civil") if path.name in done).unlink()
    return sorted(done)


def _ask_and_kill(market, outside, contract, *, forget_one: bool):
    """How the run ends, what it found, and which buckets were done when its engine was killed."""
    parameters = operations.matching(receiver=market.story.organizations["civil"]["urn"], protocol="rr22", min_group=K)
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(_kill_in_the_middle, outside, forget_one=forget_one)
        asked = market.ask(contract, "matching", parameters)
        done = killing.result(60)
    assert asked.state == "released", asked.code
    return asked, market.opened(asked)["count"], done


@pytest.mark.timeout(600)
def test_d4_a_bucket_that_failed_is_matched_again_and_none_is_counted_twice(market, owners, matched):
    asked, count, done = _ask_and_kill(market, owners, matched, forget_one=False)

    assert 3 <= len(done) < 16
    assert count == len({one["person_id"] for one in _tables()[0]} & {one["person_id"] for one in _tables()[1]}) == 420
    checks = market.receipt(asked)
    assert checks
    assert "FAIL" not in checks.values()
    runs = (
        "SELECT COUNT(*) FROM compute_computation c JOIN contracts_contract k ON k.id = c.contract_id WHERE k.ref = %s"
    )
    assert [(market.units(matched),)] == owners.rows(runs, matched["ref"]), "a unit for each run, whatever came before"
    urn = f"urn:hengshu:computation:{asked.ref}"
    paid = "SELECT COUNT(*) FROM contracts_transfer WHERE subject = %s AND kind = 'charge'"
    assert owners.rows(paid, urn) == [(1,)]
    told = owners.rows(
        "SELECT DISTINCT t.rank FROM compute_taskevent e JOIN compute_nodetask t ON t.id = e.task_id"
        " JOIN compute_computation c ON c.id = t.computation_id WHERE c.ref = %s AND e.stage = 'restart'",
        asked.ref,
    )
    assert sorted(told) == [(0,), (1,)]
    for code in OWNERS:
        lines = [json.loads(line) for (line,) in owners.node_rows(code, "SELECT line FROM journal")]
        of_run = [line["event"] for line in lines if line["details"].get("computation") == urn]
        assert of_run.count("engine.restarted") == 1
        assert of_run.count("job.finished") <= 1
        assert not list((market.story.stack.member(code) / "node" / "engine_state").glob("psi_matching-1/*"))


@pytest.mark.timeout(600)
def test_d4_a_bucket_whose_answer_was_not_kept_would_be_counted_anew(market, owners, matched):
    _, count, done = _ask_and_kill(market, owners, matched, forget_one=True)

    assert done
    assert count < 420
