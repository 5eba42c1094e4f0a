"""Comparing under keys: the verdicts, and that nobody finds anything by trying known names (C2)."""

import random

import pytest

from compute.engines import keyed_comparison, ristretto
from compute.engines.keyed_comparison import ABSENT, DIFFERENT, SAME, Blinds, Row
from tests.factories.registers import resident_id

FIELDS = ("base", "status")
ONE = (1).to_bytes(32, "little")
BANK = [
    Row("a", ("m:1.00", "c:1")),
    Row("b", ("m:1.00", "c:1")),
    Row("c", ("m:1.00", "c:1")),
    Row("d", ("m:1.00", "c:1")),
    Row("e", ("", "c:1")),
    Row("f", ("m:1.00", "m:1.00")),
]
OFFICE = [
    Row("a", ("m:1.00", "c:1")),
    Row("b", ("m:2.00", "c:1")),
    Row("c", ("", "c:2")),
    Row("e", ("m:1.00", "c:1")),
    Row("f", ("m:1.00", "")),
    Row("g", ("m:1.00", "c:1")),
    Row("a", ("m:9.00", "c:1")),
]
EXPECTED = [(SAME, SAME), (DIFFERENT, SAME), (ABSENT, DIFFERENT), (ABSENT, ABSENT), (DIFFERENT, SAME), (SAME, ABSENT)]


def _blinds() -> Blinds:
    return Blinds(ristretto.random_scalar(), ristretto.random_scalar())


def _run(
    bank: list[Row], office: list[Row], *, blinds: Blinds, key: bytes
) -> tuple[list[tuple[int, ...]], list[bytes]]:
    """Verdicts, and everything that went over the wire."""
    asked = list(keyed_comparison.ask(bank, FIELDS, blinds))
    answered = list(keyed_comparison.answer(asked, key))
    tags = keyed_comparison.own_tags(office, FIELDS, key)
    sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
    verdicts = list(keyed_comparison.compare(answered, sets, FIELDS, blinds))
    return verdicts, [*asked, *answered, *(tag for one in tags for tag in (*one.present, *one.equal))]


def test_same_different_and_absent() -> None:
    assert _run(BANK, OFFICE, blinds=_blinds(), key=ristretto.random_scalar())[0] == EXPECTED


def test_tags_come_in_an_order_that_says_nothing() -> None:
    key = ristretto.random_scalar()
    for tags in keyed_comparison.own_tags(OFFICE, FIELDS, key):
        assert list(tags.present) == sorted(tags.present)
        assert list(tags.equal) == sorted(tags.equal)
    assert keyed_comparison.own_tags(OFFICE[::-1], FIELDS, key) == keyed_comparison.own_tags(OFFICE, FIELDS, key)


def test_two_jobs_have_nothing_in_common_on_the_wire() -> None:
    first, second = (_run(BANK, OFFICE, blinds=_blinds(), key=ristretto.random_scalar())[1] for _ in range(2))
    assert not set(first) & set(second)


def test_what_is_no_point_is_refused() -> None:
    with pytest.raises(ristretto.NotInGroup):
        list(keyed_comparison.answer([bytes(32)], ristretto.random_scalar()))


@pytest.fixture(scope="module")
def candidates() -> list[str]:
    rng = random.Random(2)
    return [resident_id(rng) for _ in range(100_000)]


def test_a_hundred_thousand_known_names_find_nothing_and_without_keys_everybody(candidates: list[str]) -> None:
    """C2, with its sister: the listener makes all that can be made of a name without a secret, and looks for it."""
    people = candidates[::2_000]
    rows = [Row(person, (f"m:{number}.00", "c:1")) for number, person in enumerate(people)]
    wires = {
        "guarded": frozenset(_run(rows, rows, blinds=_blinds(), key=ristretto.random_scalar())[1]),
        "bare": frozenset(_run(rows, rows, blinds=Blinds(ONE, ONE), key=ONE)[1]),
    }
    found: dict[str, set[str]] = {"guarded": set(), "bare": set()}
    for name in candidates:
        point = keyed_comparison._person(Row(name, ()))
        for which, wire in wires.items():
            if point in wire or keyed_comparison._tag(point, b"base") in wire:
                found[which].add(name)
    assert found == {"guarded": set(), "bare": set(people)}


def test_known_names_and_values_find_no_value_either(candidates: list[str]) -> None:
    """C2 for values: who knows all persons and tries all of 200 values for each."""
    people = candidates[:5]
    rows = [Row(person, (f"m:{100 + number}.00", "c:1")) for number, person in enumerate(people)]
    for blinds, key, expected in (
        (_blinds(), ristretto.random_scalar(), 0),
        (Blinds(ONE, ONE), ONE, len(people)),
    ):
        wire = frozenset(_run(rows, rows, blinds=blinds, key=key)[1])
        guesses = [Row(person, (f"m:{value}.00", "")) for person in people for value in range(200)]
        assert sum(keyed_comparison._value(guess, "base", 0) in wire for guess in guesses) == expected
