"""consistency_check: two real processes against a plain comparison, and what is refused (C1, C3, C5, C6)."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compute.engines import canonical_fields, identifiers
from compute.protocol.operations import consistency_check
from tests.factories.registers import resident_id
from tests.factories.requester_jobs import RequesterJob, write_text_table

pytestmark = pytest.mark.engine

FIELDS = [
    {"own": "deposit", "theirs": "base", "kind": "money"},
    {"own": "state", "theirs": "status", "kind": "text"},
]
Table = list[list[str]]


def _tables(rows: int) -> tuple[Table, Table]:
    """A bank's rows with planted errors, and the office's: 2 % values, 1 % keys, 3 % stale, 1 % spelling, 2 % empty."""
    rng = random.Random(7)
    bank: Table = []
    office: Table = []
    for _ in range(rows):
        person, base, status = resident_id(rng), f"{rng.randrange(2000, 30000)}.{rng.randrange(100):02d}", "在缴"
        office.append([person, "" if rng.random() < 0.02 else base, status])
        chance = rng.random()
        if chance < 0.02:
            base = f"{rng.randrange(2000, 30000)}.00"
        elif chance < 0.03:
            person = resident_id(rng)
        elif chance < 0.06:
            status = "停缴"
        elif chance < 0.10:
            base = f"￥{int(base[:-3]):,}{base[-3:]}"
        bank.append([person.lower() if rng.random() < 0.5 else person, base, status])
    office += [[resident_id(rng), "1.00", "在缴"] for _ in range(rows // 2)]
    rng.shuffle(office)
    return bank, office


def _oracle(bank: Table, office: Table) -> list[dict[str, Any]]:
    held = {identifiers.canonical(row[0]): row[1:] for row in office}
    found = []
    for number, field in enumerate(FIELDS):
        verdicts: dict[str, list[int]] = {"same": [], "different": [], "absent": []}
        for row, cells in enumerate(bank, start=1):
            other = held.get(identifiers.canonical(cells[0]), ["", ""])[number]
            one, two = (canonical_fields.value(text, field["kind"]) for text in (cells[number + 1], other))
            verdicts["absent" if not two else "same" if one == two else "different"].append(row)
        counts = {word: len(rows) for word, rows in verdicts.items()}
        found.append({**field, **counts, "different_rows": verdicts["different"], "absent_rows": verdicts["absent"]})
    return found


def _job(
    root: Path, bank: Table, office: Table, *, states: Sequence[Path] = (), rows: int = 2000, **changed: Any
) -> RequesterJob:
    root.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "input": {"dataset": "deposits", "commitment": "a" * 64},
        "person": "pid",
        "key": "id_number",
        "fields": FIELDS,
        "rows": rows,
        "period": datetime.now(UTC).strftime("%Y-%m"),
    }
    own = write_text_table(root / "bank", ["pid", "deposit", "state"], bank)
    theirs = write_text_table(root / "office", ["id_number", "base", "status"], office)
    parameters = consistency_check.parameters(**{**arguments, **changed})
    return RequesterJob(root, consistency_check.CODE, parameters, [own, theirs], states=list(states))


def test_counts_and_rows_are_those_of_a_plain_comparison(tmp_path: Path) -> None:
    """C1 and C6."""
    bank, office = _tables(1500)
    job = _job(tmp_path, bank, office)
    found = job.result()

    assert found["fields"] == _oracle(bank, office)
    assert all(field[word] > 10 for field in found["fields"] for word in ("same", "different", "absent"))
    assert (found["type"], found["rows"]) == ("consistency_check/v1", 1500)
    assert "does not repair data quality" in found["notice"]["en"]
    assert "不修复数据质量" in found["notice"]["zh"]

    # The office's part and what it keeps hold no person, no value and no verdict.
    for path in (*job.states[1].rglob("*"), *(tmp_path / "party1").iterdir()):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(row[0].encode() in data or row[0].lower().encode() in data for row in bank[:50])


def test_one_value_for_each_person_and_field_in_a_month(tmp_path: Path) -> None:
    """C3: again with the same value is no guess; with another it is refused, and the answer never comes."""
    bank, office = _tables(1000)
    del office[200:]
    states = [tmp_path / "state0", tmp_path / "state1"]
    first = _job(tmp_path / "1", bank, office, rows=1000, states=states)
    parts = [run.part() for run in first.run()]

    again = _job(tmp_path / "2", bank[::-1], office, rows=1000, states=states)
    assert again.codes() == ["", ""]

    changed = [list(row) for row in bank]
    changed[17][1] = "12345.67"
    guess = _job(tmp_path / "3", changed, office, rows=1000, states=states)
    assert guess.codes() == ["PEER_LOST", "GUESS_REPEATED"]

    # All alike or all different: the parts are of one size.
    other = _job(tmp_path / "4", [[row[0], "1", "1"] for row in bank], office, rows=1000)
    assert [len(run.part()) for run in other.run()] == [len(part) for part in parts]


@pytest.mark.parametrize(
    ("bank", "rows", "code"),
    [
        ([[f"{number:018d}", "1", "x"] for number in range(999)], 1000, "BATCH_SIZE"),  # C5
        ([[f"{number:018d}", "1", "x"] for number in range(1001)], 1000, "BATCH_SIZE"),
        ([[f"{number % 1000:018d}", str(number), "x"] for number in range(1001)], 2000, "GUESS_REPEATED"),
    ],
    ids=["too few", "too many", "a person twice"],
)
def test_a_batch_that_may_not_be_asked_is_not_sent(tmp_path: Path, bank: Table, rows: int, code: str) -> None:
    run = _job(tmp_path, bank, [["1", "1", "x"]], rows=rows).start(0)
    run.wait()
    assert (run.code(), run.sent_bytes()) == (code, 0)


def test_another_month_is_refused_at_both_sides(tmp_path: Path) -> None:
    job = _job(tmp_path, [["1", "1", "x"]], [["1", "1", "x"]], rows=1000, period="2020-01")
    assert job.codes() == ["PERIOD_OVER", "PERIOD_OVER"]
