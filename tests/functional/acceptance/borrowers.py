"""Persons with what agencies know of them, and who defaulted: what the acceptance cases train models on."""

import math
import random
from collections.abc import Sequence
from typing import Any

from exchange.runner import people

FOREVER, PURPOSE = 99991231, "credit_risk_statistics"
FEATURES = {"fund-a": ["monthly", "months"], "civil": ["married_years"], "social": ["gaps", "paid"]}
TRAINED, TESTED = 256, 128
BOUNDS = {"months": 480, "married_years": 80, "gaps": 24, "paid": 480}
COMPARED = {"level": "plaintext_after_compare"}
_MONTHLY = {"type": "decimal", "scale": 2, "min": "0", "max": "20000.00"}
_OWN = {
    "person_id": {"type": "text"},
    "amount": {"type": "integer", "min": 0, "max": 1_000_000},
    "label": {"type": "integer", "min": 0, "max": 1},
    "notice_key": {"type": "text"},
}


def borrowers() -> list[dict[str, Any]]:
    """384 persons with all features, and who defaulted: a logistic of gaps, months, income and what is asked for."""
    rng = random.Random(11)
    found = []
    for one in people.city((("990103", "南浦区", 1.0),), count=TRAINED + TESTED, seed=11):
        row: dict[str, Any] = {name: rng.randrange(most) for name, most in BOUNDS.items()}
        row |= {"person_id": one.person_id, "amount": rng.randrange(100_000, 1_000_000)}
        row["monthly"] = f"{rng.randrange(100, 20_000)}.{rng.randrange(100):02d}"
        odds = 0.16 * (row["gaps"] - 15) - 0.006 * (row["months"] - 200) - 0.00015 * (float(row["monthly"]) - 9_000)
        odds += 1.5e-6 * (row["amount"] - 500_000) - 0.02 * (row["married_years"] - 40)
        row["label"] = int(rng.random() < 1 / (1 + math.exp(-odds)))
        found.append(row)
    return found


def agency_product(market: Any, code: str, dataset: str, *, operations: Sequence[str]) -> dict[str, Any]:
    """An agency's table with everybody's consent to the bank, in an order of its own, and a product of it."""
    recipient = f"{market.story.organizations['bank']['urn']} {PURPOSE}"
    columns = {"person_id": {"type": "text"}, **{name: _declared(name) for name in FEATURES[code]}}
    columns |= {
        "consent_until": {"type": "integer", "min": 0, "max": FOREVER, **COMPARED},
        "consent_for": {"type": "category", "values": [recipient, "nobody"], **COMPARED},
    }
    given = {"consent_until": str(FOREVER), "consent_for": recipient}
    rows = [{name: str(row.get(name, "")) for name in columns} | given for row in borrowers()]
    market.table(code, dataset, columns, random.Random(code).sample(rows, len(rows)))
    found: dict[str, Any] = market.product(code, dataset, name="建模特征", operations=operations)
    return found


def bank_tables(market: Any, trained: str, tested: str, *, card: str = "") -> None:
    """The bank's own two tables: whom it trains on, with labels, and whom it scores; the first person's public key."""
    world = borrowers()
    for name, rows in ((trained, world[:TRAINED]), (tested, world[TRAINED:])):
        given = [{column: str(row.get(column, "")) for column in _OWN} for row in rows]
        given[0]["notice_key"] = card
        market.table("bank", name, _OWN, given)


def _declared(name: str) -> dict[str, Any]:
    return {**(_MONTHLY if name == "monthly" else {"type": "integer", "min": 0, "max": BOUNDS[name]}), **COMPARED}
