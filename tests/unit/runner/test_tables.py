"""The demo's tables: invented people with real check characters, and a real file split by its mapping."""

import csv

import pytest

from compute.node import schemas
from exchange.kernel.identifiers import resident_id_is_valid
from exchange.runner import tables
from exchange.runner.tables import InputInvalid
from exchange.runner.world import PROVIDERS

HEADER = [
    "ID",
    "LIMIT_BAL",
    "SEX",
    "EDUCATION",
    "MARRIAGE",
    "AGE",
    "BILL_AMT1",
    "PAY_AMT1",
    "default.payment.next.month",
]


def _credit_file(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def test_invented_people_have_valid_numbers_in_regions_that_do_not_exist():
    world = tables.synthetic()

    ids = [row["person_id"] for table in world.tables.values() for row in table.rows]
    assert all(resident_id_is_valid(one) and one.startswith("9901") for one in ids)
    for code in PROVIDERS:
        assert len({row["person_id"] for row in world.tables[code].rows}) == len(world.tables[code].rows)


def test_each_table_has_a_schema_that_a_node_accepts_and_canaries_that_are_in_it(tmp_path):
    for code, table in tables.synthetic().tables.items():
        _, schema = table.write(tmp_path / code)

        schemas.load(schema)
        values = {value for row in table.rows for value in row.values()}
        assert set(table.canaries) <= values


def test_a_real_file_is_split_by_rows_and_by_columns(tmp_path):
    rows = [[i, 1000 * i, 1 + i % 2, i % 7, 1, 20 + i % 45, 10 * i - 50, i, i % 2] for i in range(1, 41)]

    world = tables.from_file(_credit_file(tmp_path / "credit.csv", rows))

    assert [row["person_id"] for row in world.tables["fund-b"].rows][:2] == ["uci-card-000001", "uci-card-000003"]
    assert len(world.tables["fund-a"].rows) == len(world.tables["fund-b"].rows) == 20
    assert len(world.tables["social"].rows) == 36
    assert set(world.tables["bank"].rows[0]) == {"person_id", "default_next_month"}
    assert world.tables["fund-b"].rows[0]["limit_balance"] == "1000"


@pytest.mark.parametrize(
    ("_case", "header", "row", "words"),
    [
        ("another table", ["a", "b"], ["1", "2"], "no mapping fits"),
        ("a column is missing", HEADER[:-1], ["1"] * 8, "lacks the columns default.payment.next.month"),
        (
            "a value nobody mapped",
            HEADER,
            ["2", "1", "9", "1", "1", "30", "1", "1", "0"],
            "does not say what a value of SEX",
        ),
        ("no rows", HEADER, None, "has no rows"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, _case, header, row, words):
    path = tmp_path / "input.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, row] if row else [header])

    with pytest.raises(InputInvalid, match=words):
        tables.from_file(path)
