"""Scenario (b), its model: trained over three agencies by contract, used for scores by contract, opened by nobody.

B1: as good as the plaintext model on the same split. B11: neither the wire of the scoring run nor, with TLS taken off,
what its parties say to each other shows a feature. Whole batches, so that the order of the rows, which is drawn anew
for every run, changes nothing but roundings. The same on real tables: `make bench BENCH=compute_scoring`.
"""

import base64
import json
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from compute.engines import reference_models
from compute.protocol import operations
from exchange.runner import people
from tests.functional.acceptance.wire import Heard, in_the_clear

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

FOREVER, PURPOSE = 99991231, "credit_risk_statistics"
AGENCIES = ("fund-a", "civil", "social")
FEATURES = {"fund-a": ["monthly", "months"], "civil": ["married_years"], "social": ["gaps", "paid"]}
MONTHLY = {"type": "decimal", "scale": 2, "min": "0", "max": "20000.00"}
BOUNDS = {"months": 480, "married_years": 80, "gaps": 24, "paid": 480}
COMPARED = {"level": "plaintext_after_compare"}
TRAINED, TESTED, EPOCHS = 256, 128, 30
OFFSET, FACTOR = 575, 72
BINARY_PLACES = 18


def _world() -> list[dict[str, Any]]:
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


@dataclass
class Bank:
    """What the bank has once a model is trained and used."""

    model: dict[str, Any]
    training: Any
    scoring: Any
    scores: list[int]
    heard: Heard


@pytest.fixture(scope="module")
def bank(market, wire) -> Bank:
    """Tables and products of three agencies, a contract to train and one to score, and a run of each."""
    world, urn = _world(), {code: market.story.organizations[code]["urn"] for code in ("bank", *AGENCIES)}
    recipient = f"{urn['bank']} {PURPOSE}"
    products = {}
    for code in AGENCIES:
        columns = {"person_id": {"type": "text"}, **{name: _declared(name) for name in FEATURES[code]}}
        columns |= {
            "consent_until": {"type": "integer", "min": 0, "max": FOREVER, **COMPARED},
            "consent_for": {"type": "category", "values": [recipient, "nobody"], **COMPARED},
        }
        given = {"consent_until": str(FOREVER), "consent_for": recipient}
        rows = [{name: str(row.get(name, "")) for name in columns} | given for row in world]
        market.table(code, "model_features", columns, random.Random(code).sample(rows, len(rows)))
        wanted = ["model_training", "credit_scoring"]
        products[code] = market.product(code, "model_features", name="建模特征", operations=wanted)
    amount = {"type": "integer", "min": 0, "max": 1_000_000}
    label = {"type": "integer", "min": 0, "max": 1}
    own = {"person_id": {"type": "text"}, "amount": amount, "label": label}
    for name, rows in (("defaults", world[:TRAINED]), ("applications", world[TRAINED:])):
        market.table("bank", name, own, [{column: str(row[column]) for column in own} for row in rows])
    columns = {code: [*FEATURES[code], "consent_until", "consent_for"] for code in AGENCIES}
    asked = {
        "features": [{"provider": urn[code], "columns": FEATURES[code]} for code in AGENCIES],
        "own": ["amount"],
    }

    contract = market.contract("model_training", products, columns=columns, requester=True)
    parameters = operations.model_training(
        dataset="defaults",
        commitment=market.commitments["bank", "defaults"],
        label="label",
        epochs=EPOCHS,
        batch=TRAINED,
        rate_thousandths=1000,
        **asked,
    )
    training = market.ask(contract, "model_training", parameters)
    assert training.state == "released", training.code
    model = market.opened(training)

    contract = market.contract("credit_scoring", products, columns=columns, requester=True)
    named = {"kind": "trained", "version": model["model_version"], "commitment": model["commitment"]}
    parameters = operations.credit_scoring(
        dataset="applications",
        commitment=market.commitments["bank", "applications"],
        model={**named, "offset": OFFSET, "factor": FACTOR},
        **asked,
    )
    with wire.listening() as heard:
        scoring = market.ask(contract, "credit_scoring", parameters)
    assert scoring.state == "released", scoring.code
    rows = market.opened(scoring)["rows"]
    assert {row["status"] for row in rows} == {"scored"}
    return Bank(model, training, scoring, [row["score"] for row in rows], heard)


def _declared(name: str) -> dict[str, Any]:
    return {**(MONTHLY if name == "monthly" else {"type": "integer", "min": 0, "max": BOUNDS[name]}), **COMPARED}


def _in_the_clear(epochs: int) -> tuple[list[float], list[float], list[int]]:
    """The same descent over everybody's rows at one place: its weights, and probabilities and labels of the test rows.

    As the owners do: agencies standardise by all their rows, the bank by those that it hands in.
    """
    world = _world()
    columns = []
    for name in [*(name for code in AGENCIES for name in FEATURES[code]), "amount"]:
        values = np.array([float(row[name]) for row in world])
        by = values[:TRAINED] if name == "amount" else values
        columns.append((values - by.mean()) / by.std())
    rows = np.column_stack(columns).tolist()
    labels = [row["label"] for row in world]
    weights = reference_models.train(rows[:TRAINED], labels[:TRAINED], epochs=epochs, rate=1.0)
    return weights, [reference_models.probability(weights, row) for row in rows[TRAINED:]], labels[TRAINED:]


def test_b1_the_model_ranks_the_test_rows_as_the_plaintext_model_does(market, bank):
    _, clear, labels = _in_the_clear(EPOCHS)
    _, converged, _ = _in_the_clear(20 * EPOCHS)

    ours = reference_models.area([-score for score in bank.scores], labels)

    assert reference_models.area(clear, labels) > 0.75
    assert ours == pytest.approx(reference_models.area(clear, labels), abs=0.01)
    assert ours == pytest.approx(reference_models.area(converged, labels), abs=0.01)
    for asked in (bank.training, bank.scoring):
        checks = market.receipt(asked)
        assert checks
        assert "FAIL" not in checks.values()


def test_the_model_was_used_and_is_still_in_pieces_of_which_two_are_needed(market, bank):
    """No file of any node holds a weight, nor does the result; the pieces of two nodes together would."""
    kept = {code: _kept(market, code, bank.model["model_version"]) for code in ("bank", *AGENCIES)}
    first, second = (
        np.frombuffer(base64.b64decode(kept[code]["shares"]), np.uint64).reshape(-1, 2) for code in AGENCIES[:2]
    )
    shared = (first[:, 0] + first[:, 1] + second[:, 1]).view(np.int64)

    weights, _, _ = _in_the_clear(EPOCHS)
    assert (shared / 2**BINARY_PLACES).tolist() == pytest.approx(weights, abs=0.02)
    assert kept["bank"]["shares"] is None
    alone = np.concatenate([first, second]).view(np.int64)
    assert np.abs(alone).min() > 2**40, "a piece by itself is as large as any number"
    assert set(bank.model) == {"type", "model_version", "commitment", "features"}
    assert not any(weight.tobytes() in bank.heard.opened for weight in shared)


def _kept(market, code: str, version: str) -> dict[str, Any]:
    home = market.story.stack.member(code) / "node" / "engine_state" / "scoring-models" / "models"
    (found,) = [one for one in map(_read, home.glob("*.json")) if one["version"] == version]
    return found


def _read(path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def test_b11_the_captured_scoring_shows_no_feature_and_no_person(bank):
    assert len(bank.heard.sealed) > len(bank.heard.opened) > 1_000_000
    assert b'"job"' in bank.heard.opened, "the second tap does take TLS off"
    assert b'"job"' not in bank.heard.sealed
    assert bank.heard.holds(form for row in _world() for form in _forms(row)) == set()


def test_b11_the_same_search_finds_every_feature_where_rows_are_sent_as_they_are():
    """The sister: the agencies' rows as text, and as the numbers that a circuit takes before they are shared."""
    rows = _world()[:50]
    text = "\n".join(f"{row['person_id']},{row['monthly']},{row['amount']}" for row in rows).encode()
    numbers = b"".join(struct.pack("<q", round(float(row["monthly"]) * 100)) for row in rows)

    for data in (text, numbers):
        heard = in_the_clear(data)
        assert all(heard.holds(_forms(row)) for row in rows)


def _forms(row: dict[str, Any]) -> Iterator[bytes]:
    """A person's identifier and the two features that no other number is like, in every form that a wire might have."""
    yield row["person_id"].encode()
    yield f"{row['monthly']}".encode().rjust(8, b",")
    for number in (round(float(row["monthly"]) * 100), row["amount"]):
        for order in "<>":
            yield struct.pack(f"{order}q", number)
            yield struct.pack(f"{order}q", number << BINARY_PLACES)
            yield struct.pack(f"{order}d", number)
