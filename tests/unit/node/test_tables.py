"""Hostile and odd files: refused with line and reason and nothing left behind, or read to the letter."""

from pathlib import Path

import pytest

from compute.engines import loading
from compute.node import datasets
from compute.node.errors import DatasetInvalid
from compute.node.store import Store
from tests.factories.node import NOW, SCHEMA, change_a_byte

HEADER = b"person_id,district,age_band,base\n"
GOOD = b"990101199001010011,North,20-29,1000.50\n"
ID = b"990101199001010011"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "datasets").mkdir()
    return Store(tmp_path / "node.sqlite3", clock=lambda: NOW)


def add(tmp_path: Path, store: Store, data: bytes, schema: str = SCHEMA) -> dict[str, object]:
    (tmp_path / "in.csv").write_bytes(data)
    (tmp_path / "in.toml").write_text(schema, encoding="utf-8")
    return datasets.add(
        tmp_path / "in.csv", name="people", schema_path=tmp_path / "in.toml", root=tmp_path / "datasets", store=store
    )


def stored_rows(tmp_path: Path, version: int = 1) -> list[tuple[str, ...]]:
    directory = tmp_path / "datasets" / "people" / str(version)
    return list(loading.records(directory, loading.load_meta(directory), ["person_id", "district", "age_band", "base"]))


def row(identifier: bytes = ID, district: bytes = b"North", base: bytes = b"1000.50") -> bytes:
    return identifier + b"," + district + b",20-29," + base + b"\n"


HOSTILE: list[tuple[str, bytes, str, int]] = [
    ("empty", b"", "EMPTY_FILE", 0),
    ("header_only", HEADER, "NO_ROWS", 1),
    ("bom_not_declared", b"\xef\xbb\xbf" + HEADER + GOOD, "BOM", 1),
    ("utf_16", (HEADER + GOOD).decode().encode("utf-16"), "BOM", 1),
    ("gb18030_where_utf8_is_declared", HEADER + GOOD + row(district="东湖".encode("gb18030")), "ENCODING", 3),
    ("latin_1", HEADER + GOOD + row(district=b"N\xf6rd"), "ENCODING", 3),
    ("nul", HEADER + GOOD + row(identifier=b"99010119900101001\x00"), "NUL_BYTE", 3),
    ("short_row", HEADER + GOOD + b"1,North,20-29\n", "RAGGED_ROW", 3),
    ("long_row", HEADER + GOOD + b"1,North,20-29,5,6\n", "RAGGED_ROW", 3),
    ("empty_line", HEADER + GOOD + b"\n" + row(b"2"), "EMPTY_LINE", 3),
    ("trailing_empty_line", HEADER + GOOD + b"\n", "EMPTY_LINE", 3),
    ("open_quote", HEADER + GOOD + b'"2,North,20-29,5\n', "QUOTES", 3),
    ("quote_over_two_lines", HEADER + b'"2\n",North,20-29,5\n', "QUOTES", 2),
    ("text_after_quote", HEADER + b'"2"x,North,20-29,5\n', "QUOTES", 2),
    ("quote_inside", HEADER + b'2"x,North,20-29,5\n', "QUOTES", 2),
    ("id_in_scientific_form", HEADER + GOOD + row(b"9.90101E+17"), "ID_AS_NUMBER", 3),
    ("id_as_float", HEADER + GOOD + row(b"990101199001010011.0"), "ID_AS_NUMBER", 3),
    ("id_empty", HEADER + row(b""), "ID_EMPTY", 2),
    ("id_with_spaces", HEADER + row(b" 12 "), "ID_NOT_PLAIN", 2),
    ("id_full_width", HEADER + row("１２３".encode()), "ID_NOT_PLAIN", 2),
    ("id_zero_width", HEADER + row("12\u200b3".encode()), "INVISIBLE_CHARACTER", 2),
    ("id_right_to_left", HEADER + row("12\u202e3".encode()), "INVISIBLE_CHARACTER", 2),
    ("duplicate_id", HEADER + GOOD + row(b"2") + GOOD, "DUPLICATE_ID", 4),
    ("look_alike_x", HEADER + row(b"99010119900101001X") + row(b"99010119900101001x"), "DUPLICATE_ID", 3),
    ("formula_equals", HEADER + row(b"=1+1"), "FORMULA", 2),
    ("formula_plus", HEADER + row(b"+1"), "FORMULA", 2),
    ("formula_minus", HEADER + row(b"-1"), "FORMULA", 2),
    ("formula_at", HEADER + row(b"@SUM"), "FORMULA", 2),
    ("huge_field", HEADER + GOOD + row(b"9" * 70_000), "FIELD_TOO_LONG", 3),
    ("huge_line", HEADER + GOOD + b"9" * 2_000_000, "LINE_TOO_LONG", 3),
    ("huge_line_of_commas", HEADER + GOOD + b"," * 20_000 + b"\n", "RAGGED_ROW", 3),
    ("duplicate_header", b"person_id,person_id,district,age_band,base\n" + GOOD, "DUPLICATE_HEADER", 1),
    ("look_alike_header", b"person_id,Person_ID,district,age_band,base\n" + GOOD, "DUPLICATE_HEADER", 1),
    ("missing_column", b"person_id,district,age_band\n" + b"1,North,20-29\n", "MISSING_COLUMN", 1),
    ("undeclared_column", b"person_id,district,age_band,base,phone\n", "UNDECLARED_COLUMN", 1),
    ("category", HEADER + row(district=b"Nowhere"), "CATEGORY", 2),
    ("category_with_space", HEADER + row(district=b"North "), "CATEGORY", 2),
    ("number_missing", HEADER + row(base=b""), "NUMBER", 2),
    ("number_thousands", HEADER + row(base=b'"1,000"'), "NUMBER", 2),
    ("number_leading_zero", HEADER + row(base=b"007"), "NUMBER", 2),
    ("number_exponent", HEADER + row(base=b"1e3"), "NUMBER", 2),
    ("number_nan", HEADER + row(base=b"NaN"), "NUMBER", 2),
    ("number_infinity", HEADER + row(base=b"inf"), "NUMBER", 2),
    ("number_arabic_digits", HEADER + row(base="١٢".encode()), "NUMBER", 2),
    ("number_three_decimals", HEADER + row(base=b"1.005"), "NUMBER", 2),
    ("below_bounds", HEADER + row(base=b"-0.01"), "BOUNDS", 2),
    ("above_bounds", HEADER + row(base=b"60000.01"), "BOUNDS", 2),
]


@pytest.mark.parametrize(("_case", "data", "reason", "line"), HOSTILE, ids=[item[0] for item in HOSTILE])
def test_refused_with_line_and_reason(
    tmp_path: Path, store: Store, _case: str, data: bytes, reason: str, line: int
) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, data)

    assert (refused.value.reason, refused.value.line) == (reason, line)
    assert refused.value.zh
    assert "9901" not in refused.value.message  # the reason never quotes a cell
    assert list((tmp_path / "datasets").iterdir()) == []
    assert store.datasets() == []


def test_eighteen_digit_ids_and_leading_zeros_are_kept_to_the_letter(tmp_path: Path, store: Store) -> None:
    data = HEADER + row(b"012345678901234567") + row(b"12345678901234567890123") + row(b"12345678901234567")

    add(tmp_path, store, data)

    assert [cells[0] for cells in stored_rows(tmp_path)] == [
        "012345678901234567",
        "12345678901234567890123",
        "12345678901234567",
    ]


def test_quotes_crlf_and_a_missing_last_newline_are_read_exactly(tmp_path: Path, store: Store) -> None:
    data = HEADER.replace(b"\n", b"\r\n") + b'"a,""b""",North,20-29,"5"\r\nc,South,30-39,0.5'

    add(tmp_path, store, data)

    assert stored_rows(tmp_path) == [('a,"b"', "North", "20-29", "5.00"), ("c", "South", "30-39", "0.50")]


def test_formulas_are_kept_as_text_when_declared(tmp_path: Path, store: Store) -> None:
    add(tmp_path, store, HEADER + row(b"=1+1"), SCHEMA.replace("[dataset]", '[dataset]\nformulas = "text"'))

    assert stored_rows(tmp_path)[0][:2] == ("=1+1", "North")


def test_gb18030_and_bom_are_read_when_declared(tmp_path: Path, store: Store) -> None:
    chinese = SCHEMA.replace('["North", "South"]', '["东湖区", "西岭区"]')
    rows = "person_id,district,age_band,base\n1,东湖区,20-29,5\n"

    add(tmp_path, store, rows.encode("gb18030"), chinese.replace('"utf-8"', '"gb18030"'))
    add(tmp_path, store, b"\xef\xbb\xbf" + rows.encode(), chinese.replace('"utf-8"', '"utf-8-sig"'))

    assert stored_rows(tmp_path, 1) == stored_rows(tmp_path, 2) == [("1", "东湖区", "20-29", "5.00")]


def test_a_declared_bom_that_is_absent_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, HEADER + GOOD, SCHEMA.replace('"utf-8"', '"utf-8-sig"'))
    assert refused.value.reason == "BOM"


def test_resident_ids_need_their_check_character(tmp_path: Path, store: Store) -> None:
    schema = SCHEMA.replace(
        '[columns.person_id]\ntype = "text"', '[columns.person_id]\ntype = "text"\nformat = "resident_id"'
    )

    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, HEADER + row(b"110101199003070000"), schema)

    assert (refused.value.reason, refused.value.line) == ("ID_FORMAT", 2)
    add(tmp_path, store, HEADER + row(b"11010519491231002X"), schema)


BAD_SCHEMAS = {
    "not_toml": "[dataset",
    "no_columns": '[dataset]\nencoding = "utf-8"\n',
    "guessing_encoding": SCHEMA.replace('"utf-8"', '"auto"'),
    "unknown_member": SCHEMA.replace("[dataset]", "[dataset]\nguess = true"),
    "id_is_a_number": SCHEMA.replace('id = "person_id"', 'id = "base"'),
    "block_is_a_number": SCHEMA.replace('["district", "age_band"]', '["base"]'),
    "small_groups": SCHEMA.replace("[dataset]", "[dataset]\nmin_group = 9"),
    "no_bounds": SCHEMA.replace("min = 0\n", ""),
    "float_bounds": SCHEMA.replace("min = 0\n", "min = 0.5\n"),
    "bounds_swapped": SCHEMA.replace("min = 0\n", "min = 70000\n"),
    "upper_case_name": SCHEMA.replace("[columns.base]", "[columns.Base]"),
    "repeated_category": SCHEMA.replace('["North", "South"]', '["North", "North"]'),
}


@pytest.mark.parametrize("schema", BAD_SCHEMAS.values(), ids=BAD_SCHEMAS)
def test_a_wrong_schema_is_refused(tmp_path: Path, store: Store, schema: str) -> None:
    with pytest.raises(DatasetInvalid) as refused:
        add(tmp_path, store, HEADER + GOOD, schema)
    assert refused.value.reason == "SCHEMA_INVALID"


def test_versions_have_their_own_salt_and_a_changed_cell_is_noticed(tmp_path: Path, store: Store) -> None:
    first = add(tmp_path, store, HEADER + GOOD)
    second = add(tmp_path, store, HEADER + GOOD)
    assert first["commitment"] != second["commitment"]
    assert (first["version"], second["version"]) == (1, 2)

    directory = tmp_path / "datasets" / "people" / "1"
    datasets.verify(directory, description=first)
    change_a_byte(directory / "003.column")
    with pytest.raises(DatasetInvalid) as refused:
        datasets.verify(directory, description=first)
    assert refused.value.reason == "COMMITMENT"


@pytest.mark.parametrize("name", ["schema.json", "commitment.json"])
def test_a_changed_schema_or_salt_is_noticed(tmp_path: Path, store: Store, name: str) -> None:
    added = add(tmp_path, store, HEADER + GOOD)
    path = tmp_path / "datasets" / "people" / "1" / name
    path.chmod(0o600)
    path.write_text(path.read_text().replace("4", "5").replace("10", "11"))

    with pytest.raises(DatasetInvalid):
        datasets.verify(path.parent, description=added)


def test_what_an_interrupted_add_left_is_swept_away(tmp_path: Path, store: Store) -> None:
    root = tmp_path / "datasets"
    (root / ".incoming-dead").mkdir()
    (root / "people" / "7").mkdir(parents=True)

    added = add(tmp_path, store, HEADER + GOOD)

    assert added["version"] == 1
    assert sorted(str(path.relative_to(root)) for path in root.glob("*/*")) == ["people/1"]
    assert not (root / ".incoming-dead").exists()


def test_the_files_are_for_the_owner_only(tmp_path: Path, store: Store) -> None:
    add(tmp_path, store, HEADER + GOOD)

    directory = tmp_path / "datasets" / "people" / "1"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o400}
