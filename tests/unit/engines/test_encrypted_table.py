"""A register as an encrypted table: what opens, what stays closed, and what the file tells."""

import json
import random
from pathlib import Path

import pytest

from compute.engines import encrypted_table, oprf, ristretto
from compute.engines.encrypted_table import CHUNK, ENTRY, ROUND, TAG, Reader, Record

KEY, NOISE = oprf.derive_key(b"k" * 32, b"test", mode=oprf.Mode.VOPRF), b"n" * 32
REGISTER: dict[str, list[Record]] = {
    "one": [("unit 1", "住宅")],
    "three": [("unit 2", "商业"), ("unit 3", "车位"), ("unit 4", "住宅" * 40)],
    "large": [("x" * 50_000, "")],
    "empty cell": [("", "")],
}


def _write(path: Path, register: dict[str, list[Record]] = REGISTER, *, key: bytes = KEY) -> encrypted_table.Described:
    return encrypted_table.write(path, register, key=key, noise=NOISE, work_dir=path.parent)


def _output(person: str, *, key: bytes = KEY) -> bytes:
    return oprf.evaluate(key, person.encode(), mode=oprf.Mode.VOPRF)


def test_everybody_opens_to_all_rows_and_nobody_else_to_any(tmp_path: Path) -> None:
    _write(tmp_path / "t.table")
    with Reader(tmp_path / "t.table") as reader:
        assert {person: reader.records(_output(person)) for person in REGISTER} == REGISTER
        assert reader.records(_output("nobody")) == []
        assert reader.records(_output("one", key=ristretto.random_scalar())) == []


def test_the_file_is_sorted_rounded_and_the_same_each_time(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.table")
    shuffled = random.Random(1).sample(list(REGISTER.items()), len(REGISTER))
    assert _write(tmp_path / "b.table", dict(shuffled)) == first == encrypted_table.describe(tmp_path / "a.table")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.table", "b.table"]
    data = (tmp_path / "a.table").read_bytes()
    tags = [data[start : start + TAG] for start in range(0, len(data), ENTRY)]
    assert tags == sorted(tags)
    assert (len(tags), first.entries % ROUND) == (first.entries, 0)


def test_how_many_rows_a_person_has_does_not_change_the_size(tmp_path: Path) -> None:
    few = _write(tmp_path / "a.table", {str(number): [("u",)] for number in range(40)})
    many = _write(tmp_path / "b.table", {str(number): [("u",)] * 40 for number in range(40)})
    assert few.entries == many.entries == ROUND


def test_no_row_and_no_person_stands_in_the_file(tmp_path: Path) -> None:
    _write(tmp_path / "t.table")
    data = (tmp_path / "t.table").read_bytes()
    assert not any(word in data for word in (b"unit", b"three", "住宅".encode(), b"xxxxxxxx"))


def test_without_the_key_a_guess_finds_nothing_and_with_a_plain_hash_it_would(tmp_path: Path) -> None:
    """The sister: were the tag a hash of the person and not of F(k, person), guessing would find everybody."""
    _write(tmp_path / "t.table")
    guesses = [*REGISTER, *(f"guess {number}" for number in range(200))]
    with Reader(tmp_path / "t.table") as reader:
        assert not any(
            reader.records(oprf.evaluate(ristretto.random_scalar(), g.encode(), mode=oprf.Mode.VOPRF)) for g in guesses
        )
    bare = (1).to_bytes(32, "little")  # a key that everybody knows
    _write(tmp_path / "bare.table", key=bare)
    with Reader(tmp_path / "bare.table") as reader:
        assert {guess for guess in guesses if reader.records(_output(guess, key=bare))} == set(REGISTER)


@pytest.mark.parametrize("piece", [0, 1])
def test_an_entry_that_its_owner_spoilt_is_told_as_such(tmp_path: Path, piece: int) -> None:
    _write(tmp_path / "t.table")
    data = bytearray((tmp_path / "t.table").read_bytes())
    tag = encrypted_table._tag_and_key(_output("three"), piece)[0]
    place = next(start for start in range(0, len(data), ENTRY) if data[start : start + TAG] == tag)
    data[place + TAG + 5] ^= 1
    (tmp_path / "t.table").write_bytes(data)
    with Reader(tmp_path / "t.table") as reader:
        with pytest.raises(encrypted_table.TableDamaged):
            reader.records(_output("three"))
        assert reader.records(_output("one")) == REGISTER["one"]


def test_a_missing_piece_is_damage(tmp_path: Path) -> None:
    rows = json.dumps(REGISTER["three"], ensure_ascii=False, separators=(",", ":")).encode()
    assert len(rows) > CHUNK
    _write(tmp_path / "t.table")
    data = (tmp_path / "t.table").read_bytes()
    tag = encrypted_table._tag_and_key(_output("three"), 1)[0]
    kept = [data[start : start + ENTRY] for start in range(0, len(data), ENTRY) if data[start : start + TAG] != tag]
    (tmp_path / "t.table").write_bytes(b"".join(kept))
    with Reader(tmp_path / "t.table") as reader, pytest.raises(encrypted_table.TableDamaged):
        reader.records(_output("three"))
