"""Whichever version of a table is answered first is told in full; another that differs by a few persons is not."""

import csv
import json
from pathlib import Path

import pytest

from compute.engines import gate
from compute.node import datasets, partitions, schemas, withholding
from compute.node.errors import DatasetInvalid
from compute.node.partitions import Use
from compute.node.store import Store
from compute.protocol import control_levels
from exchange.kernel.identifiers import make_urn, new_ulid
from tests.factories.node import SCHEMA, Provider


def add(fund: Provider, *, extra: int) -> dict:
    """The same forty persons, and as many more as asked, all in the first block."""
    path, schema = fund.config.home / "people.csv", fund.config.home / "people.toml"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[:41]
    rows += [[f"9901011990020{number:05d}", "North", "20-29", f"{2000 + number}.00"] for number in range(extra)]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return datasets.add(path, name="housing_fund", schema_path=schema, root=fund.config.datasets, store=fund.store)


def answer(fund: Provider, version: dict, path: Path) -> list[int]:
    """Reserve a run over a version, prepare it, and say which blocks its engine would withhold."""
    job = {"id": make_urn("computation", new_ulid()), "contract": fund.contract["id"]}
    use = Use(version["commitment"], "base", partitions.OWN_BLOCKS)
    fund.store.reserve(job=job, task="t", fencing_token=1, uses=[use])
    path.mkdir()
    description = fund.store.dataset("housing_fund", version["commitment"])
    withholding.prepare(
        description,
        columns=["base"],
        connection=fund.store.connection(),
        root=fund.config.datasets,
        min_group=10,
        into=path,
    )
    return json.loads((path / gate.WITHHELD_FILE).read_text())["base"]


def test_the_version_that_is_answered_first_is_told_and_the_near_one_withheld(fund, tmp_path):
    versions = [fund.store.datasets()[0], add(fund, extra=3), add(fund, extra=13)]

    assert answer(fund, versions[1], tmp_path / "a") == []  # the second version was asked for first
    assert answer(fund, versions[0], tmp_path / "b") == [0]  # three persons fewer than it in the first block
    assert answer(fund, versions[2], tmp_path / "c") == []  # ten more than the second, thirteen more than the first
    assert answer(fund, versions[0], tmp_path / "d") == [0]  # decided once, whatever came between


def test_the_place_is_taken_with_the_reservation_and_not_with_the_answer(fund, tmp_path):
    """Two runs at the same moment: the one that reserved later is the later one, even if it prepares first."""
    versions = [fund.store.datasets()[0], add(fund, extra=1)]
    for version in versions:
        job = {"id": make_urn("computation", new_ulid()), "contract": fund.contract["id"]}
        use = Use(version["commitment"], "base", partitions.OWN_BLOCKS)
        fund.store.reserve(job=job, task="t", fencing_token=1, uses=[use])

    assert answer(fund, versions[1], tmp_path / "a") == [0]
    assert answer(fund, versions[0], tmp_path / "b") == []


def test_a_decision_survives_the_store_that_made_it(fund, tmp_path):
    version = fund.store.datasets()[0]
    answer(fund, version, tmp_path / "a")
    again = Store(fund.config.database, clock=fund.world.clock)

    found = withholding.decided(again.connection(), commitment=version["commitment"], column="base")

    assert found == {"small": [], "equal": [], "dominated": [], "near": []}
    again.close()


def with_schema(tmp_path: Path, *, dataset: str = "", column: str = "") -> dict:
    text = SCHEMA.replace("[columns.person_id]", f"{dataset}\n[columns.person_id]") + column
    path = tmp_path / "schema.toml"
    path.write_text(text)
    return schemas.load(path).describe()


def test_dominance_and_levels_stand_in_the_description_only_where_the_owner_declares_them(tmp_path):
    plain = with_schema(tmp_path)
    assert "dominance" not in plain
    assert all("level" not in column for column in plain["columns"])

    urn = make_urn("org", new_ulid())
    declared = with_schema(
        tmp_path,
        dataset="dominance = { p = 10, n = 2, k = 85 }",
        column=f'level = {{ default = "encrypted_only", "{urn}" = "plaintext_after_aggregate" }}\n',
    )
    assert declared["dominance"] == {"p": 10, "n": 2, "k": 85}
    base = declared["columns"][-1]
    assert control_levels.declared(base, recipient=urn) == "plaintext_after_aggregate"
    assert control_levels.declared(base, recipient="anybody else") == "encrypted_only"


@pytest.mark.parametrize(
    "wrong",
    [
        {"dataset": "dominance = { p = 0 }"},
        {"dataset": "dominance = { n = 2 }"},
        {"dataset": "dominance = { p = 10.5 }"},
        {"dataset": "dominance = { q = 1 }"},
        {"dataset": "dominance = 10"},
        {"column": 'level = "open"\n'},
        {"column": 'level = { "urn:hengshu:org:X" = "plaintext" }\n'},
        {"column": 'level = { default = "plaintext", anybody = "plaintext" }\n'},
    ],
)
def test_a_rule_that_says_nothing_is_refused(tmp_path, wrong):
    with pytest.raises(DatasetInvalid):
        with_schema(tmp_path, **wrong)
