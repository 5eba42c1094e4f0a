"""Scenario (b) with one agency and no third party, under the agency's Paillier key; contract to receipt.

A score card over civil affairs alone, then a model trained with social security alone and used by its name.
Engines by themselves: `tests/spec/two_party_scoring`, `tests/spec/two_party_training`.
"""

import json
from typing import Any

import numpy as np
import pytest

from compute.engines import reference_models
from compute.protocol import operations
from exchange.runner.checks import canary_hits
from tests.functional.acceptance.bank import CARD, HOLDER, NOBODY, PURPOSE, SPOUSE_SILENT, WITHDRAWN, Bank
from tests.functional.acceptance.borrowers import TRAINED, agency_product, bank_tables, borrowers
from tests.functional.acceptance.persons import Person

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

AGENCY = "social"
COLUMNS = ["gaps", "paid"]


@pytest.fixture(scope="module")
def holder(market, tmp_path_factory):
    return Person(tmp_path_factory.mktemp("holder"), market.story.stack.url)


def test_b2_to_b8_scores_of_one_agency_with_consent_and_none_without(market, holder, tmp_path):
    """As with three agencies, and without reasons: neither side knows a person's points by feature."""
    bank = Bank(market, cards={HOLDER: holder.public_key}, operation="two_party_scoring", agencies=("civil",))
    parameters = {**bank.parameters, "model": {**bank.parameters["model"], "commitment": bank.unreleased()}}
    unseen = market.ask(bank.trial, bank.operation, parameters)
    assert (unseen.state, unseen.code) == ("failed", "CONSENT_MISSING")

    first = bank.ask()

    assert first.state == "released", first.code
    result = market.opened(first)
    assert result["rows"] == _without_reasons(bank.oracle(tmp_path)), "B2, B3"
    by_row = {row["row"]: row for row in result["rows"]}
    assert by_row[NOBODY]["status"] == "no_record"
    assert by_row[SPOUSE_SILENT]["status"] == "scored", "B6: without what the spouse did not consent to"
    assert set(result) == {"type", "model_version", "counts", "rows"}, "no feature, no partial score"
    checks = market.receipt(first)
    assert checks
    assert "FAIL" not in checks.values()

    bank.withdraw("civil", bank.applicants[WITHDRAWN])
    path = market.sign_request(bank.contract, bank.operation, bank.parameters)
    second = market.ask(bank.contract, bank.operation, {}, request=path)
    gone = frozenset({(0, bank.applicants[WITHDRAWN].lower(), "")})
    assert market.opened(second)["rows"] == _without_reasons(bank.oracle(tmp_path, withdrawn=gone)), "B4"
    again = market.ask(bank.contract, bank.operation, {}, request=path)
    assert (again.ref, again.state) == (second.ref, "released"), "B7: the same request is the same run"
    assert market.units(bank.contract) == 2, "B7: billed once each"

    told = holder.runs()
    urns = {code: market.story.organizations[code]["urn"] for code in ("bank", "civil")}
    assert {one["computation"] for one in told} == {first.request["id"], second.request["id"]}, "B5"
    for one in told:
        assert (one["buyer"]["organization"], one["purpose"]["code"]) == (urns["bank"], PURPOSE)
        assert [item["organization"] for item in one["providers"]] == [urns["civil"]]
        assert one["model_version"] == CARD["version"]
    directory = market.story.stack.directory
    secret = [bank.applicants[HOLDER], holder.public_key]
    assert canary_hits(secret, run_directory=directory, members=directory / "members") == [], "B5"


def test_b1_a_model_is_trained_with_one_agency_and_used_by_its_name(market, tmp_path):
    """Ranks the test rows as the logistic regression of the same columns in the clear; nobody has its weights."""
    urn = market.story.organizations[AGENCY]["urn"]
    wanted = ["two_party_training", "two_party_scoring"]
    products = {AGENCY: agency_product(market, AGENCY, "pair_features", operations=wanted)}
    trained_on = Person(tmp_path, market.story.stack.url)
    bank_tables(market, "pair_defaults", "pair_applications", card=trained_on.public_key)
    columns = {AGENCY: [*COLUMNS, "consent_until", "consent_for"]}
    asked: dict[str, Any] = {"features": [{"provider": urn, "columns": COLUMNS}], "own": ["amount"]}

    contract = market.contract("two_party_training", products, columns=columns, requester=True)
    parameters = operations.two_party_training(
        dataset="pair_defaults", commitment=market.commitments["bank", "pair_defaults"], label="label", **asked
    )
    training = market.ask(contract, "two_party_training", parameters)
    assert training.state == "released", training.code
    model = market.opened(training)
    assert set(model) == {"type", "model_version", "commitment", "features"}, "it is named, and not opened"

    contract = market.contract("two_party_scoring", products, columns=columns, requester=True)
    named = {"kind": "trained", "version": model["model_version"], "commitment": model["commitment"]}
    parameters = operations.two_party_scoring(
        dataset="pair_applications",
        commitment=market.commitments["bank", "pair_applications"],
        model={**named, "offset": 575, "factor": 72},
        **asked,
    )
    scoring = market.ask(contract, "two_party_scoring", parameters)
    assert scoring.state == "released", scoring.code
    rows = market.opened(scoring)["rows"]
    assert {row["status"] for row in rows} == {"scored"}
    labels = [row["label"] for row in borrowers()[TRAINED:]]
    ours = reference_models.area([-row["score"] for row in rows], labels)
    assert ours == pytest.approx(reference_models.area(_in_the_clear(), labels), abs=0.01)
    for one in (training, scoring):
        checks = market.receipt(one)
        assert checks
        assert "FAIL" not in checks.values()
    found = {one["operation"]: one for one in trained_on.runs()}
    assert set(found) == {"two_party_training", "two_party_scoring"}, "B5: one of the two tables' keys each"
    assert found["two_party_training"]["buyer"]["columns"] == ["amount", "label"]
    assert found["two_party_training"]["computation"] == training.request["id"]
    kept = [_pieces(market, code, model["model_version"]) for code in ("bank", AGENCY)]
    assert all(kept)
    assert kept[0] != kept[1]


def _without_reasons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "reasons": []} for row in rows]


def _in_the_clear() -> list[float]:
    """Probabilities of the test rows by a logistic regression over everybody's columns at one place."""
    world = borrowers()
    table = np.array([[float(row[name]) for name in (*COLUMNS, "amount")] for row in world])
    rows = ((table - table.mean(axis=0)) / table.std(axis=0)).tolist()
    weights = reference_models.train(rows[:TRAINED], [row["label"] for row in world[:TRAINED]], epochs=400, rate=1.0)
    return [reference_models.probability(weights, row) for row in rows[TRAINED:]]


def _pieces(market, code: str, version: str) -> str:
    """What one node keeps of the model's weights."""
    home = market.story.stack.member(code) / "node" / "engine_state" / "scoring-models" / "models"
    (found,) = [
        one for one in (json.loads(path.read_bytes()) for path in home.glob("*.json")) if one["version"] == version
    ]
    return str(found["shares"])
