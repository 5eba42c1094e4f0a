"""Real worker processes that are killed, refused, stopped or too slow: one code each, and never a part."""

import os
import signal
import time
from pathlib import Path

import pytest

from compute.engines import launcher
from compute.engines.errors import EngineRefused
from compute.protocol.operations import ALIGNED_STATISTICS, JOINT_STATISTICS
from tests.factories.engines import Job
from tests.spec.cases import BASE, EAST_WEST, VALUES, Owner

pytestmark = pytest.mark.engine

PARAMETERS = {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10}


@pytest.fixture
def joint(tmp_path: Path) -> Job:
    datasets = [Owner(range(60), EAST_WEST, BASE, seed=rank).write(tmp_path / f"data{rank}") for rank in range(2)]
    return Job(tmp_path, JOINT_STATISTICS, dict(PARAMETERS), [*datasets])


@pytest.fixture
def aligned(tmp_path: Path) -> Job:
    datasets = [
        Owner(range(800), EAST_WEST).write(tmp_path / "data0"),
        Owner(range(800), {}, VALUES).write(tmp_path / "data1"),
    ]
    parameters = {**PARAMETERS, "values": ["wage"]}
    return Job(tmp_path, ALIGNED_STATISTICS, parameters, [*datasets, None])


def wait_for(run: launcher.Run, stage: str, *, percent: int = 0, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while (
        not (run.progress()[0] == stage and run.progress()[1] >= percent)
        and not run.is_finished()
        and time.monotonic() < until
    ):
        time.sleep(0.01)


@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("stage", ["match", "compute"])
def test_survivors_of_a_killed_peer_say_so_within_seconds(aligned: Job, stage: str, victim: int) -> None:
    runs = [aligned.start(rank) for rank in range(3)]
    wait_for(runs[victim], stage)
    os.kill(runs[victim].pid, signal.SIGKILL)
    killed_at = time.monotonic()

    for run in runs:
        run.wait()

    assert time.monotonic() - killed_at < 10
    assert [run.code() for rank, run in enumerate(runs) if rank != victim] == ["PEER_LOST", "PEER_LOST"]
    assert runs[victim].code() == "OOM"  # killed, and not by us
    assert not list(aligned.root.glob("party*/part.json"))


def test_the_survivor_of_a_joint_run_says_so_too(joint: Job) -> None:
    # Given a peer that is linked and cannot get on, because its table is a pipe that nobody writes to.
    stuck = joint.root / "data1" / "data.csv"
    stuck.unlink()
    os.mkfifo(stuck)
    survivor, victim = joint.start(0), joint.start(1)
    wait_for(victim, "compute")
    os.kill(victim.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    survivor.wait()
    victim.wait()

    assert time.monotonic() - killed_at < 10
    assert survivor.code() == "PEER_LOST"


def test_the_peak_memory_is_the_run_s_own_and_not_that_of_who_started_it(joint: Job) -> None:
    ballast = b"x" * (500 << 20)

    peaks = [run.result()["peak_mb"] for run in joint.run()]

    assert len(ballast) == 500 << 20
    assert all(10 < peak < 400 for peak in peaks)


def test_a_peer_that_runs_another_job_is_turned_down(joint: Job) -> None:
    runs = [joint.start(0), joint.start(1, job={**joint.job, "min_group": 11})]
    for run in runs:
        run.wait()

    assert "JOB_DIFFERS" in {run.code() for run in runs}
    assert {run.code() for run in runs} <= {"JOB_DIFFERS", "PEER_LOST"}
    with pytest.raises(EngineRefused):
        runs[0].part()


def test_a_query_that_is_no_union_of_blocks_never_reaches_the_link(joint: Job) -> None:
    joint.parameters["group_by"] = ["base"]

    runs = joint.run()

    assert [run.code() for run in runs] == ["GROUPING_NOT_A_BLOCK"] * 2
    assert [run.progress()[0] for run in runs] == ["link", "link"]


def test_a_range_that_could_wrap_is_refused_before_anything_is_shared(aligned: Job) -> None:
    Owner(range(20), {}, {"wage": (0, 0, 2**31)}).write(aligned.root / "wide")
    runs = [aligned.start(0), aligned.start(1, dataset=aligned.root / "wide"), aligned.start(2)]
    for run in runs:
        run.wait()

    assert [run.code() for run in runs] == ["PEER_LOST", "VALUE_RANGE_TOO_WIDE", "PEER_LOST"]


def test_the_deadline_ends_a_run_whose_peer_never_comes(joint: Job) -> None:
    run = joint.start(0, deadline_seconds=2.0)
    started = time.monotonic()
    run.wait()

    assert time.monotonic() - started < 8
    assert run.code() in {"PEER_LOST", "DEADLINE"}


def test_a_stopped_run_is_cancelled_and_gone(joint: Job) -> None:
    run = joint.start(0)
    run.stop()
    run.stop()

    assert run.is_finished()
    assert run.code() == "CANCELLED"
    with pytest.raises(ProcessLookupError):
        os.kill(run.pid, 0)


def test_a_process_that_dies_without_a_word_has_crashed(joint: Job) -> None:
    run = joint.start(0)
    wait_for(run, "link", percent=5)
    os.kill(run.pid, signal.SIGSEGV)
    run.wait()

    assert run.code() == "ENGINE_CRASH"


def test_no_row_and_no_identifier_is_in_the_log(joint: Job) -> None:
    joint.run()

    for rank in range(2):
        assert b"9901011980" not in (joint.root / f"party{rank}" / "engine.log").read_bytes()
