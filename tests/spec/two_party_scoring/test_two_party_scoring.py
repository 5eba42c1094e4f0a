"""two_party_scoring: real processes with full keys, a score card and a linear model, against the reference."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compute.engines import reference_models
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.scoring import cards, consents, disputes
from tests.factories import scoring as world
from tests.factories.taps import between

pytestmark = pytest.mark.engine

CARD = cards.scorecard(version="2026-11", base=560, features=world.CIVIL_CARD)
SHIFT = 16
LINEAR = cards.linear(
    version="2026-12",
    base=500 << SHIFT,
    shift=SHIFT,
    features=[
        {"column": "married_years", "weight": 5 << SHIFT - 1, "absent": 0},
        {"column": "spouse_income", "weight": -23, "absent": -7 << SHIFT},
        {"column": "amount", "weight": 3, "absent": 0},
    ],
)
APPLICANTS = [*range(3, 40), 45, 60, 90, 95, 150]
EXPIRED, WRONG_PURPOSE, WITHDRAWN, SPOUSE_WITHDRAWN, DISPUTED, NOBODY = 7, 11, 17, 18, 20, 150


@dataclass(frozen=True)
class Outcome:
    """What one run left."""

    deal: world.Deal
    parts: list[bytes]
    answer: dict[str, Any]
    expected: list[dict[str, Any]]
    wire: bytes

    def of(self, number: int) -> dict[str, Any]:
        """The answer of one applicant."""
        found: dict[str, Any] = self.answer["rows"][APPLICANTS.index(number)]
        return found


def _civil(number: int) -> dict[str, str]:
    changed: dict[str, Any] = {"spouse_consent_until": 0} if number % 4 == 0 else {}
    changed |= {"consent_until": 20200101} if number == EXPIRED else {}
    changed |= {"consent_for": world.OTHERS[1]} if number == WRONG_PURPOSE else {}
    return world.row(number, world.CIVIL_VALUES, seed=2, **changed)


@pytest.fixture(scope="module", params=[CARD, LINEAR], ids=["scorecard", "linear"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root, card = tmp_path_factory.mktemp("paired"), request.param
    agency = world.agency(root / "civil", [_civil(number) for number in range(6, 100)], world.CIVIL_VALUES)
    applicants = world.applicants(root / "applicants", APPLICANTS)
    deal = world.paired(root / "run", card, [applicants, agency])
    (deal.kept(1) / consents.WITHDRAWALS).write_text(
        f"{world.person(WITHDRAWN)}\n{world.person(SPOUSE_WITHDRAWN)},spouse\n"
    )
    for number in (DISPUTED, EXPIRED):
        disputes.mark(deal.kept(1), world.person(number), objection=f"{number:026d}")
    with between(deal.ports) as (taps, addresses):
        runs = [deal.start(rank, addresses=addresses(rank)) for rank in range(2)]
        for run in runs:
            run.wait()
    parts = [run.part() for run in runs]
    expected = reference_models.scores(
        card,
        applicants=applicants,
        agencies=[agency],
        features=[list(world.CIVIL_VALUES)],
        own=["amount"],
        names=["", "", ""],
        recipient=world.RECIPIENT,
        day=consents.today(datetime.now(UTC)),
        withdrawn=frozenset({(0, world.person(WITHDRAWN), ""), (0, world.person(SPOUSE_WITHDRAWN), "spouse_")}),
        disputed=frozenset((0, world.person(number)) for number in (DISPUTED, EXPIRED)),
    )
    opened = deal.engine.open(parts, job=deal.job, request=deal.request).describe()
    return Outcome(deal, parts, opened, expected, b"".join(bytes(tap.seen) for rank in taps for tap in rank))


def test_b2_every_score_is_the_reference(outcome: Outcome) -> None:
    found, wanted = outcome.answer["rows"], outcome.expected

    assert [row["status"] for row in found] == [row["status"] for row in wanted]
    assert outcome.answer["counts"] == dict.fromkeys(("scored", "no_record", "denied_consent"), 0) | dict(
        Counter(row["status"] for row in wanted)
    )
    differences = {
        one["score"] - other["score"] for one, other in zip(found, wanted, strict=True) if other["score"] is not None
    }
    # A score card is exact; of a linear model the agency rounds below a point, up or down.
    assert differences == ({0} if outcome.answer["model_version"] == CARD["version"] else {0, 1})
    assert len({row["score"] for row in found}) > 5


def test_b3_b4_b9_consent_withdrawal_and_dispute_are_the_agency_s_of_this_run(outcome: Outcome) -> None:
    nothing: dict[str, Any] = {"score": None, "reasons": [], "disputed": False}

    for number in (EXPIRED, WRONG_PURPOSE, WITHDRAWN):
        row = {"row": APPLICANTS.index(number), "status": "denied_consent", **nothing}
        assert outcome.of(number) == row
    assert outcome.of(NOBODY)["status"] == outcome.of(3)["status"] == "no_record"
    assert {APPLICANTS[row["row"]] for row in outcome.answer["rows"] if row["disputed"]} == {DISPUTED}


def test_b11_the_wire_shows_neither_person_nor_card(outcome: Outcome) -> None:
    secret = [world.person(number).encode() for number in range(40)]
    secret += [world.RECIPIENT.encode(), outcome.deal.parameters["model"]["commitment"].encode()]

    assert len(outcome.wire) > 300_000
    assert [one for one in secret if one in outcome.wire] == []
    assert b"hengshu/" not in outcome.wire


def test_the_agency_s_part_holds_nothing_and_the_bank_s_says_the_same_length_whatever_it_found(
    outcome: Outcome,
) -> None:
    assert b"score" not in outcome.parts[1].replace(b"paillier_scoring/1", b"")
    assert len(outcome.parts[0]) == 100 * 64 + 4096
    with pytest.raises(PartInvalid):
        outcome.deal.engine.open(outcome.parts[:1], job=outcome.deal.job, request=outcome.deal.request)
    other = {**outcome.deal.request, "parameters": {"model": {"version": "another"}}}
    with pytest.raises(PartInvalid):
        outcome.deal.engine.open(outcome.parts, job=outcome.deal.job, request=other)


def test_nothing_of_a_row_is_left_in_the_runs_directories(outcome: Outcome) -> None:
    left = {path.name for path in outcome.deal.root.glob("party*/*") if path.is_file()}
    kept_bytes = b"".join(
        path.read_bytes()
        for path in outcome.deal.root.glob("party*/*")
        if path.is_file() and path.name not in ("job.json", "link.key.pem")
    )

    assert not [name for name in left if name.endswith((".table", ".tmp"))]
    assert b"99010119800101" not in kept_bytes.replace(outcome.parts[0], b"")


def _ended(deal: world.Deal) -> list[str]:
    codes = []
    for run in deal.run():
        with pytest.raises(EngineRefused) as refused:
            run.part()
        codes.append(refused.value.code)
    return codes


@pytest.fixture
def datasets(tmp_path: Path) -> list[Path | None]:
    rows = [world.row(number, world.CIVIL_VALUES) for number in range(20)]
    return [world.applicants(tmp_path / "bank", [1, 2]), world.agency(tmp_path / "civil", rows, world.CIVIL_VALUES)]


def test_a_card_that_the_agency_has_not_released_ends_the_run(tmp_path: Path, datasets: list[Path | None]) -> None:
    deal = world.paired(tmp_path / "run", CARD, datasets)
    (deal.kept(1) / "released-cards.txt").unlink()

    assert _ended(deal) == ["PEER_LOST", "RELEASE_MISSING"]


def test_a_cell_that_is_no_number_ends_the_run_without_repeating_it(
    tmp_path: Path, datasets: list[Path | None]
) -> None:
    path = datasets[1] / "data.csv" if datasets[1] else tmp_path
    lines = path.read_text().splitlines()
    fields = lines[5].split(",")
    fields[lines[0].split(",").index("married_years")] = "NaN"
    path.write_text("\n".join([*lines[:5], ",".join(fields), *lines[6:]]) + "\n")

    assert _ended(world.paired(tmp_path / "run", CARD, datasets)) == ["PEER_LOST", "ENGINE_ERROR"]
