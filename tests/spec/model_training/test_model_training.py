"""model_training: one run of real processes, two agencies and a compute party; what it keeps, and what that scores."""

import base64
import json
import math
import random
import stat
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from compute.engines import reference_models
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.scoring import kept
from compute.protocol import operations
from tests.factories import scoring as world
from tests.factories.engines import write_dataset

pytestmark = pytest.mark.engine

VERSION = "urn:hengshu:computation:01JD000000000000000000000A"
PEOPLE = 256
FUND, SOCIAL = {"months": (0, 0, 480)}, {"gaps": (0, 0, 24), "paid": (0, 0, 480)}
FEATURES = [
    {"provider": world.FUND, "columns": ["months"]},
    {"provider": world.SOCIAL, "columns": ["gaps", "paid"]},
]


@dataclass(frozen=True)
class Trained:
    """A finished training, and the rows it was made of."""

    deal: world.Deal
    parts: list[bytes]
    rows: list[list[float]]
    labels: list[int]

    def kept(self, rank: int) -> dict[str, Any]:
        """What one party's node keeps of the model."""
        (path,) = self.deal.kept(rank).glob("models/*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def words(self, rank: int) -> Any:
        """One computing party's shares. Shape: (weights, 2)."""
        return np.frombuffer(base64.b64decode(self.kept(rank)["shares"]), np.uint64).reshape(-1, 2)

    def commitment(self) -> str:
        """The commitment that the result names."""
        found = self.deal.engine.open(self.parts, job=self.deal.job, request=self.deal.request).describe()
        return str(found["commitment"])

    def weights(self) -> list[float]:
        """What two of the three together could do; the test is all of them."""
        first, second = self.words(1), self.words(2)
        found: list[float] = ((first[:, 0] + first[:, 1] + second[:, 1]).view(np.int64) / 2**18).tolist()
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root, drawn = tmp_path_factory.mktemp("training"), random.Random(4)
    months = [drawn.randrange(480) for _ in range(PEOPLE)]
    gaps = [drawn.randrange(25) for _ in range(PEOPLE)]
    paid = [drawn.randrange(481) for _ in range(PEOPLE)]
    labels = [
        int(drawn.random() < 1 / (1 + math.exp(-(0.25 * (g - 12) - 0.012 * (m - 240)))))
        for g, m in zip(gaps, months, strict=True)
    ]
    fund = world.agency(root / "fund", [world.row(n, FUND, months=months[n]) for n in range(PEOPLE)], FUND)
    social = world.agency(
        root / "social", [world.row(n, SOCIAL, gaps=gaps[n], paid=paid[n]) for n in reversed(range(PEOPLE))], SOCIAL
    )
    bank = [{"person_id": world.person(n), "label": str(label)} for n, label in enumerate(labels)]
    applicants = write_dataset(root / "bank", bank, blocks={}, values={"label": (0, 0, 1)})
    parameters = operations.model_training(
        dataset="applicants", commitment="0" * 64, label="label", features=FEATURES, epochs=12, batch=64
    )
    deal = world.Deal(
        root=root / "run",
        state=root,
        operation=operations.MODEL_TRAINING,
        parameters=parameters,
        datasets=[applicants, fund, social, None],
        organizations=(world.BANK, world.FUND, world.SOCIAL, world.CIVIL),
    )
    parts = [run.part() for run in deal.run()]
    columns = [_standardised(column) for column in (months, gaps, paid)]
    return Trained(deal, parts, [list(row) for row in zip(*columns, strict=True)], labels)


def _standardised(column: list[int]) -> list[float]:
    mean = sum(column) / len(column)
    spread = math.sqrt(sum((one - mean) ** 2 for one in column) / len(column))
    return [(one - mean) / spread for one in column]


def test_b1_the_shared_model_ranks_as_the_one_trained_in_the_clear(trained: Trained) -> None:
    clear = reference_models.train(trained.rows, trained.labels, epochs=48, rate=0.5)

    ours, theirs = (
        reference_models.area([reference_models.probability(weights, row) for row in trained.rows], trained.labels)
        for weights in (trained.weights(), clear)
    )

    assert theirs > 0.75
    assert abs(ours - theirs) < 0.01
    assert trained.weights() == pytest.approx(clear, abs=0.25)


def test_the_result_names_the_model_and_holds_no_weight(trained: Trained) -> None:
    found = trained.deal.engine.open(trained.parts, job=trained.deal.job, request=trained.deal.request).describe()

    assert found == {
        "type": "trained_model/v1",
        "model_version": VERSION,
        "commitment": found["commitment"],
        "features": [[], ["months"], ["gaps", "paid"]],
    }
    assert not any(b"shares" in part for part in trained.parts)
    with pytest.raises(PartInvalid):
        trained.deal.engine.open(
            [trained.parts[0].replace(b"months", b"amount"), *trained.parts[1:]],
            job=trained.deal.job,
            request=trained.deal.request,
        )


def test_each_party_keeps_its_share_and_its_own_scaling_and_nothing_else(trained: Trained) -> None:
    modes = {
        stat.S_IMODE(path.stat().st_mode) for rank in range(4) for path in trained.deal.kept(rank).glob("models/*.json")
    }
    found = [trained.kept(rank) for rank in range(4)]

    assert modes == {0o600}
    assert [len(one["means"]) for one in found] == [0, 1, 2, 0]
    assert found[0]["shares"] is None
    # No party's two numbers add up to a weight; a share of a small weight is as large as any number of the ring.
    for rank in (1, 2, 3):
        alone = trained.words(rank).view(np.int64)
        assert np.abs(alone).min() > 2**40
        assert np.abs(alone[:, 0] + alone[:, 1]).min() > 2**40


def test_another_run_cannot_use_the_model_under_another_commitment(trained: Trained) -> None:
    found = kept.read(trained.deal.kept(1), VERSION, expected=trained.commitment(), rank=1)
    assert found.version == VERSION
    for expected, rank in (("0" * 64, 1), (found.commitment, 2)):
        with pytest.raises(EngineRefused) as refused:
            kept.read(trained.deal.kept(1), VERSION, expected=expected, rank=rank)
        assert refused.value.code == "JOB_DIFFERS"
