"""C3: one value for each person and field in a month, told apart without knowing whom."""

from pathlib import Path

import pytest

from compute.engines import guesses
from compute.engines.errors import EngineRefused

FIELDS = ["base", "status"]
SECRET = b"s" * 32


def _point(name: str) -> bytes:
    return name.encode().ljust(32, b"_")


def _rows(*rows: str) -> list[list[bytes]]:
    return [[_point(name) for name in row.split()] for row in rows]


def _spend(path: Path, *rows: str, period: str = "2026-11", asker: str = "bank", fields: list[str] = FIELDS) -> None:
    guesses.spend(path / "g.sqlite", secret=SECRET, period=period, asker=asker, fields=fields, rows=_rows(*rows))


def test_the_same_value_again_passes_and_another_is_refused(tmp_path: Path) -> None:
    _spend(tmp_path, "a 1 x", "b 2 y")
    _spend(tmp_path, "a 1 x", "c 3 z")
    with pytest.raises(EngineRefused) as refused:
        _spend(tmp_path, "d 1 x", "a 1 other")
    assert refused.value.code == "GUESS_REPEATED"
    _spend(tmp_path, "d 9 x")  # nothing of the refused run was kept


def test_a_field_of_its_own_a_month_and_another_asker_have_their_own_slate(tmp_path: Path) -> None:
    _spend(tmp_path, "a 1", fields=["base"])
    _spend(tmp_path, "a 2", fields=["status"])
    _spend(tmp_path, "a 2", fields=["base"], asker="other bank")
    with pytest.raises(EngineRefused):
        _spend(tmp_path, "a 2", fields=["base"])
    _spend(tmp_path, "a 2", fields=["base"], period="2026-12")
    with pytest.raises(EngineRefused):
        _spend(tmp_path, "a 1", fields=["base"], period="2026-12")


def test_a_person_twice_in_one_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineRefused):
        _spend(tmp_path, "a 1 x", "a 1 x")


def test_the_store_holds_no_point_and_forgets_other_months(tmp_path: Path) -> None:
    _spend(tmp_path, "a 1 x")
    before = (tmp_path / "g.sqlite").stat().st_size
    assert _point("a") not in (tmp_path / "g.sqlite").read_bytes()
    for month in ("2026-12", "2027-01"):
        _spend(tmp_path, "a 1 x", period=month)
    assert (tmp_path / "g.sqlite").stat().st_size == before


def test_without_the_guard_trying_values_finds_the_office_s(tmp_path: Path) -> None:
    """The sister: a bank that may ask again and again learns the value by trial."""
    from compute.engines import keyed_comparison, ristretto
    from compute.engines.keyed_comparison import SAME, Blinds, Row

    office, blinds = [Row("a", ("m:37.00",))], Blinds(ristretto.random_scalar(), ristretto.random_scalar())

    def ask(value: int, *, guarded: bool) -> int:
        asked = list(keyed_comparison.ask([Row("a", (f"m:{value}.00",))], ["base"], blinds))
        if guarded:
            guesses.spend(
                tmp_path / "g.sqlite", secret=SECRET, period="2026-11", asker="bank", fields=["base"], rows=[asked]
            )
        key = ristretto.random_scalar()
        tags = keyed_comparison.own_tags(office, ["base"], key)[0]
        sets = [{"present": frozenset(tags.present), "equal": frozenset(tags.equal)}]
        answered = keyed_comparison.answer(asked, key)
        return next(keyed_comparison.compare(answered, sets, ["base"], blinds))[0]

    assert [value for value in range(50) if ask(value, guarded=False) == SAME] == [37]
    ask(0, guarded=True)
    for value in range(1, 50):
        with pytest.raises(EngineRefused):
            ask(value, guarded=True)
