"""Random tables, consents and cards: what three parties compute under ABY3 is what the reference says.

The parties are threads of this process here (the library's simulator, in-memory links), so that one compilation serves
many worlds; real processes are in `tests/spec/credit_scoring`.
"""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute.engines import loading, reference_models
from compute.engines.errors import EngineRefused
from compute.engines.scoring import answers, cards, circuits, disputes, engine, kept, parties
from tests.factories import scoring as world
from tests.unit.engines.test_scoring import context

pytestmark = pytest.mark.engine

SLOTS, CUTS, DAY = 64, 3, 20261121
SPOUSE = ((False, False), (False, True), (False, False))
COLUMNS = [name for values in (*world.VALUES, world.APPLICANT_VALUES) for name in values]
BOUNDS = [bound[1:] for values in (*world.VALUES, world.APPLICANT_VALUES) for bound in values.values()]


class Aby3:
    """One program, compiled once, for many inputs."""

    def __init__(self, program: Any, shapes: list[tuple[int, ...]]) -> None:
        import jax
        import spu.libspu as libspu
        import spu.utils.frontend as frontend
        from spu.utils.simulation import Simulator

        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # jax leaves it untyped
        self._simulator = Simulator.simple(3, libspu.ProtocolKind.ABY3, libspu.FieldType.FM64)
        names = [f"in{number}" for number in range(len(shapes))]
        secret = [libspu.Visibility.VIS_SECRET] * len(shapes)
        examples = [np.zeros(shape, np.int64) for shape in shapes]
        self._executable, _ = frontend.compile(
            frontend.Kind.JAX, program, examples, {}, names, secret, lambda _: ["out"]
        )

    def __call__(self, *arrays: Any) -> Any:
        return self._simulator(self._executable, *arrays)[0]


def whole(layout: circuits.Layout) -> Aby3:
    """Three joins and the model in one program."""

    def program(model: Any, own: Any, keys: Any, *tables: Any) -> Any:
        join = circuits.join(SLOTS, SLOTS)
        found = [join(keys, theirs, columns) for theirs, columns in zip(tables[::2], tables[1::2], strict=True)]
        return circuits.score(layout)(model, own, *found)

    tables: list[tuple[int, ...]] = [(SLOTS,), (circuits.BITS + 2, SLOTS)] * 3
    return Aby3(program, [(layout.model_numbers,), (1, SLOTS), (SLOTS,), *tables])


def agencies(root: Path, drawn: random.Random) -> list[Path]:
    found = []
    for place, values in enumerate(world.VALUES):
        rows = []
        for number in sorted(drawn.sample(range(40), drawn.randint(10, 35))):
            changed: dict[str, Any] = {}
            if drawn.random() < 0.15:
                changed |= drawn.choice([{"consent_until": 20200101}, {"consent_for": world.OTHERS[1]}])
            if place == 1 and drawn.random() < 0.4:
                changed |= {"spouse_consent_until": 0}
            rows.append(world.row(number, values, seed=drawn.randrange(1000), **changed))
        found.append(world.agency(root / f"agency{place}", rows, values))
    return found


def dispute(agency: Path, place: int, marks: frozenset[tuple[int, str]]) -> Path:
    """The engine's own directory at an agency whose node keeps these marks."""
    own = agency.parent / f"state{place}" / "aby3_scoring-1"
    for number, (_, person) in enumerate(sorted(mark for mark in marks if mark[0] == place)):
        disputes.mark(own.parent / kept.COMMON, person, objection=f"{number:026d}")
    return own


def scorecard(drawn: random.Random) -> dict[str, Any]:
    features = []
    for column, (low, high) in zip(COLUMNS, BOUNDS, strict=True):
        cuts = sorted(drawn.sample(range(low, high + 2), drawn.randint(0, CUTS)))
        points = [drawn.randint(-60, 60) for _ in range(len(cuts) + 1)]
        features.append({"column": column, "cuts": cuts, "points": points, "absent": drawn.randint(-60, 60)})
    return cards.scorecard(version="any", base=drawn.randint(300, 850), features=features)


def linear(drawn: random.Random) -> dict[str, Any]:
    features = [
        {"column": column, "weight": drawn.randint(-60, 60) * (1 << 16) // high, "absent": drawn.randint(-1, 1) << 20}
        for column, (_, high) in zip(COLUMNS, BOUNDS, strict=True)
    ]
    return cards.linear(version="any", base=drawn.randint(300, 850) << 16, shift=16, features=features)


@pytest.mark.parametrize("make", [scorecard, linear])
def test_random_worlds_score_as_the_reference_says(tmp_path: Path, make: Any) -> None:
    drawn = random.Random(21)
    cuts, shift = (CUTS, 0) if make is scorecard else (0, 16)
    layout = circuits.Layout((2, 2, 2), SPOUSE, 1, cuts, shift)
    circuit = whole(layout)
    space = parties.World(SLOTS, (SLOTS,) * 3, layout, ())

    for number in range(2):  # a world is a second of processor time
        root, card = tmp_path / str(number), make(drawn)
        tables = agencies(root, drawn)
        asked = sorted(drawn.sample(range(45), 30))
        bank = world.applicants(root / "bank", asked)
        key = drawn.randbytes(32)
        applicants = parties.applicants(context(0, bank), loading.load_meta(bank), key, space, label=None, model=None)
        marks = frozenset((place, world.person(drawn.randrange(40))) for place in range(3) for _ in range(5))
        inputs = [
            one
            for rank, path in enumerate(tables, start=1)
            for one in parties.agency_input(
                context(rank, path, state=dispute(path, rank - 1, marks)),
                loading.load_meta(path),
                key,
                space,
                model=None,
            )
        ]
        model = cards.Card.read(json.dumps(card).encode()).numbers(cuts=cuts, bounds=BOUNDS).flat()
        packed = circuit(np.array(model, np.int64), applicants.own, applicants.keys, *inputs)
        names = engine.feature_names(context(0, bank).parameters, world.ORGANIZATIONS)
        found = [
            answers.unpack(int(packed[place]), row=row, features=names)
            for row, place in enumerate(applicants.places.tolist())
        ]

        expected = reference_models.scores(
            card,
            applicants=bank,
            agencies=tables,
            features=[item["columns"] for item in world.FEATURES],
            own=["amount"],
            names=names,
            recipient=world.RECIPIENT,
            day=DAY,
            disputed=marks,
        )
        assert found == expected
        assert {row["disputed"] for row in found} == {True, False}
        assert {row["status"] for row in found} >= {answers.SCORED, answers.DENIED}


def test_an_unreviewed_card_would_read_a_feature_out(tmp_path: Path) -> None:
    """Why agencies release cards: a card of one weight tells one column of everybody, and the engine cannot see it."""
    weights = {"months": 1}
    features = [{"column": column, "weight": weights.get(column, 0), "absent": 0} for column in COLUMNS]
    card = cards.linear(version="thief", base=cards.LOWEST, shift=0, features=features)
    layout = circuits.Layout((2, 2, 2), SPOUSE, 1, 0, 0)
    model = cards.Card.read(json.dumps(card).encode()).numbers(cuts=0, bounds=BOUNDS).flat()
    months = np.random.default_rng(8).integers(0, 481, SLOTS)
    ones = np.ones(SLOTS, np.int64)
    found = [np.stack([ones, ones, ones, 0 * ones, 7 * ones, months if place == 0 else ones]) for place in range(3)]

    packed = Aby3(circuits.score(layout), [(layout.model_numbers,), (1, SLOTS), *[(6, SLOTS)] * 3])(
        np.array(model, np.int64), ones[None], *found
    )

    assert ((packed & 1023) - cards.LOWEST).tolist() == months.tolist()
    with pytest.raises(EngineRefused, match="has not released"):
        kept.check_released(tmp_path, cards.Card.read(json.dumps(card).encode()).commitment)


def test_a_trained_model_scores_as_its_weights_say() -> None:
    layout = circuits.Layout((1, 1, 1), ((False,),) * 3, 0, 0, engine.TRAINED_SHIFT)
    drawn = np.random.default_rng(3)
    weights = (drawn.normal(size=4) * 2**circuits.WEIGHT_BITS).astype(np.int64)
    values = (drawn.normal(size=(3, SLOTS)) * 2**circuits.VALUE_BITS).astype(np.int64)
    nothing = np.zeros(SLOTS, np.int64)
    found = [np.stack([nothing + 1] * 3 + [nothing, one]) for one in values]

    def program(weights: Any, *found: Any) -> Any:
        model = circuits.trained_model(layout, offset=575, factor=72)(weights)
        return circuits.score(layout)(model, [], *found)

    packed = Aby3(program, [(4,), *[(5, SLOTS)] * 3])(weights, *found)

    odds = weights[:3] / 2**18 @ (values / 2**12) + weights[3] / 2**18
    expected = np.clip(np.floor(575 - 72 * odds), cards.LOWEST, cards.HIGHEST)
    assert np.abs((packed & 1023) - expected).max() <= 1
    assert len(set(expected.tolist())) > 20
