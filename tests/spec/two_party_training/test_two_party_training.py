"""two_party_training: one run of real processes with full keys; what it keeps, and what that predicts."""

import base64
import json
import math
import random
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute.engines import reference_models
from compute.engines.errors import EngineRefused, PartInvalid
from tests.factories import scoring as world
from tests.factories.engines import write_dataset

pytestmark = pytest.mark.engine

VERSION = "urn:hengshu:computation:01JD000000000000000000000A"
PEOPLE, STRANGERS, DENIED = 220, 30, range(0, 220, 11)
CIVIL = {"gaps": (0, 0, 24), "paid": (1, 0, 480), "spouse_income": (0, 0, 100_000)}
FEATURES = [{"provider": world.CIVIL, "columns": list(CIVIL)}]
STEPS, RATE, DECAY = 12, 0.5, 0.001


@dataclass(frozen=True)
class Trained:
    """A finished training, and the rows it was made of."""

    deal: world.Deal
    parts: list[bytes]
    rows: Any
    labels: Any
    progress: str = ""

    def kept(self, rank: int) -> dict[str, Any]:
        """What one party's node keeps of the model."""
        (path,) = self.deal.kept(rank).glob("models/*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def shares(self, rank: int) -> list[int]:
        """One party's shares, as they are kept."""
        data = base64.b64decode(self.kept(rank)["shares"])
        return [int.from_bytes(data[start : start + 16], "big") for start in range(0, len(data), 16)]

    def weights(self) -> list[float]:
        """What both together could do; the test is both. The agency's columns, the bank's, the constant."""
        theirs = [*self.shares(1), 0, 0]
        found = [(one + two) % 2**128 for one, two in zip(self.shares(0), theirs, strict=True)]
        return [(one - (1 << 128) if one >> 127 else one) / 2**18 for one in found]


def _standardised(values: Any, usable: Any) -> Any:
    chosen = values[usable]
    return np.where(usable, np.clip((values - chosen.mean()) / chosen.std(), -8, 8), 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root, drawn = tmp_path_factory.mktemp("pair-training"), random.Random(4)
    people = range(PEOPLE + STRANGERS)
    gaps = np.array([drawn.randrange(25) for _ in people])
    paid = np.array([drawn.randrange(481) for _ in people])
    income = np.array([drawn.randrange(100_000) for _ in people])
    amount = np.array([drawn.randrange(1_000_000) for _ in people])
    odds = 0.3 * (gaps - 12) - 0.01 * (paid - 240) + 4e-6 * (amount - 500_000)
    labels = np.array([int(drawn.random() < 1 / (1 + math.exp(-one))) for one in odds])
    silent = {number: {"spouse_consent_until": 0} for number in range(0, PEOPLE, 3)}
    silent |= {number: {"consent_until": 20200101} for number in DENIED}
    rows = [
        world.row(
            number,
            CIVIL,
            gaps=int(gaps[number]),
            paid=int(paid[number]),
            spouse_income=int(income[number]),
            **silent.get(number, {}),
        )
        for number in reversed(range(PEOPLE))
    ]
    agency = world.agency(root / "civil", rows, CIVIL)
    asked = list(range(10, PEOPLE + STRANGERS))
    drawn.shuffle(asked)
    bank = write_dataset(
        root / "bank",
        [{"person_id": world.person(n).lower(), "label": str(labels[n]), "amount": str(amount[n])} for n in asked],
        blocks={},
        values={"label": (0, 0, 1), "amount": (0, 0, 1_000_000)},
    )
    deal = world.pair_training(
        root / "run",
        [bank, agency],
        features=FEATURES,
        own=["amount"],
        steps=STEPS,
        rate_thousandths=int(RATE * 1000),
        decay_millionths=int(DECAY * 1_000_000),
    )
    parts = [run.part() for run in deal.run()]
    here = np.arange(PEOPLE)
    own = np.isin(here, list(DENIED), invert=True)
    spouse = own & (here % 3 != 0)
    usable = (own, own, spouse)
    theirs = [_standardised(v[:PEOPLE], u) for v, u in zip((gaps, paid, income), usable, strict=True)]
    amounts = (amount - amount[asked].mean()) / amount[asked].std()
    met = [number for number in asked if number < PEOPLE and own[number]]
    table = np.stack([*(one[met] for one in theirs), amounts[met], np.ones(len(met))])
    return Trained(deal, parts, table, labels[met])


def test_b1_the_shares_are_those_of_the_same_descent_in_the_clear(trained: Trained) -> None:
    x, y, slots = trained.rows, 2 * trained.labels - 1, 256
    weights = before = np.zeros(len(x))
    for _ in range(STEPS):
        slope = (x @ (x.T @ weights) / 4 - x @ y / 2) / slots + DECAY * weights
        weights, before = weights - RATE * slope + 0.8 * (weights - before), weights

    assert np.abs(weights).max() > 0.5
    assert np.abs(np.array(trained.weights()) - weights).max() < 0.002
    ours, clear = (
        reference_models.area((np.array(one) @ x).tolist(), trained.labels.tolist())
        for one in (trained.weights(), weights)
    )
    assert abs(ours - clear) < 0.001


def test_b1_the_taylor_model_ranks_as_the_logistic_regression(trained: Trained) -> None:
    rows = trained.rows[:-1].T.tolist()
    logistic = reference_models.train(rows, trained.labels.tolist(), epochs=120, rate=1.0)

    ours, full = (
        reference_models.area((np.array(one) @ trained.rows).tolist(), trained.labels.tolist())
        for one in (trained.weights(), logistic)
    )
    assert full > 0.8
    assert abs(ours - full) < 0.005


def test_one_party_s_shares_say_nothing_and_the_files_are_its_own(trained: Trained) -> None:
    weights = trained.weights()
    for rank in range(2):
        distances = [
            share - round(one * 2**18) for share, one in zip(trained.shares(rank)[:3], weights[:3], strict=True)
        ]
        assert all(abs(one) > 2**60 for one in distances)
        (path,) = trained.deal.kept(rank).glob("models/*.json")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The bank's own columns and the constant are its own.
    own = [share - (1 << 128) if share >> 127 else share for share in trained.shares(0)[3:]]
    assert [one / 2**18 for one in own] == weights[3:]
    assert len(trained.shares(1)) == 3


def test_the_result_names_the_model_and_holds_nothing_of_it(trained: Trained) -> None:
    found = trained.deal.engine.open(trained.parts, job=trained.deal.job, request=trained.deal.request).describe()

    assert set(found) == {"type", "model_version", "commitment", "features"}
    assert found["model_version"] == VERSION
    assert found["features"] == [["amount"], list(CIVIL)]
    assert len(trained.parts[0]) == len(trained.parts[1])
    other = json.dumps({**json.loads(trained.parts[1]), "commitment": "0" * 64}).encode()
    with pytest.raises(PartInvalid):
        trained.deal.engine.open([trained.parts[0], other], job=trained.deal.job, request=trained.deal.request)


def test_the_model_scores_without_being_opened(trained: Trained) -> None:
    found = trained.deal.engine.open(trained.parts, job=trained.deal.job, request=trained.deal.request).describe()
    deal = world.pair_trained(
        trained.deal.root.parent / "scoring",
        trained.deal.state,
        trained.deal.datasets,
        commitment=found["commitment"],
        version=VERSION,
        features=FEATURES,
        own=["amount"],
    )

    rows = deal.result()["rows"]

    scored = [row["score"] for row in rows if row["status"] == "scored"]
    odds = np.array(trained.weights()) @ trained.rows
    wanted = np.clip(575 - 72 * odds, 300, 850)
    # Rounded below a point by the agency, and the columns to 2^-12 before.
    assert np.abs(np.array(scored) - wanted).max() < 1.2
    assert len(set(scored)) > 50
    assert sum(row["status"] == "no_record" for row in rows) == STRANGERS
    assert sum(row["status"] == "denied_consent" for row in rows) == len([n for n in DENIED if n >= 10])


def test_too_few_in_both_end_the_run_and_leave_no_model(tmp_path: Path) -> None:
    agency = world.agency(tmp_path / "civil", [world.row(n, CIVIL) for n in range(120)], CIVIL)
    rows = [{"person_id": world.person(n), "label": str(n % 2)} for n in range(30, 180)]
    bank = write_dataset(tmp_path / "bank", rows, blocks={}, values={"label": (0, 0, 1)})
    deal = world.pair_training(tmp_path / "run", [bank, agency], features=FEATURES)

    codes = []
    for run in deal.run():
        with pytest.raises(EngineRefused) as refused:
            run.part()
        codes.append(refused.value.code)

    assert codes == ["MIN_GROUP_TOO_SMALL", "PEER_LOST"]
    assert not list(tmp_path.glob("run/node*/scoring-models/models/*"))
