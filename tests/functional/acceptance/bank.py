"""A bank that has applicants scored: its tables, those of its agencies with consents, a card, its contracts."""

import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime

from compute.engines import reference_models
from compute.engines.scoring import consents, engine
from compute.protocol import operations
from exchange.runner import people
from tests.functional.acceptance.borrowers import COMPARED, FOREVER, PURPOSE

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


class Bank:
    """The bank's scoring: tables with consents at its agencies, a card, a contract of three runs and one of one.

    Args:
        cards: public keys of notice cards, by the applicant's number.
        operation: what computes the scores. agencies: over whose columns; its tables are named
            after the operation, and its persons are its own, because a withdrawn consent stays withdrawn.
    """

    def __init__(self, market, *, cards=None, operation="credit_scoring", agencies=AGENCIES):
        self.market, self.operation, self.agencies = market, operation, agencies
        self.card = {**CARD, "features": [one for one in CARD["features"] if one["column"] in self._columns()]}
        urn = market.story.organizations
        self.recipient = f"{urn['bank']['urn']} {PURPOSE}"
        self.others = [self.recipient, f"{urn['bank']['urn']} marketing", f"{urn['civil']['urn']} {PURPOSE}"]
        self.persons = [
            one.person_id for one in people.city((("990102", "西岭区", 1.0),), count=60, seed=sum(operation.encode()))
        ]
        self.applicants = self.persons[:APPLICANTS]
        products = {}
        for code in agencies:
            columns, rows = self._agency(code)
            market.table(code, f"{operation}_features", columns, rows)
            products[code] = market.product(code, f"{operation}_features", name="评分特征", operations=[operation])
        amounts = random.Random(8)
        rows = [
            {"person_id": one, "amount": str(amounts.randrange(1_000_000)), "notice_key": (cards or {}).get(number, "")}
            for number, one in enumerate(self.applicants)
        ]
        amount = {"type": "integer", "min": 0, "max": 1_000_000}
        columns = {"person_id": {"type": "text"}, "amount": amount, "notice_key": {"type": "text"}}
        market.table("bank", f"{operation}_rows", columns, rows)
        self.commitment = self._models("bank", "card", "card.json")
        for code in agencies:
            self._models(code, "release", self.commitment)
        self.products = products
        self.contract, self.trial = self._agreed(runs=3), self._agreed(runs=1)
        asked = {
            "dataset": f"{operation}_rows",
            "commitment": market.commitments["bank", f"{operation}_rows"],
            "features": [{"provider": urn[code]["urn"], "columns": FEATURES[code]} for code in agencies],
            "own": ["amount"],
            "model": {"kind": "scorecard", "version": CARD["version"], "commitment": self.commitment},
        }
        if operation == operations.CREDIT_SCORING:
            self.parameters = operations.credit_scoring(**asked, cuts=2)
        else:
            self.parameters = operations.two_party_scoring(**asked)

    def _agreed(self, *, runs):
        """A contract of so many runs; a node's standing consent covers no more a day."""
        names = {code: [name for name in self._agency(code)[0] if name != "person_id"] for code in self.agencies}
        quota = {"total": runs, "per_day": runs, "rate_per_minute": 10}
        return self.market.contract(self.operation, self.products, columns=names, requester=True, quota=quota)

    def _columns(self):
        """The columns of the card: the bank's own, and those of the agencies."""
        return {"amount", *(name for code in self.agencies for name in FEATURES[code])}

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

    def _models(self, code, *words, stdin="", card=None):
        """The node's own tool for cards, releases and withdrawals."""
        folder = self.market.story.stack.member(code)
        (folder / "card.json").write_text(json.dumps(card or self.card))
        command = [sys.executable, "-m", "compute.node.models", "--home", "node", *words]
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def withdraw(self, code, person):
        self._models(code, "withdraw", stdin=person + "\n")

    def unreleased(self) -> str:
        """The commitment of a card that reads one column out, which no agency has released."""
        other = json.loads(json.dumps(self.card))
        first = other["features"][0]
        first["points"] = [*(0 for _ in first["cuts"]), 100]
        return self._models("bank", "card", "card.json", card=other)

    def ask(self):
        return self.market.ask(self.contract, self.operation, self.parameters)

    def oracle(self, tmp_path, *, withdrawn=frozenset()):
        """The same scores from the tables in the clear, by the reference."""
        return reference_models.scores(
            self.card,
            applicants=self._clear(tmp_path, "bank", f"{self.operation}_rows"),
            agencies=[self._clear(tmp_path, code, f"{self.operation}_features") for code in self.agencies],
            features=[FEATURES[code] for code in self.agencies],
            own=["amount"],
            names=engine.feature_names(
                self.parameters, [self.market.story.organizations[code]["urn"] for code in ("bank", *self.agencies)]
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
