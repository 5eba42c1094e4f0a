"""Scenario (b), its model: trained over three agencies by contract, used for scores by contract, opened by nobody.

B1: as good as the plaintext model on the same split. B11: neither the wire of the scoring run nor, with TLS taken off,
what its parties say to each other shows a feature. Whole batches, so that the order of the rows, which is drawn anew
for every run, changes nothing but roundings. The same on real tables: `make bench BENCH=compute_scoring`.
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from compute.engines import reference_models
from compute.protocol import operations
from tests.functional.acceptance.borrowers import FEATURES, TRAINED, agency_product, bank_tables, borrowers
from tests.functional.acceptance.wire import Heard, in_the_clear

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

AGENCIES = tuple(FEATURES)
EPOCHS = 30
OFFSET, FACTOR = 575, 72
BINARY_PLACES = 18


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
    urn = {code: market.story.organizations[code]["urn"] for code in ("bank", *AGENCIES)}
    wanted = ["model_training", "credit_scoring"]
    products = {code: agency_product(market, code, "model_features", operations=wanted) for code in AGENCIES}
    bank_tables(market, "defaults", "applications")
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


def _in_the_clear(epochs: int) -> tuple[list[float], list[float], list[int]]:
    """The same descent over everybody's rows at one place: its weights, and probabilities and labels of the test rows.

    As the owners do: agencies standardise by all their rows, the bank by those that it hands in.
    """
    world = borrowers()
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
    assert bank.heard.holds(form for row in borrowers() for form in _forms(row)) == set()


def test_b11_the_same_search_finds_every_feature_where_rows_are_sent_as_they_are():
    """The sister: the agencies' rows as text, and as the numbers that a circuit takes before they are shared."""
    rows = borrowers()[:50]
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
