"""Scenario (b): a bank's applicants scored over housing fund, civil affairs and social security; contract to receipt.

B1, the model's AUC against the clear one, and B11, what is on the wire: `test_b_training.py`. B9, objections:
`test_b_objections.py`. B5 in a browser: `tests/functional/test_subject_page.py`.
"""

import pytest

from exchange.runner.checks import canary_hits
from tests.functional.acceptance.bank import (
    AGENCIES,
    CARD,
    EXPIRED,
    HOLDER,
    NOBODY,
    OTHER_BANK,
    OTHER_PURPOSE,
    PURPOSE,
    SPOUSE_SILENT,
    WITHDRAWN,
    Bank,
)
from tests.functional.acceptance.persons import Person

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def holder(market, tmp_path_factory):
    return Person(tmp_path_factory.mktemp("holder"), market.story.stack.url)


@pytest.fixture(scope="module")
def bank(market, holder):
    return Bank(market, cards={HOLDER: holder.public_key})


def test_b2_to_b8_and_b10_scores_with_consent_and_none_without(market, bank, holder, tmp_path):
    """One contract of three runs, in the order in which a bank would meet each rule.

    A card is a function of the features, so every agency's reviewers see it before their node computes with it.
    """
    parameters = {**bank.parameters, "model": {**bank.parameters["model"], "commitment": bank.unreleased()}}
    unseen = market.ask(bank.trial, "credit_scoring", parameters)
    assert (unseen.state, unseen.code) == ("failed", "CONSENT_MISSING")

    first = bank.ask()

    assert first.state == "released", first.code
    result = market.opened(first)
    assert result["rows"] == bank.oracle(tmp_path), "B2: every score and reason is the oracle's, point for point"
    by_row = {row["row"]: row for row in result["rows"]}
    for number in (EXPIRED, OTHER_PURPOSE, OTHER_BANK):
        denied = {"row": number, "status": "denied_consent", "score": None, "reasons": [], "disputed": False}
        assert by_row[number] == denied, "B3"
    assert by_row[NOBODY]["status"] == "no_record"
    scored = [row for row in result["rows"] if row["status"] == "scored"]
    assert all(300 <= row["score"] <= 850 and 1 <= len(row["reasons"]) <= 4 for row in scored), "B10"
    assert "spouse_income" not in str(by_row[SPOUSE_SILENT]["reasons"]) or by_row[SPOUSE_SILENT]["score"], "B6"
    assert set(result) == {"type", "model_version", "counts", "rows"}, "no feature, no partial score"
    checks = market.receipt(first)
    assert checks
    assert "FAIL" not in checks.values()

    bank.withdraw("fund-a", bank.applicants[WITHDRAWN])
    second = bank.ask()
    after = market.opened(second)["rows"]
    gone = frozenset({(0, bank.applicants[WITHDRAWN].lower(), "")})
    assert after[WITHDRAWN]["status"] == "denied_consent", "B4: on the next call"
    assert after == bank.oracle(tmp_path, withdrawn=gone)
    assert [row for row in after if row["row"] != WITHDRAWN] == [
        row for row in result["rows"] if row["row"] != WITHDRAWN
    ]

    path = market.sign_request(bank.contract, "credit_scoring", bank.parameters)
    third = market.ask(bank.contract, "credit_scoring", {}, request=path)
    again = market.ask(bank.contract, "credit_scoring", {}, request=path)
    assert (again.ref, again.state) == (third.ref, "released"), "B7: the same request is the same run"
    assert market.units(bank.contract) == 3, "B7: billed once each"

    told = holder.runs()
    assert {one["computation"] for one in told} == {run.request["id"] for run in (first, second, third)}, "B5"
    assert len({one["token"] for one in told}) == 3
    urns = {code: market.story.organizations[code]["urn"] for code in ("bank", *AGENCIES)}
    for one in told:
        assert (one["buyer"]["organization"], one["purpose"]["code"]) == (urns["bank"], PURPOSE)
        assert [item["organization"] for item in one["providers"]] == [urns[code] for code in AGENCIES]
        assert (one["model_version"], one["contract"]) == (CARD["version"], bank.contract["urn"])
    assert Person(tmp_path, market.story.stack.url).runs() == [], "B5: another's card opens nothing"
    directory = market.story.stack.directory
    secret = [bank.applicants[HOLDER], holder.public_key]
    assert canary_hits(secret, run_directory=directory, members=directory / "members") == [], "B5"

    fourth = market.sign_request(bank.contract, "credit_scoring", bank.parameters)
    said = market.refused("compute", "submit", bank.contract["ref"], "--request", str(fourth))
    assert "exhausted" in said, "B8"
