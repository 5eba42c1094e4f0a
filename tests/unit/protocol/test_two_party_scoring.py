"""Parameters of a two-party scoring, and what the bank says of its card: what is refused before a key is made."""

from typing import Any

import pytest

from compute.engines import metadata
from compute.engines.base import Level
from compute.engines.errors import EngineRefused
from compute.engines.paillier.packing import PackingOverflow
from compute.engines.scoring import cards, forms
from compute.engines.scoring.paired import PairedScoring
from compute.protocol import operations
from compute.protocol.shapes import DocumentInvalid
from tests.factories import engines as factory
from tests.factories import scoring as world

FEATURES = [{"provider": world.CIVIL, "columns": list(world.CIVIL_VALUES)}]
MODEL = {"kind": "scorecard", "version": "1", "commitment": "0" * 64}
COLUMNS, BOUNDS = ("a", "spouse_b"), ((0, 9), (0, 9))


def parameters(**changed: Any) -> dict[str, Any]:
    return operations.two_party_scoring(
        **{"dataset": "x", "commitment": "0" * 64, "features": FEATURES, "model": MODEL, "own": ["amount"], **changed}
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"features": []},
        {"features": [*FEATURES, {"provider": world.FUND, "columns": ["months"]}]},
        {"model": {**MODEL, "kind": "trained"}},
        {"model": {**MODEL, "factor": 1}},
        {"model": {**MODEL, "salt": "0"}},
        {"model": {**MODEL, "commitment": "no"}},
        {"commitment": "no"},
        {"own": ["amount", "amount"]},
    ],
)
def test_other_parameters_are_no_request(changed: dict[str, Any]) -> None:
    operations.check_parameters("two_party_scoring", parameters())
    with pytest.raises(DocumentInvalid):
        parameters(**changed)


def test_consents_are_among_the_agency_s_columns_and_reach_nobody() -> None:
    asked = parameters()

    assert operations.get("two_party_scoring").columns(asked, world.CIVIL) == [
        "married_years",
        "spouse_income",
        "consent_until",
        "consent_for",
        "spouse_consent_until",
        "spouse_consent_for",
    ]
    derived = PairedScoring().derive(asked, rank=1)
    assert derived["married_years"] == Level.PLAINTEXT_AFTER_COMPARE
    assert derived["consent_for"] == Level.ENCRYPTED_ONLY


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"id_column": None}, "IDENTIFIER_MISSING"),
        ({"blocks": {}}, "COLUMN_UNKNOWN"),
        ({"rows": 1 << 21}, "PARTITION_TOO_LARGE"),
        ({"values": {"consent_until": (0, 0, 1), "married_years": (0, 0, 1 << 41)}}, "VALUE_RANGE_TOO_WIDE"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(changed: dict[str, Any], code: str) -> None:
    values = {"consent_until": (0, 0, world.FOREVER), "married_years": (0, 0, 80)}
    schema = {"rows": 10, "blocks": {"consent_for": world.OTHERS}, "values": values, **changed}
    asked = parameters(features=[{"provider": world.CIVIL, "columns": ["married_years"]}])

    with pytest.raises(EngineRefused) as refused:
        PairedScoring().check(asked, {1: metadata.from_schema(factory.schema(**schema))}, min_group=10)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changed",
    [
        {"shift": 25},
        {"shift": -1},
        {"shift": True},
        {"reach": 9},
        {"reach": 17},
        {"cuts": [[1]]},
        {"cuts": [[2, 1], []]},
        {"cuts": [[1, 1], []]},
        {"cuts": [["1"], []]},
        {"cuts": [list(range(16)), []]},
        {"cuts": None},
        {"reach": None},
    ],
)
def test_a_greeting_beyond_its_bounds_is_refused(changed: dict[str, Any]) -> None:
    said = {"shift": 0, "reach": 10, "cuts": [[1, 2], []]}
    forms.read_told(said, columns=COLUMNS, bounds=BOUNDS)
    with pytest.raises(EngineRefused) as refused:
        forms.read_told({**said, **changed}, columns=COLUMNS, bounds=BOUNDS)

    assert refused.value.code == "JOB_DIFFERS"


def test_a_card_tells_its_reach_and_no_more_than_sixteen_bits_of_it() -> None:
    def of(weight: int, *, shift: int = 0) -> forms.Form:
        item = {"column": "a", "weight": weight, "absent": 0}
        card = cards.Card(cards.linear(version="1", base=0, shift=shift, features=[item]))
        return forms.form(card, columns=("a",), bounds=((-1000, 1000),))

    assert (of(0).shape.reach, of(1).shape.reach, of(32).shape.reach) == (10, 11, 16)
    assert of(1 << 12, shift=12).shape.reach == 11
    assert forms.told(of(5).shape) == {"shift": 0, "reach": 14, "cuts": []}
    with pytest.raises(EngineRefused) as refused:
        of(33)
    assert refused.value.code == "VALUE_RANGE_TOO_WIDE"


def test_numbers_that_can_be_followed_by_hand() -> None:
    # docs/subsystems/scoring.md: cuts 12 and 24, points -40, 0, 30, and a spouse's column with absent 5.
    features = [
        {"column": "a", "cuts": [12, 24], "points": [-40, 0, 30], "absent": -20},
        {"column": "spouse_b", "cuts": [5], "points": [0, 25], "absent": 5},
    ]
    card = cards.Card(cards.scorecard(version="1", base=600, features=features))
    form = forms.form(card, columns=COLUMNS, bounds=((0, 100), (0, 9)))

    assert form.coefficients == (40, 30, -5, 25)
    assert (form.constant, form.lowest, form.start) == (565, 560, 5)
    assert form.shape.largest == [1, 1, 1, 1]
    assert form.opened((5 + 40 + 7 + (1 << 50)) % 1024, mask=7 + (1 << 50)) == 605


def test_a_slot_refuses_what_would_leave_it() -> None:
    shape = forms.Shape(("a",), ((0, 9),), (), shift=0, reach=10)

    assert (shape.width, shape.slots(3071)) == (91, 33)
    shape.packing(9, plaintext_bits=3071).pack([9] * 33)
    with pytest.raises(PackingOverflow):
        shape.packing(9, plaintext_bits=3071).pack([10])
    with pytest.raises(PackingOverflow):
        shape.packing(9, plaintext_bits=3071).pack([9] * 34)
