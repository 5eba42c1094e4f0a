"""The bank's node tells everybody whose row it used, from the committed table, before a result may leave."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from compute.node import admission, datasets, notifying
from compute.node.errors import DatasetInvalid
from compute.node.task import Node, Run
from compute.protocol import notices
from compute.protocol.codes import Refused
from compute.protocol.notices import Batch
from tests.factories import notices as cards
from tests.factories.node import NOW, World, change_a_byte

SCHEMA = """
[dataset]
encoding = "utf-8"
id = "person_id"
[columns.person_id]
type = "text"
[columns.notice_key]
type = "text"
"""


@dataclass
class Bank:
    """The bank's node with a table of applicants and a scoring under way; `told` is what the exchange heard."""

    world: World
    rows: list[tuple[str, str]]
    schema: str = SCHEMA
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    waited: int = 0

    def __post_init__(self) -> None:
        self.config = self.world.config("bank")
        self.store = self.world.store(self.config)
        self.dataset = self._add()
        contract = cards.scoring_contract(self.world)
        request = cards.scoring_request(self.world, contract, commitment=self.dataset["commitment"])
        self.job = self.world.job(contract, request)
        case = admission.Case({}, "", 1, 0.0, self.config, self.store, None, NOW, lambda: 0.0)
        case.job, case.request, case.terms, case.dataset = self.job, request, contract, self._stored()
        case.party = self.job["parties"][0]
        node = Node(self.config, self.world.keys["bank"], self.store, self, self, None, self.world.clock)  # type: ignore[arg-type]
        self.run = Run(node, "urn:hengshu:task:01JD0000000000000000000000", request["id"], case=case)

    def _add(self) -> dict[str, Any]:
        home = self.config.home
        lines = ["person_id,notice_key", *(",".join(row) for row in self.rows)]
        (home / "in.csv").write_text("\n".join(lines) + "\n")
        (home / "in.toml").write_text(self.schema)
        return datasets.add(
            home / "in.csv", name="to_score", schema_path=home / "in.toml", root=self.config.datasets, store=self.store
        )

    def _stored(self) -> dict[str, Any] | None:
        return self.store.dataset("to_score", self.dataset["commitment"])

    def notify(self) -> dict[str, Any] | None:
        def wait() -> None:
            self.waited += 1

        return notifying.notify(self.run, tell=lambda verb, body: self.told.append((verb, dict(body))), wait=wait)

    def batch(self) -> Batch:
        """What the exchange has heard."""
        data = [base64.b64decode(body["records"]) for _, body in self.told]
        return Batch(self.told[0][1]["batch"], base64.b64decode(self.told[0][1]["statement"]), b"".join(data))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def person() -> dict[str, Any]:
    return cards.card()


@pytest.fixture
def bank(world: World, person: dict[str, Any]) -> Iterator[Bank]:
    made = Bank(world, [("person-0", ""), ("person-1", person["public_key"]), ("person-2", cards.card()["public_key"])])
    yield made
    made.store.close()


def test_everybody_with_a_card_is_told_and_the_report_names_the_batch(bank: Bank, person: dict[str, Any]) -> None:
    reported = bank.notify()

    assert {verb for verb, _ in bank.told} == {"notices"}
    assert reported == bank.batch().reported()
    (found,) = notices.open_batch(bank.batch(), key=notices.card_key(person))
    assert found.statement["computation"] == bank.run.computation
    assert found.statement["buyer"]["organization"] == bank.world.orgs["bank"]
    assert bank.waited > 0
    assert "person-1" not in str(bank.told)
    assert person["public_key"] not in str(bank.told)


def test_the_bank_finds_the_row_of_a_token_and_only_its_owner_may_read_the_list(
    bank: Bank, person: dict[str, Any]
) -> None:
    bank.notify()
    (found,) = notices.open_batch(bank.batch(), key=notices.card_key(person))

    digest = notices.token_digest(found.token)
    assert notifying.row_of(bank.config.home, bank.run.computation, digest) == ("to_score", 1)
    assert notifying.row_of(bank.config.home, bank.run.computation, "0" * 64) is None
    assert notifying.row_of(bank.config.home, "urn:hengshu:computation:01JD0000000000000000000000", digest) is None
    (path,) = (bank.config.home / "notices").glob("*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(path.read_text())["rows"].values()) == {0, 1, 2}


def test_a_table_without_the_column_makes_records_for_nobody(world: World) -> None:
    renamed = SCHEMA.replace("[columns.notice_key]", '[columns.remark]\nsource = "notice_key"')
    bank = Bank(world, [("p0", "x")], schema=renamed)
    reported = bank.notify()
    assert reported is not None
    assert reported["count"] == 64
    bank.store.close()


def test_an_agency_and_other_operations_tell_nobody(bank: Bank) -> None:
    bank.run.admitted.party = bank.job["parties"][1]
    assert bank.notify() is None
    bank.run.admitted.party = bank.job["parties"][0]
    bank.run.admitted.job = {**bank.job, "operation": "consistency_check"}
    assert bank.notify() is None
    assert bank.told == []


def test_more_rows_than_a_batch_may_have_records_end_the_run(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MAX_RECORDS", 2)
    with pytest.raises(Refused) as refusal:
        bank.notify()
    assert refusal.value.code == "RESULT_TOO_LARGE"


def test_keys_exchanged_on_disk_end_the_run(bank: Bank) -> None:
    """A bank that swaps keys after it has signed over its table is found out, and nothing leaves."""
    change_a_byte(bank.config.datasets / "to_score" / "1" / "001.column", place=20)
    with pytest.raises(Refused, match="commitment"):
        bank.notify()
    assert bank.told == []


@pytest.mark.parametrize("cell", ["notakey", "A" * 64, "0" * 64, "张三"])
def test_a_cell_that_is_no_key_is_refused_when_the_table_is_added(world: World, cell: str) -> None:
    with pytest.raises(DatasetInvalid, match="notice card") as refusal:
        Bank(world, [("p0", ""), ("p1", cell)])
    assert refusal.value.reason == "NOTICE_KEY"
    assert cell not in str(refusal.value)
