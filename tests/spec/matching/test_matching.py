"""matching: one table of expectations, run through real processes and sockets, against the reference."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from compute.engines import metadata, reference
from compute.engines.privacy import noised, sensitivity
from compute.protocol import operations, shapes
from tests.factories.engines import Job
from tests.factories.privacy import GAUSSIAN, LAPLACE, PreparedJob
from tests.spec.cases import EAST_WEST, Owner

pytestmark = pytest.mark.engine

RECEIVER = "urn:hengshu:org:01JD00000000000000000000A1"
TWO = (Owner(range(60), EAST_WEST), Owner(range(25, 90), {}, id_case="x"))
THREE = (*TWO, Owner(range(30, 70), {}))


def job(root: Path, owners: tuple[Owner, ...], *, protocol: str, form: str = "cardinality", min_group: int = 10) -> Job:
    parameters = operations.matching(
        receiver=RECEIVER, form=form, protocol=protocol, id_column="person_id" if form == "list" else None
    )
    datasets = [owner.write(root / f"data{rank}") for rank, owner in enumerate(owners)]
    return Job(root, operations.MATCHING, parameters, [*datasets], min_group=min_group)


def expected(found: Job, form: str) -> dict[str, Any]:
    datasets = [path for path in found.datasets if path is not None]
    return reference.matching(form=form, datasets=datasets, min_group=found.min_group)


@pytest.mark.parametrize(
    ("owners", "protocol", "form", "count"),
    [
        (TWO, "blind", "cardinality", 35),
        (TWO, "rr22", "list", 35),
        (THREE, "ecdh", "list", 30),
    ],
    ids=["blind, x and X one person", "a list by RR22", "three tables"],
)
def test_the_opened_result_is_what_the_reference_finds(
    tmp_path: Path, owners: tuple[Owner, ...], protocol: str, form: str, count: int | None
) -> None:
    matching = job(tmp_path, owners, protocol=protocol, form=form)

    runs = matching.run()
    parts = [run.part() for run in runs]
    found = matching.engine.open(parts, job=matching.job, request=matching.request).describe()

    assert found == expected(matching, form)
    assert found["count"] == count
    kept = b"".join(
        path.read_bytes() for path in tmp_path.glob("party*/**/*") if path.is_file() and path.name != "job.json"
    )
    assert b"9901011980" not in kept
    assert not list(tmp_path.glob("party*/keys.csv*"))
    assert not list(tmp_path.glob("party*/matched.csv"))


def test_parts_are_of_one_size_whatever_matches(tmp_path: Path) -> None:
    sizes, told = [], []
    for start in (0, 63):  # all match; one does
        matching = job(
            tmp_path / str(start), (Owner(range(64), {}), Owner(range(start, start + 64), {})), protocol="blind"
        )
        parts = [run.part() for run in matching.run()]
        sizes.append([len(part) for part in parts])
        told.append(matching.engine.open(parts, job=matching.job, request=matching.request).describe()["count"])

    assert told == [64, None]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("drawn", "told"), [(7, 42), (-26, None), (-50, None)], ids=["more", "below k", "below 0"])
def test_a_noised_number_is_the_count_and_the_noise_that_the_receiver_s_node_drew(
    tmp_path: Path, drawn: int, told: int | None
) -> None:
    exact = job(tmp_path / "exact", TWO, protocol="rr22")
    noised_job = PreparedJob(
        tmp_path,
        operations.MATCHING,
        operations.matching(receiver=RECEIVER, protocol="rr22", privacy=LAPLACE),
        exact.datasets,
        files=[_noise(exact, number) for number in (drawn, 999)],  # the other node's is for no number of this run
    )

    parts = [run.part() for run in noised_job.run()]
    found = noised_job.engine.open(parts, job=noised_job.job, request=noised_job.request).describe()

    assert found["count"] == told
    assert found["outcome"] == ("withheld" if told is None else "released")
    assert found["privacy"] == {**LAPLACE, "unit": "one person is one row of one owner", "count_deviation": "15"}
    assert len({len(part) for part in parts}) == 1


def test_without_the_node_s_noise_a_noised_number_is_not_computed(tmp_path: Path) -> None:
    parameters = operations.matching(receiver=RECEIVER, privacy=LAPLACE)
    found = Job(tmp_path, operations.MATCHING, parameters, job(tmp_path / "exact", TWO, protocol="blind").datasets)

    assert [run.code() for run in found.run()] == ["JOB_DIFFERS", "PEER_LOST"]


def test_noise_is_for_numbers_and_of_one_kind() -> None:
    for wrong in (
        {"form": "list", "protocol": "rr22", "id_column": "person_id", "privacy": LAPLACE},
        {"privacy": {"mechanism": "reviewed"}},
        {"privacy": GAUSSIAN},
    ):
        with pytest.raises(shapes.DocumentInvalid):
            operations.matching(receiver=RECEIVER, **wrong)


def _noise(found: Job, drawn: int) -> dict[str, str]:
    """What a node puts beside its run."""
    path = found.datasets[0]
    assert path is not None
    plan = sensitivity.plan(metadata.from_schema(json.loads((path / "schema.json").read_bytes())), {"privacy": LAPLACE})
    return {noised.NOISE_FILE: json.dumps({"plan": plan.describe(), "noise": [[drawn]]})}


def test_the_survivor_of_a_killed_peer_says_so_and_has_no_part(tmp_path: Path) -> None:
    # Given a peer that is linked and cannot get on, because its table is a pipe that nobody writes to.
    matching = job(tmp_path, TWO, protocol="blind")
    stuck = tmp_path / "data1" / "data.csv"
    stuck.unlink()
    os.mkfifo(stuck)
    survivor, victim = matching.start(0), matching.start(1)
    until = time.monotonic() + 20
    while survivor.progress() < ("match", 20) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    survivor.wait()
    victim.wait()

    assert time.monotonic() - killed_at < 10
    assert survivor.code() == "PEER_LOST"
    assert not list(tmp_path.glob("party*/part.json"))


def test_a_peer_that_runs_another_job_is_turned_down(tmp_path: Path) -> None:
    matching = job(tmp_path, TWO, protocol="blind")
    runs = [matching.start(0), matching.start(1, job={**matching.job, "min_group": 11})]
    for run in runs:
        run.wait()

    assert {run.code() for run in runs} <= {"JOB_DIFFERS", "PEER_LOST"}
    assert "JOB_DIFFERS" in {run.code() for run in runs}


def test_no_column_of_a_third_provider_is_needed_and_a_list_needs_the_receiver_s_ids() -> None:
    named = operations.matching(receiver=RECEIVER, form="list", protocol="rr22", id_column="person_id")
    found = operations.get(operations.MATCHING)

    assert found.columns(named, RECEIVER) == ["person_id"]
    assert found.columns(named, "urn:hengshu:org:01JD00000000000000000000B1") == []
    for wrong in ({"form": "list", "protocol": "rr22"}, {"form": "list", "id_column": "person_id"}):
        with pytest.raises(shapes.DocumentInvalid, match=r"parameters\.(id_column|protocol)"):
            operations.matching(receiver=RECEIVER, **wrong)
