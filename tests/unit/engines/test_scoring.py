"""Scoring, part by part: cards and their commitments, consents, shares of outsiders, answers."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute.engines import loading, metadata
from compute.engines.base import Level, StageContext
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.scoring import answers, cards, circuits, consents, disputes, kept, parties, sharing
from compute.engines.scoring.engine import CreditScoring, check_model, columns_of
from compute.engines.scoring.training import ModelTraining
from compute.protocol import operations, shapes
from tests.factories import scoring as world

FEATURE = {"column": "months", "cuts": [12, 24], "points": [-40, 0, 30], "absent": -20}
MODEL = {"kind": "scorecard", "version": "1", "commitment": "0" * 64}


def card(**changed: Any) -> dict[str, Any]:
    return {**cards.scorecard(version="1", base=600, features=[FEATURE], salt="ab" * 32), **changed}


def parameters(**changed: Any) -> dict[str, Any]:
    given = {"features": world.FEATURES, "own": ["amount"], "model": MODEL, "cuts": 3, **changed}
    return operations.credit_scoring(dataset="applicants", commitment="0" * 64, **given)


def context(rank: int, dataset: Path, *, state: Path | None = None, **changed: Any) -> StageContext:
    return StageContext(
        job={"parties": [{"organization": one} for one in world.ORGANIZATIONS], "min_group": 10},
        job_digest="0" * 64,
        request={"parameters": parameters(), "purpose": world.PURPOSE, **changed},
        rank=rank,
        work_dir=dataset,
        addresses={},
        certificate_paths={},
        key_path=dataset,
        dataset=dataset,
        min_group=10,
        deadline=0.0,
        state=state,
    )


# --- cards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "tree"},
        {"salt": "ab"},
        {"extra": 1},
        {"base": 1.5},
        {"shift": 25},
        {"features": []},
        {"features": [FEATURE] * 31},
        {"features": [{**FEATURE, "cuts": [24, 12]}]},
        {"features": [{**FEATURE, "points": [1, 2]}]},
        {"features": [{**FEATURE, "points": [1, 2, 10_001]}]},
        {"features": [{**FEATURE, "absent": True}]},
        {"version": ""},
    ],
)
def test_what_is_not_exactly_a_card_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(EngineRefused) as refused:
        cards.Card.read(json.dumps(card(**changed)).encode())

    assert refused.value.code == "JOB_DIFFERS"


def test_a_commitment_binds_every_number_and_the_salt_hides_them() -> None:
    known = cards.Card.read(json.dumps(card()).encode()).commitment
    other: list[dict[str, Any]] = [
        {"base": 601},
        {"salt": "cd" * 32},
        {"version": "2"},
        {"features": [{**FEATURE, "absent": -21}]},
    ]

    found = {cards.Card.read(json.dumps(card(**changed)).encode()).commitment for changed in other}

    assert known not in found
    assert len(found) == len(other)
    assert cards.scorecard(version="1", base=600, features=[FEATURE])["salt"] != card()["salt"]


def test_a_card_s_numbers_have_the_same_shape_whatever_its_cuts() -> None:
    narrow = {**FEATURE, "cuts": [12], "points": [0, 10]}
    sizes = {
        len(cards.Card.read(json.dumps(card(features=[one])).encode()).numbers(cuts=3, bounds=[(0, 480)]).flat())
        for one in (FEATURE, narrow)
    }

    assert sizes == {2 * 3 + 3 + 1}


@pytest.mark.parametrize(
    ("weight", "bounds", "code"),
    [(1 << 50, [(0, 480)], "VALUE_RANGE_TOO_WIDE"), (1, [(0, 1), (0, 1)], "COLUMN_UNKNOWN")],
)
def test_a_model_that_could_wrap_or_fits_other_columns_is_refused(
    weight: int, bounds: list[tuple[int, int]], code: str
) -> None:
    made = cards.linear(
        version="1", base=0, shift=0, features=[{"column": "months", "weight": weight, "absent": 0}], salt="ab" * 32
    )

    with pytest.raises(EngineRefused) as refused:
        cards.Card.read(json.dumps(made).encode()).numbers(cuts=0, bounds=bounds)

    assert refused.value.code == code


def test_a_kept_card_is_found_by_its_commitment_alone(tmp_path: Path) -> None:
    commitment = kept.write_card(tmp_path, card())

    assert cards.Card.read(kept.read_card(tmp_path, commitment)).commitment == commitment
    for directory, wanted in ((tmp_path, "0" * 64), (None, commitment)):
        with pytest.raises(EngineRefused):
            kept.read_card(directory, wanted)


@pytest.mark.parametrize("member", ["", "features", "organizations"])
def test_a_trained_model_serves_its_own_parties_and_columns_only(tmp_path: Path, member: str) -> None:
    columns = (("amount",), *(tuple(item["columns"]) for item in world.FEATURES))
    model = kept.SharedModel("v", world.ORGANIZATIONS, columns, rank=1, shares=None, means=(), spreads=())
    if member:
        model = replace(model, **{member: getattr(model, member)[::-1]})

    if not member:
        check_model(model, context(1, tmp_path))
        return
    with pytest.raises(EngineRefused) as refused:
        check_model(model, context(1, tmp_path))
    assert refused.value.code == "JOB_DIFFERS"


# --- consents -----------------------------------------------------------------------------------------------


def civil(path: Path, **changed: Any) -> Path:
    return world.agency(path, [world.row(n, world.CIVIL_VALUES, **changed) for n in range(3)], world.CIVIL_VALUES)


def allowed(found: StageContext) -> list[list[int]]:
    """Consent and spouse's consent of the three rows, and the spouse's income as it enters."""
    meta = loading.load_meta(found.own_dataset)
    space = parties.World(64, (64, 64, 64), circuits.Layout((2, 2, 2), ((False,) * 2,) * 3, 1, 3, 0), ())
    _, columns = parties.agency_input(found, meta, b"k" * 32, space, model=None)
    return [columns[place, :3].tolist() for place in (0, 1, circuits.BITS + 1)]


def test_b4_a_withdrawal_counts_at_the_next_run_without_a_new_version(tmp_path: Path) -> None:
    agency = civil(tmp_path / "civil", spouse_income=70_000)
    state = tmp_path / "node" / "aby3_scoring-1"
    directory = kept.directory(context(2, agency, state=state))
    assert directory is not None
    directory.mkdir(parents=True)

    before = allowed(context(2, agency, state=state))
    (directory / consents.WITHDRAWALS).write_text(f"{world.person(0)}\n{world.person(2).upper()},spouse\n")
    after = allowed(context(2, agency, state=state))

    assert before == [[1, 1, 1], [1, 1, 1], [70_000] * 3]
    assert after == [[0, 1, 1], [1, 1, 0], [0, 70_000, 0]]


@pytest.mark.parametrize(
    "changed",
    [
        {"consent_until": 20200101},
        {"consent_until": 0},
        {"consent_for": world.OTHERS[1]},
        {"consent_for": world.OTHERS[2]},
    ],
    ids=["expired", "never given", "another purpose", "another bank"],
)
def test_b3_a_row_without_consent_enters_as_zeros(tmp_path: Path, changed: dict[str, Any]) -> None:
    agency = civil(tmp_path / "civil", spouse_income=70_000, **changed)

    assert allowed(context(2, agency))[0] == [0, 0, 0]
    assert allowed(context(2, agency))[2] == [0, 0, 0]


def test_a_request_for_another_purpose_finds_no_consent(tmp_path: Path) -> None:
    agency = civil(tmp_path / "civil")

    assert allowed(context(2, agency, purpose="collection"))[0] == [0, 0, 0]


def test_a_day_of_consent_is_a_day_in_beijing() -> None:
    assert consents.today(datetime(2026, 11, 20, 16, 0, tzinfo=UTC)) == 20261121
    assert consents.is_valid(20261121, "a b", wanted="a b", day=20261121)
    assert not consents.is_valid(20261120, "a b", wanted="a b", day=20261121)


def test_a_table_that_keeps_no_consent_cannot_be_scored(tmp_path: Path) -> None:
    agency = civil(tmp_path / "civil")
    schema = json.loads((agency / "schema.json").read_text())
    engine = CreditScoring()

    engine.check(parameters(), {2: metadata.from_schema(schema)}, min_group=10)
    for gone in ("consent_until", "consent_for", "spouse_consent_until"):
        less = {**schema, "columns": [item for item in schema["columns"] if item["name"] != gone]}
        less["block_dimensions"] = [name for name in schema["block_dimensions"] if name != gone]
        with pytest.raises(EngineRefused) as refused:
            engine.check(parameters(), {2: metadata.from_schema(less)}, min_group=10)
        assert refused.value.code == "COLUMN_UNKNOWN"


def test_a_consent_is_no_feature(tmp_path: Path) -> None:
    meta = loading.load_meta(civil(tmp_path / "civil"))

    with pytest.raises(EngineRefused, match="holds consents"):
        consents.check(meta, ["consent_until"])


# --- disputes -----------------------------------------------------------------------------------------------

FIRST, SECOND = "01JD0000000000000000000001", "01JD0000000000000000000002"


def marks(found: StageContext) -> list[int]:
    """The dispute bit of the three rows as it enters."""
    meta = loading.load_meta(found.own_dataset)
    space = parties.World(64, (64, 64, 64), circuits.Layout((2, 2, 2), ((False,) * 2,) * 3, 1, 3, 0), ())
    _, columns = parties.agency_input(found, meta, b"k" * 32, space, model=None)
    return columns[2, :3].tolist()


def test_b9_a_record_stays_disputed_until_every_objection_is_answered(tmp_path: Path) -> None:
    agency = civil(tmp_path / "civil")
    state = tmp_path / "node" / "aby3_scoring-1"
    directory = kept.directory(context(2, agency, state=state))
    assert directory is not None

    seen = [marks(context(2, agency, state=state))]
    for objection in (FIRST, FIRST, SECOND):  # the first is marked twice: nothing more happens
        disputes.mark(directory, world.person(1).upper() + " ", objection=objection)
    seen.append(marks(context(2, agency, state=state)))
    disputes.clear(directory, objection=FIRST)
    seen.append(marks(context(2, agency, state=state)))
    disputes.clear(directory, objection=SECOND)
    disputes.clear(directory, objection=SECOND)
    seen.append(marks(context(2, agency, state=state)))

    assert seen == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_mark_lies_where_only_the_node_reads_and_has_no_name_of_its_own(tmp_path: Path) -> None:
    disputes.mark(tmp_path, world.person(1), objection=FIRST)

    (path,) = (tmp_path / disputes.FOLDER).iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == (FIRST, 0o600)
    for name in ("../cards/x", "", FIRST.lower()):
        with pytest.raises(ValueError, match="not an objection"):
            disputes.mark(tmp_path, world.person(1), objection=name)


# --- shares of those outside the circuit --------------------------------------------------------------------


def evenness(data: bytes) -> float:
    """Chi-square of byte values; about 255 for uniform bytes, with a spread of 23."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def test_b11_shares_of_a_constant_are_uniform_and_the_constant_is_not() -> None:
    constant = np.full(1 << 14, 1_200_000, np.int64)

    shares = sharing.split(constant)

    assert all(evenness(one) < 255 + 10 * 23 for one in shares)
    assert evenness(constant.tobytes()) > 1_000_000  # the sister: sent as it is, it would show
    assert len({one[:16] for one in shares}) == 3


def test_shares_add_up_and_say_another_thing_every_time() -> None:
    values = np.array([[5, -1], [2**62, -(2**62)]], np.int64)

    first, again = sharing.split(values), sharing.split(values)

    words = [np.frombuffer(one, np.uint64).reshape(-1, 2) for one in first]
    assert (words[0][:, 0] + words[1][:, 0] + words[2][:, 0]).view(np.int64).tolist() == values.reshape(-1).tolist()
    assert all((words[i][:, 1] == words[(i + 1) % 3][:, 0]).all() for i in range(3))
    assert not set(first) & set(again)


def test_a_share_of_another_length_than_agreed_is_refused() -> None:
    with pytest.raises(EngineRefused) as refused:
        sharing.load(b"\0" * 32, (3,), index=0)

    assert refused.value.code == "JOB_DIFFERS"


# --- answers ------------------------------------------------------------------------------------------------


def packed(score: int, *places: int, status: int = 0) -> int:
    codes = sum((answers.REASON_ZERO - place) << (5 * number) for number, place in enumerate(places))
    return score + (codes << answers.SCORE_BITS) + (status << answers.STATUS_BIT)


def test_an_answer_says_score_and_reasons_in_order() -> None:
    found = answers.unpack(packed(712, 2, 0), row=4, features=["a", "b", "c"])

    assert found == {"row": 4, "status": "scored", "score": 712, "reasons": ["c", "a"], "disputed": False}


def test_an_answer_says_whether_a_record_is_disputed_and_nothing_of_whose() -> None:
    marked = packed(712, 2, 0) + (1 << answers.DISPUTED_BIT)

    assert answers.unpack(marked, row=4, features=["a", "b", "c"]) == {
        **answers.unpack(packed(712, 2, 0), row=4, features=["a", "b", "c"]),
        "disputed": True,
    }


@pytest.mark.parametrize(
    "number",
    [
        packed(299),
        packed(851),
        packed(700, 3),
        packed(700, status=1),
        packed(1 << answers.DISPUTED_BIT, status=2),
        packed(0, status=3),
        1 << 40,
    ],
    ids=[
        "too low",
        "too high",
        "no such feature",
        "a score without a record",
        "a dispute without consent",
        "no such status",
        "too large",
    ],
)
def test_an_answer_that_the_circuit_cannot_have_made_is_refused(number: int) -> None:
    with pytest.raises(PartInvalid):
        answers.unpack(number, row=0, features=["a", "b", "c"])


# --- operations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"features": [world.FEATURES[0]] * 3},
        {"cuts": 0},
        {"model": {**MODEL, "kind": "linear"}},
        {"model": {**MODEL, "kind": "trained"}, "cuts": 0},
        {
            "own": [f"c{number}" for number in range(16)],
            "features": [{**item, "columns": [f"c{number}" for number in range(6)]} for item in world.FEATURES],
        },
        {"features": world.FEATURES[:1]},
    ],
    ids=["an agency twice", "a scorecard without cuts", "cuts of a linear model", "no factor", "34 features", "alone"],
)
def test_parameters_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(shapes.DocumentInvalid):
        parameters(**changed)


def test_consents_belong_to_the_columns_of_a_contract_and_reach_nobody() -> None:
    operation, engine = operations.get("credit_scoring"), CreditScoring()

    civil_columns = operation.columns(parameters(), world.CIVIL)
    levels = engine.derive(parameters(), rank=2)

    assert set(civil_columns) == set(levels)
    assert "spouse_consent_until" in civil_columns
    assert "spouse_consent_until" not in operation.columns(parameters(), world.FUND)
    assert levels["consent_until"] == Level.ENCRYPTED_ONLY
    assert levels["spouse_income"] == Level.PLAINTEXT_AFTER_COMPARE
    assert columns_of(parameters(), 3) == ["gaps", "paid"]


def test_a_training_takes_its_columns_nowhere() -> None:
    given = operations.model_training(
        dataset="applicants", commitment="0" * 64, label="label", features=world.FEATURES, own=["amount"]
    )

    levels = {level for rank in range(4) for level in ModelTraining().derive(given, rank=rank).values()}

    assert levels == {Level.ENCRYPTED_ONLY}
    with pytest.raises(shapes.DocumentInvalid):
        operations.model_training(
            dataset="applicants", commitment="0" * 64, label="amount", features=world.FEATURES, own=["amount"]
        )


def test_estimates_grow_with_rows_and_the_program_follows_the_parameters() -> None:
    engine = CreditScoring()
    small, large = (engine.estimate(parameters(), rows=[one] * 4) for one in (1 << 10, 1 << 17))

    assert small.seconds < large.seconds
    assert small.bytes_sent < large.bytes_sent
    assert engine.program(parameters()) == engine.program(parameters())
    assert engine.program(parameters()) != engine.program(parameters(cuts=4))
