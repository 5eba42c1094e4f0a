"""Random registers and records: what opens and what is the same, as by a plain search and a plain comparison."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from compute.engines import canonical_fields, encrypted_table, keyed_comparison, oprf, ristretto
from compute.engines.keyed_comparison import ABSENT, DIFFERENT, SAME, Blinds, Row

KEY = oprf.derive_key(b"g" * 32, b"generative", mode=oprf.Mode.VOPRF)
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
PERSONS = st.sampled_from([f"p{number}" for number in range(12)])
REGISTERS = st.dictionaries(
    ANY_TEXT, st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=12), min_size=1, max_size=12
)
CELLS = st.sampled_from(["", "1", "1.0", "１", "2", "x", " x ", "X"])
TABLES = st.dictionaries(PERSONS, st.tuples(CELLS, CELLS), min_size=1, max_size=12)
KINDS = ("money", "text")


@settings(max_examples=10, deadline=None)
@given(register=REGISTERS, absent=ANY_TEXT)
def test_everybody_opens_to_the_rows_of_a_plain_search(register: dict[str, list[tuple[str, str]]], absent: str) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "t.table"
        encrypted_table.write(path, register, key=KEY, noise=b"n" * 32, work_dir=Path(name))
        with encrypted_table.Reader(path) as reader:
            for person in {*register, absent}:
                output = oprf.evaluate(KEY, person.encode(), mode=oprf.Mode.VOPRF)
                assert reader.records(output) == register.get(person, [])


@settings(max_examples=25, deadline=None)
@given(bank=TABLES, office=TABLES)
def test_verdicts_are_those_of_a_plain_comparison(
    bank: dict[str, tuple[str, str]], office: dict[str, tuple[str, str]]
) -> None:
    fields, key = ["f", "g"], ristretto.random_scalar()
    blinds = Blinds(ristretto.random_scalar(), ristretto.random_scalar())
    ours, theirs = (
        [keyed_comparison.canonical_row((person, *cells), KINDS) for person, cells in table.items()]
        for table in (bank, office)
    )
    answered = keyed_comparison.answer(keyed_comparison.ask(ours, fields, blinds), key)
    tags = keyed_comparison.own_tags(theirs, fields, key)
    sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
    found = list(keyed_comparison.compare(answered, sets, fields, blinds))
    assert found == [tuple(_plain(row, theirs, number) for number in range(2)) for row in ours]


@given(text=st.text(max_size=30), kind=st.sampled_from(sorted(canonical_fields.KINDS)))
def test_a_canonical_value_does_not_depend_on_spaces_and_width(text: str, kind: str) -> None:
    found = canonical_fields.value(text, kind)
    assert found == canonical_fields.value(f"  {text}\u200b\u3000", kind)


def _plain(row: Row, others: list[Row], number: int) -> int:
    held = [other.values[number] for other in others if other.person == row.person and other.values[number]]
    return ABSENT if not held else SAME if row.values[number] in held else DIFFERENT
