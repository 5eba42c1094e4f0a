"""A bank, three agencies, their tables, and one scoring or training among them in real processes."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.engines import launcher
from compute.engines.scoring import kept
from compute.protocol import operations
from tests.factories.engines import Job, write_dataset

BANK, FUND, CIVIL, SOCIAL = (f"urn:hengshu:org:01JD000000000000000000000{letter}" for letter in "BFCS")
ORGANIZATIONS = (BANK, FUND, CIVIL, SOCIAL)
PURPOSE = "credit_review"
RECIPIENT = f"{BANK} {PURPOSE}"
OTHERS = (RECIPIENT, f"{BANK} marketing", f"{CIVIL} {PURPOSE}")
FOREVER = 99991231

FUND_VALUES = {"monthly": (2, 0, 2_000_000), "months": (0, 0, 480)}
CIVIL_VALUES = {"married_years": (0, 0, 80), "spouse_income": (0, 0, 100_000)}
SOCIAL_VALUES = {"gaps": (0, 0, 24), "paid": (0, 0, 480)}
VALUES = (FUND_VALUES, CIVIL_VALUES, SOCIAL_VALUES)
APPLICANT_VALUES = {"amount": (0, 0, 1_000_000)}
FEATURES = [
    {"provider": provider, "columns": list(values)} for provider, values in zip(ORGANIZATIONS[1:], VALUES, strict=True)
]
CARD_FEATURES: list[dict[str, Any]] = [
    {"column": "monthly", "cuts": [50_000, 150_000], "points": [-40, 0, 30], "absent": -20},
    {"column": "months", "cuts": [12, 24, 60], "points": [-50, -10, 10, 40], "absent": -30},
    {"column": "married_years", "cuts": [3], "points": [0, 15], "absent": 0},
    {"column": "spouse_income", "cuts": [5_000], "points": [0, 25], "absent": 5},
    {"column": "gaps", "cuts": [1, 6], "points": [20, 0, -60], "absent": -10},
    {"column": "paid", "cuts": [36], "points": [-20, 20], "absent": -20},
    {"column": "amount", "cuts": [200_000], "points": [10, -25], "absent": 0},
]


def person(number: int) -> str:
    """An identifier of nobody."""
    return f"99010119800101{number:04d}"


def row(number: int, values: dict[str, tuple[int, int, int]], *, seed: int = 0, **changed: Any) -> dict[str, str]:
    """One row of an agency with valid consents unless changed."""
    drawn = random.Random(f"{seed} {number}")
    found = {"person_id": person(number)}
    for name, (scale, low, high) in values.items():
        drew = changed.pop(name, drawn.randint(low, high))
        found[name] = f"{drew / 10**scale:.{scale}f}" if scale else str(drew)
    found |= {"consent_until": str(FOREVER), "consent_for": RECIPIENT}
    if any(name.startswith("spouse_") for name in values):
        found |= {"spouse_consent_until": str(FOREVER), "spouse_consent_for": RECIPIENT}
    return found | {name: str(value) for name, value in changed.items()}


def agency(path: Path, rows: list[dict[str, str]], values: dict[str, tuple[int, int, int]]) -> Path:
    """An agency's stored dataset with its consents."""
    numbers = {**values, "consent_until": (0, 0, FOREVER)}
    blocks = {"consent_for": OTHERS}
    if any(name.startswith("spouse_") for name in values):
        numbers["spouse_consent_until"] = (0, 0, FOREVER)
        blocks["spouse_consent_for"] = OTHERS
    return write_dataset(path, rows, blocks=blocks, values=numbers)


def applicants(path: Path, numbers: list[int], **values: Any) -> Path:
    """The bank's table of applicants."""
    drawn = random.Random(7)
    rows = [{"person_id": person(number), "amount": str(drawn.randrange(1_000_000))} for number in numbers]
    return write_dataset(path, rows, blocks={}, values={**APPLICANT_VALUES, **values})


@dataclass
class Deal(Job):
    """One run of the bank and three others; `state` is where each node keeps models."""

    organizations: tuple[str, ...] = ORGANIZATIONS
    computation: str = "urn:hengshu:computation:01JD000000000000000000000A"
    state: Path = field(default=Path())

    @property
    def job(self) -> dict[str, Any]:
        """See Job; with organisations."""
        parties = [
            {"rank": rank, "role": "data" if dataset else "compute", "organization": self.organizations[rank]}
            for rank, dataset in enumerate(self.datasets)
        ]
        return {**super().job, "id": self.computation, "parties": parties}

    @property
    def request(self) -> dict[str, Any]:
        """See Job; with the purpose."""
        return {**super().request, "purpose": PURPOSE}

    def kept(self, rank: int) -> Path:
        """Where this party's node keeps cards, models and withdrawals."""
        found = self.state / f"node{rank}" / "scoring-models"
        found.mkdir(parents=True, exist_ok=True)
        return found

    def start(self, rank: int, **changed: Any) -> launcher.Run:
        """See Job; with the node's state."""
        own = self.kept(rank).parent / self.engine.id.replace("/", "-")
        own.mkdir(exist_ok=True)
        return super().start(rank, **{"state": own, **changed})


def scoring(
    root: Path, document: dict[str, Any], datasets: list[Path | None], *, state: Path | None = None, **changed: Any
) -> Deal:
    """A scoring with a card of the bank's own."""
    cuts = max((len(item.get("cuts", ())) for item in document["features"]), default=0)
    deal = Deal(root=root, operation="credit_scoring", parameters={}, datasets=datasets, state=state or root)
    commitment = kept.write_card(deal.kept(0), document)
    for rank in range(1, 4):
        kept.release_card(deal.kept(rank), commitment)
    deal.parameters = operations.credit_scoring(
        **{
            "dataset": "applicants",
            "commitment": "0" * 64,
            "features": FEATURES,
            "own": ["amount"],
            "model": {"kind": document["kind"], "version": document["version"], "commitment": commitment},
            "cuts": cuts,
            **changed,
        }
    )
    return deal


def pair_training(root: Path, datasets: list[Path | None], **changed: Any) -> Deal:
    """A training between the bank and the civil affairs office alone."""
    parameters = operations.two_party_training(
        **{"dataset": "applicants", "commitment": "0" * 64, "label": "label", **changed}
    )
    return Deal(
        root=root,
        state=root,
        operation="two_party_training",
        parameters=parameters,
        datasets=datasets,
        organizations=(BANK, CIVIL),
        deadline_seconds=120,
    )


def pair_trained(
    root: Path, state: Path, datasets: list[Path | None], *, commitment: str, version: str, **changed: Any
) -> Deal:
    """A scoring between the two with the model that both keep in `state`."""
    model = {"kind": "trained", "version": version, "commitment": commitment, "offset": 575, "factor": 72}
    parameters = operations.two_party_scoring(
        **{"dataset": "applicants", "commitment": "0" * 64, "model": model, **changed}
    )
    return Deal(
        root=root,
        state=state,
        operation="two_party_scoring",
        parameters=parameters,
        datasets=datasets,
        organizations=(BANK, CIVIL),
    )


CIVIL_CARD = [item for item in CARD_FEATURES if item["column"] in (*CIVIL_VALUES, *APPLICANT_VALUES)]


def paired(root: Path, document: dict[str, Any], datasets: list[Path | None], **changed: Any) -> Deal:
    """A scoring between the bank and the civil affairs office alone, with a card that the office has released."""
    deal = Deal(root=root, operation="two_party_scoring", parameters={}, datasets=datasets, state=root)
    deal.organizations = (BANK, CIVIL)
    commitment = kept.write_card(deal.kept(0), document)
    kept.release_card(deal.kept(1), commitment)
    deal.parameters = operations.two_party_scoring(
        **{
            "dataset": "applicants",
            "commitment": "0" * 64,
            "features": [{"provider": CIVIL, "columns": list(CIVIL_VALUES)}],
            "own": ["amount"],
            "model": {"kind": document["kind"], "version": document["version"], "commitment": commitment},
            **changed,
        }
    )
    return deal
