"""private_lookup: two real processes against a plain search, and what each refuses (A1, A4 to A6, A8, A9)."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from compute.engines import launcher, lookup_papers, lookup_requester, worker
from compute.engines.errors import LinkLost
from compute.protocol.operations import private_lookup
from ledger.proofs import statements
from tests.factories.registers import DECLARATION_COLUMNS, REGISTER_COLUMNS, Declared, Scenario, scenario
from tests.factories.requester_jobs import Officers, RequesterJob, write_text_table

pytestmark = pytest.mark.engine

TOLD = list(REGISTER_COLUMNS[1:])


@pytest.fixture(scope="module")
def world() -> Scenario:
    return scenario(seed=855, register_persons=600)


@pytest.fixture
def officers() -> Officers:
    return Officers()


def _job(
    root: Path,
    world: Scenario,
    declared: Sequence[Declared],
    officers: Officers,
    *,
    subjects: int,
    approved: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    states: list[Path] | None = None,
    letter: dict[str, Any] | None = None,
) -> RequesterJob:
    """A job with its papers laid out."""
    root.mkdir(parents=True, exist_ok=True)
    papers = letter or officers.letter()
    persons = approved if approved is not None else [item.person for item in declared]
    listed = officers.approve(papers, persons)
    parameters = private_lookup.parameters(
        input={"dataset": "declaration", "commitment": "a" * 64},
        person="person",
        declared="declared_units",
        key="pid",
        columns=TOLD,
        subjects=subjects,
        letter=papers,
        approved=statements.digest(listed),
    )
    own = write_text_table(
        root / "declaration",
        DECLARATION_COLUMNS,
        [item.row() for item in declared],
        integers={"declared_units": (0, 99)},
    )
    register = write_text_table(root / "register", REGISTER_COLUMNS, world.register)
    job = RequesterJob(root, private_lookup.CODE, parameters, [own, register], states=states or [])
    officers.lay(job, listed, by=by)
    return job


def test_all_855_are_answered_as_by_a_plain_search(tmp_path: Path, world: Scenario, officers: Officers) -> None:
    """A1, A4, A6: every person of all 19 batches, in one request of 900 subjects."""
    job = _job(tmp_path, world, world.declarations, officers, subjects=900)
    found = job.result()

    assert found["type"] == "private_lookup/v1"
    assert [{**item, "records": sorted(item["records"])} for item in found["answers"]] == [
        {"row": row, **expected, "records": sorted(expected["records"])}  # type: ignore[call-overload]
        for row, expected in enumerate(map(world.oracle, world.declarations), start=1)
    ]
    verdicts = {item["verdict"] for item in found["answers"]}
    assert verdicts == {"match", "no_record", "undeclared", "over_declared"}

    asked = {item.person for item in world.declarations}
    others = {row[1].encode() for row in world.register if row[0] not in asked}
    kept = b"".join(
        path.read_bytes() for path in (*job.states[0].rglob("*"), *(tmp_path / "party0").iterdir()) if path.is_file()
    )
    assert not any(unit in kept for unit in others)  # the requester holds nothing readable of anybody else

    owner = b"".join(
        path.read_bytes() for path in (*job.states[1].rglob("*"), *(tmp_path / "party1").iterdir()) if path.is_file()
    )
    assert not any(person.encode() in owner for person in asked)
    line = json.loads((job.states[1] / "journal" / "look-ups.jsonl").read_bytes())
    assert set(line) == {"time", "batch", "letter", "officers", "count"}
    assert (line["batch"], line["letter"], line["count"]) == ("第 07 批", "组函〔2026〕第 15 号", 900)


def test_the_table_is_sent_once_and_two_batches_look_the_same(
    tmp_path: Path, world: Scenario, officers: Officers
) -> None:
    states = [tmp_path / "state0", tmp_path / "state1"]
    sizes, sent = [], []
    for number in (1, 2):
        batch = world.batch(number)[: 45 if number == 1 else 3]
        job = _job(tmp_path / str(number), world, batch, officers, subjects=45, states=states)
        runs = job.run()
        parts = [run.part() for run in runs]
        answers = job.engine.open(parts, job=job.job, request=job.request).describe()["answers"]
        assert [item["verdict"] for item in answers] == [world.oracle(item)["verdict"] for item in batch]
        sizes.append([len(part) for part in parts])
        sent.append(runs[1].sent_bytes())
    assert sizes[0] == sizes[1]  # 45 persons or 3: the exchange sees one size
    assert sent[0] > 224 * 600 > 10_000 > sent[1]


@pytest.mark.parametrize(
    "valid",
    [(-timedelta(hours=2), -timedelta(hours=1)), (timedelta(hours=1), timedelta(hours=2))],
    ids=["old", "early"],
)
def test_a_letter_out_of_its_time_ends_the_run_at_both_sides(
    tmp_path: Path, world: Scenario, officers: Officers, valid: tuple[timedelta, timedelta]
) -> None:
    """A5: before a connection is made, so before any key leaves."""
    letter = officers.letter(issued=valid[0], expires=valid[1])
    job = _job(tmp_path, world, world.batch(1)[:2], officers, subjects=4, letter=letter)
    assert job.codes() == ["LETTER_EXPIRED", "LETTER_EXPIRED"]
    assert not _has_used_a_key(job)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"by": ["赵经办"]}, "RELEASE_MISSING"),  # A8
        ({"approved": ["99010119700101001X"]}, "TARGET_NOT_APPROVED"),  # A9
        ({"subjects": 1}, "BATCH_SIZE"),
    ],
    ids=["one officer", "not approved", "more persons than subjects"],
)
def test_the_requester_asks_nothing_without_its_papers(
    tmp_path: Path, world: Scenario, officers: Officers, changed: dict[str, Any], code: str
) -> None:
    job = _job(tmp_path, world, world.batch(1)[:2], officers, **{"subjects": 4, **changed})
    run = job.start(0)
    run.wait()
    assert (run.code(), run.sent_bytes()) == (code, 0)


def test_releases_of_another_request_do_not_count(tmp_path: Path, world: Scenario, officers: Officers) -> None:
    job = _job(tmp_path, world, world.batch(1)[:2], officers, subjects=4)
    for path in (job.states[0] / lookup_papers.RELEASES).iterdir():
        path.unlink()
    other = {**job.request, "parameters": {**job.parameters, "subjects": 5}}
    for release in officers.release(other):
        lookup_papers.put_release(job.states[0], {**release, "request_digest": statements.digest(job.request)})
    run = job.start(0)
    run.wait()
    assert run.code() == "RELEASE_MISSING"


@pytest.mark.parametrize("by", [["赵经办"], ["赵经办", "钱复核"]], ids=["one", "both"])
def test_the_owner_itself_insists_on_two_officers(
    tmp_path: Path, world: Scenario, officers: Officers, monkeypatch: pytest.MonkeyPatch, by: list[str]
) -> None:
    """A8 against a requester whose own check is switched off; with both signatures the same node is served."""
    job = _job(tmp_path, world, world.batch(1)[:2], officers, subjects=4, by=by)
    owner = job.start(1)
    with monkeypatch.context() as patched:
        patched.setattr(launcher, "start", lambda work_dir, deadline_seconds: None)
        job.start(0)
        patched.setattr(lookup_papers, "check_releases", lambda found, context: None)
        spec = json.loads((tmp_path / "party0" / "job.json").read_bytes())
        context = worker._context(tmp_path / "party0", spec, deadline=time.monotonic() + 20, progress=lambda *_: None)
        if len(by) == 2:
            assert lookup_requester.run(context)
        else:
            with pytest.raises(LinkLost):
                lookup_requester.run(context)
    owner.wait()
    assert owner.code() == ("" if len(by) == 2 else "RELEASE_MISSING")
    assert _has_used_a_key(job) == (len(by) == 2)


def test_another_key_for_the_same_data_version_is_refused(tmp_path: Path, world: Scenario, officers: Officers) -> None:
    """One requester, one key: an owner that changes it between requests could tell them apart."""
    states = [tmp_path / "state0", tmp_path / "state1"]
    for number, owner in enumerate(("state1", "state2", "state1")):
        states[1] = tmp_path / owner
        job = _job(tmp_path / str(number), world, world.batch(1)[:1], officers, subjects=2, states=list(states))
        expected = ["JOB_DIFFERS", "PEER_LOST"] if owner == "state2" else ["", ""]
        assert job.codes() == expected


_STAY = """
import sys, time
from pathlib import Path
from compute.engines import lookup_requester, worker
import json
directory = Path(sys.argv[1])
spec = json.loads((directory / "job.json").read_bytes())
context = worker._context(directory, spec, deadline=time.monotonic() + 30, progress=lambda *_: None)
part = lookup_requester.run(context)
sys.stdout.write("done\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_the_requester_s_memory_holds_nobody_who_was_not_asked_for(
    tmp_path: Path, world: Scenario, officers: Officers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A4: its whole memory at the end of the run, with the table in it, against every unit of the register."""
    batch = world.batch(1)
    job = _job(tmp_path, world, batch, officers, subjects=45)
    owner = job.start(1)
    with monkeypatch.context() as patched:
        patched.setattr(launcher, "start", lambda work_dir, deadline_seconds: None)
        job.start(0)
    command = [sys.executable, "-c", _STAY, str(tmp_path / "party0")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as requester:
        assert requester.stdout is not None
        assert requester.stdout.readline() == "done\n"
        memory = _memory(requester.pid)
        requester.communicate("")
    owner.wait()
    asked = {item.person for item in batch}
    units = {
        is_asked: {row[1] for row in world.register if (row[0] in asked) == is_asked} for is_asked in (True, False)
    }
    found = set(re.findall(rb"99[0-9]{10}GB[0-9]{5}F[0-9]{8}", memory))
    assert {unit.encode() for unit in units[True]} <= found  # the look is a real one
    assert len(units[False]) > 600
    assert not {unit.encode() for unit in units[False]} & found


def _memory(pid: int) -> bytes:
    """All that a process may write to, as it stands."""
    found = []
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in lines:
            place, rights, *_ = line.split()
            first, last = (int(number, 16) for number in place.split("-"))
            if rights.startswith("rw"):
                file.seek(first)
                with contextlib.suppress(OSError):  # some kernel pages cannot be read
                    found.append(file.read(last - first))
    return b"".join(found)


def _has_used_a_key(job: RequesterJob) -> bool:
    return (job.states[1] / "secrets").exists() or (job.states[1] / "journal").exists()
