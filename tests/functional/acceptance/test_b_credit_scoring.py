"""Scenario (b): a bank's applicants scored over housing fund, civil affairs and social security; contract to receipt.

B1, the model's AUC against the clear one, and B11, what is on the wire: `test_b_training.py`. B9, objections:
`test_b_objections.py`. B5 in a browser: `tests/functional/test_subject_page.py`.
"""

import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from compute.engines import reference_models
from compute.engines.scoring import consents, engine
from compute.protocol import operations
from exchange.runner import people
from exchange.runner.checks import canary_hits
from tests.functional.acceptance.persons import Person

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]

FOREVER, PURPOSE = 99991231, "credit_risk_statistics"
AGENCIES = ("fund-a", "civil", "social")
FEATURES = {"fund-a": ["monthly", "months"], "civil": ["married_years", "spouse_income"], "social": ["gaps", "paid"]}
BOUNDS = {"monthly": 20_000, "months": 480, "married_years": 80, "spouse_income": 100_000, "gaps": 24, "paid": 480}
APPLICANTS = 40
EXPIRED, OTHER_PURPOSE, OTHER_BANK, NOBODY, WITHDRAWN, SPOUSE_SILENT = 3, 5, 7, 9, 11, 13
HOLDER = 1  # has given the bank a notice card
CARD = {
    "type": "hengshu/score-card/v1",
    "kind": "scorecard",
    "version": "2026-11",
    "base": 560,
    "shift": 0,
    "features": [
        {"column": "monthly", "cuts": [500, 1500], "points": [-40, 0, 30], "absent": -20},
        {"column": "months", "cuts": [12, 60], "points": [-50, 10, 40], "absent": -30},
        {"column": "married_years", "cuts": [3], "points": [0, 15], "absent": 0},
        {"column": "spouse_income", "cuts": [5_000], "points": [0, 25], "absent": 5},
        {"column": "gaps", "cuts": [1, 6], "points": [20, 0, -60], "absent": -10},
        {"column": "paid", "cuts": [36], "points": [-20, 20], "absent": -20},
        {"column": "amount", "cuts": [200_000], "points": [10, -25], "absent": 0},
    ],
}
COMPARED = {"level": "plaintext_after_compare"}


class Bank:
    """The bank's scoring: tables with consents at three agencies, a card, a contract of three runs.

    Args:
        cards: public keys of notice cards, by the applicant's number.
    """

    def __init__(self, market, *, cards=None):
        self.market = market
        urn = market.story.organizations
        self.recipient = f"{urn['bank']['urn']} {PURPOSE}"
        self.others = [self.recipient, f"{urn['bank']['urn']} marketing", f"{urn['civil']['urn']} {PURPOSE}"]
        self.persons = [one.person_id for one in people.city((("990102", "西岭区", 1.0),), count=60, seed=42)]
        self.applicants = self.persons[:APPLICANTS]
        products = {}
        for code in AGENCIES:
            columns, rows = self._agency(code)
            market.table(code, "score_features", columns, rows)
            products[code] = market.product(code, "score_features", name="评分特征", operations=["credit_scoring"])
        amounts = random.Random(8)
        rows = [
            {"person_id": one, "amount": str(amounts.randrange(1_000_000)), "notice_key": (cards or {}).get(number, "")}
            for number, one in enumerate(self.applicants)
        ]
        amount = {"type": "integer", "min": 0, "max": 1_000_000}
        columns = {"person_id": {"type": "text"}, "amount": amount, "notice_key": {"type": "text"}}
        market.table("bank", "to_score", columns, rows)
        self.commitment = self._models("bank", "card", "card.json")
        for code in AGENCIES:
            self._models(code, "release", self.commitment)
        self.products = products
        self.contract, self.trial = self._agreed(runs=3), self._agreed(runs=1)
        self.parameters = operations.credit_scoring(
            dataset="to_score",
            commitment=market.commitments["bank", "to_score"],
            features=[{"provider": urn[code]["urn"], "columns": FEATURES[code]} for code in AGENCIES],
            own=["amount"],
            model={"kind": "scorecard", "version": CARD["version"], "commitment": self.commitment},
            cuts=2,
        )

    def _agreed(self, *, runs):
        """A contract of so many runs; a node's standing consent covers no more a day."""
        names = {code: [name for name in self._agency(code)[0] if name != "person_id"] for code in AGENCIES}
        quota = {"total": runs, "per_day": runs, "rate_per_minute": 10}
        return self.market.contract("credit_scoring", self.products, columns=names, requester=True, quota=quota)

    def _agency(self, code):
        """Columns and rows: everybody with consent, but for the planted ones."""
        rng, spouse = random.Random(code), code == "civil"
        columns = {"person_id": {"type": "text"}}
        for name in FEATURES[code]:
            columns[name] = {"type": "integer", "min": 0, "max": BOUNDS[name], **COMPARED}
        for scope in ("", "spouse_") if spouse else ("",):
            columns[f"{scope}consent_until"] = {"type": "integer", "min": 0, "max": FOREVER, **COMPARED}
            columns[f"{scope}consent_for"] = {"type": "category", "values": self.others, **COMPARED}
        rows = []
        for number, person in enumerate(self.persons):
            if number == NOBODY:
                continue
            row = {"person_id": person, **{name: str(rng.randrange(BOUNDS[name])) for name in FEATURES[code]}}
            row |= {"consent_until": str(FOREVER), "consent_for": self.recipient}
            if spouse:
                silent = number == SPOUSE_SILENT
                row |= {"spouse_consent_until": "0" if silent else str(FOREVER), "spouse_consent_for": self.recipient}
            if code == "fund-a":
                row |= {
                    EXPIRED: {"consent_until": "20200101"},
                    OTHER_PURPOSE: {"consent_for": self.others[1]},
                    OTHER_BANK: {"consent_for": self.others[2]},
                }.get(number, {})
            rows.append(row)
        return columns, rows

    def _models(self, code, *words, stdin="", card=CARD):
        """The node's own tool for cards, releases and withdrawals."""
        folder = self.market.story.stack.member(code)
        (folder / "card.json").write_text(json.dumps(card))
        command = [sys.executable, "-m", "compute.node.models", "--home", "node", *words]
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def withdraw(self, code, person):
        self._models(code, "withdraw", stdin=person + "\n")

    def unreleased(self) -> str:
        """The commitment of a card that reads one column out, which no agency has released."""
        other = json.loads(json.dumps(CARD))
        other["features"][0]["points"] = [0, 0, 100]
        return self._models("bank", "card", "card.json", card=other)

    def ask(self):
        return self.market.ask(self.contract, "credit_scoring", self.parameters)

    def oracle(self, tmp_path, *, withdrawn=frozenset()):
        """The same scores from the tables in the clear, by the reference."""
        return reference_models.scores(
            CARD,
            applicants=self._clear(tmp_path, "bank", "to_score"),
            agencies=[self._clear(tmp_path, code, "score_features") for code in AGENCIES],
            features=[FEATURES[code] for code in AGENCIES],
            own=["amount"],
            names=engine.feature_names(
                self.parameters, [self.market.story.organizations[code]["urn"] for code in ("bank", *AGENCIES)]
            ),
            recipient=self.recipient,
            day=consents.today(datetime.now(UTC)),
            withdrawn=withdrawn,
        )

    def _clear(self, tmp_path, code, dataset):
        folder = tmp_path / f"{code}-{dataset}"
        folder.mkdir(exist_ok=True)
        machine = self.market.story.stack.member(code)
        shutil.copy(machine / "source" / f"{dataset}.csv", folder / "data.csv")
        shutil.copy(machine / "node" / "datasets" / dataset / "1" / "schema.json", folder / "schema.json")
        return folder


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
