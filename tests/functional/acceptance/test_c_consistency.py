"""Scenario (c): a bank's records against an agency's, compared under keys of both; C1 to C6, contract to receipt.

C2, that 10^5 known candidates find nothing in a captured transcript, and find everybody with the blinding off:
`tests/spec/consistency_check`. C4, the table of canonical forms: `tests/unit/engines/test_canonical_fields.py`.
"""

import json
import random
from datetime import UTC, datetime

import pytest

from exchange.runner import people

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = 1000
COMPARED = {"level": "plaintext_after_compare"}
WAGE = {"type": "decimal", "scale": 2, "min": "0", "max": "60000.00"}
AGENCY = {
    "person_id": {"type": "text", **COMPARED},
    "base": {**WAGE, **COMPARED},
    "status": {"type": "category", "values": ["在缴", "中断"], **COMPARED},
}
BANK = {
    "person_id": {"type": "text"},
    "wage": {"type": "text"},
    "state": {"type": "text"},
}
FIELDS = [
    {"own": "wage", "theirs": "base", "kind": "money"},
    {"own": "state", "theirs": "status", "kind": "text"},
]


def _world() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The agency's 1,500 records and the bank's 1,000: some wrong, some of nobody, some only written otherwise."""
    rng = random.Random(33)
    persons = [one.person_id for one in people.city((("990104", "北辰区", 1.0),), count=1520, seed=33)]
    agency = [
        {
            "person_id": person,
            "base": f"{rng.randrange(3000, 30000)}.{rng.randrange(100):02d}",
            "status": rng.choices(("在缴", "中断"), (9, 1))[0],
        }
        for person in persons[:1500]
    ]
    bank = []
    for number, row in enumerate(rng.sample(agency, ROWS)):
        mine = {"person_id": row["person_id"], "wage": row["base"], "state": row["status"]}
        if number % 50 == 0:
            mine["wage"] = f"{float(row['base']) + 1:.2f}"  # 2 % wrong values
        if number % 33 == 1:
            mine["state"] = "中断" if row["status"] == "在缴" else "在缴"  # 3 % stale
        if number % 100 == 2 and number // 100 < 20:
            mine["person_id"] = persons[1500 + number // 100]  # 1 % of people the agency does not know
        if number % 40 == 3:
            mine["wage"] = "".join(
                chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in mine["wage"]
            )  # full-width digits
        bank.append(mine)
    return agency, bank


def _oracle() -> dict[str, dict[str, int]]:
    agency, bank = _world()
    known = {row["person_id"]: row for row in agency}
    counts = {field["own"]: {"same": 0, "different": 0, "absent": 0} for field in FIELDS}
    for row in bank:
        theirs = known.get(row["person_id"])
        for field in FIELDS:
            own = row[field["own"]].translate({0xFF10 + digit: str(digit) for digit in range(10)})
            word = "absent" if theirs is None else "same" if own == theirs[field["theirs"]] else "different"
            counts[field["own"]][word] += 1
    return counts


@pytest.fixture(scope="module")
def contract(market):
    agency, bank = _world()
    market.table("social", "records", AGENCY, agency)
    market.table("bank", "own_records", BANK, bank)
    product = market.product("social", "records", name="缴费记录核对", operations=["consistency_check"])
    return market.contract(
        "consistency_check",
        {"social": product},
        columns={"social": ["person_id", "base", "status"]},
        requester=True,
        approval="per_run",
    )


def _ask(market, contract, *, rows: int = ROWS, dataset: str = "own_records"):
    parameters = {
        "input": {"dataset": dataset, "commitment": market.commitments["bank", dataset]},
        "person": "person_id",
        "key": "person_id",
        "fields": FIELDS,
        "rows": rows,
        "period": datetime.now(UTC).strftime("%Y-%m"),
        "minimum_rows": 1000,
    }
    return market.ask(contract, "consistency_check", parameters)


@pytest.fixture(scope="module")
def checked(market, contract):
    return _ask(market, contract)


def test_c1_c6_the_counts_equal_the_oracle_and_the_report_repairs_nothing(market, checked):
    assert checked.state == "released", checked.code
    report = market.opened(checked)

    told = {field["own"]: {word: field[word] for word in ("same", "different", "absent")} for field in report["fields"]}
    assert told == _oracle()
    differing = report["fields"][0]["different_rows"]
    assert len(differing) == told["wage"]["different"]
    assert "repair" in report["notice"]["en"]
    assert "修复" in report["notice"]["zh"] or "修正" in report["notice"]["zh"]
    checks = market.receipt(checked)
    assert checks
    assert "FAIL" not in checks.values()


def test_c3_a_second_guess_of_the_same_rows_is_refused_in_the_period(market, contract, checked):
    """Another value for the same person and field within a month would be a guess."""
    guesses = [{**row, "wage": "5000.00"} for row in _world()[1]]
    market.table("bank", "guesses", BANK, guesses)

    again = _ask(market, contract, dataset="guesses")

    assert (again.state, again.code) == ("failed", "QUOTA_EXHAUSTED")


def test_c5_a_batch_below_the_minimum_is_refused(market, contract):
    found = market.refused(
        *("compute", "request", contract["ref"], "--operation", "consistency_check"),
        *("--parameters", str(_small(market)), "--out", "never.json"),
    )

    assert "rows" in found


def _small(market):
    path = market.story.stack.member("bank") / "small.json"
    parameters = {
        "input": {"dataset": "own_records", "commitment": market.commitments["bank", "own_records"]},
        "person": "person_id",
        "key": "person_id",
        "fields": FIELDS,
        "rows": 10,
        "period": "2026-11",
        "minimum_rows": 1000,
    }
    path.write_text(json.dumps(parameters), encoding="utf-8")
    return path
