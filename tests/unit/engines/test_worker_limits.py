"""What bounds an engine's process, each bound struck for real: memory, file size, disk, processor time, a signal."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.engines import launcher
from compute.engines.errors import FAILURE_CODES
from compute.protocol.operations import JOINT_STATISTICS
from tests.factories.engines import Job
from tests.spec.cases import BASE, EAST_WEST, Owner

pytestmark = pytest.mark.engine


@pytest.fixture
def joint(tmp_path: Path) -> Job:
    datasets = [Owner(range(60), EAST_WEST, BASE, seed=rank).write(tmp_path / f"data{rank}") for rank in range(2)]
    parameters = {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10}
    return Job(tmp_path, JOINT_STATISTICS, parameters, [*datasets])


def codes(runs: list[launcher.Run]) -> list[str]:
    for run in runs:
        run.wait()
    return [run.code() for run in runs]


def test_too_little_memory_is_said_and_the_peer_is_not_kept_waiting(joint: Job) -> None:
    began = time.monotonic()
    starved, peer = joint.start(0, memory_mb=150), joint.start(1, deadline_seconds=15.0)

    assert codes([starved, peer]) == ["OOM", "PEER_LOST"] or codes([starved, peer]) == ["OOM", "DEADLINE"]
    assert time.monotonic() - began < 25
    assert not list(joint.root.glob("party*/part.json"))


def test_a_disk_that_takes_nothing_more_is_said_without_a_file(joint: Job) -> None:
    """Not even the result file can be written: the exit code says it."""
    full, peer = joint.start(0, file_mb=0), joint.start(1, deadline_seconds=15.0)

    assert codes([full, peer])[0] == "DISK_FULL"
    assert FAILURE_CODES["DISK_FULL"] == "ENGINE_FAILED"
    assert full.ending()["exit"] == 74
    assert not (joint.root / "party0" / "part.json").exists()


@pytest.fixture
def small_disk(joint: Job) -> Iterator[Path]:
    place = joint.root / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_said_and_no_part_is_left(joint: Job, small_disk: Path) -> None:
    joint.root = small_disk
    full = joint.start(0, deadline_seconds=15.0)
    left = os.statvfs(small_disk)
    with (small_disk / "filled").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_bsize)
    joint.root = small_disk.parent
    peer = joint.start(1, deadline_seconds=15.0)

    assert codes([full, peer])[0] == "DISK_FULL"
    assert not (small_disk / "party0" / "part.json").exists()


def test_processor_time_beyond_every_core_until_the_deadline_ends_it(joint: Job) -> None:
    run = joint.start(0)
    resource.prlimit(run.pid, resource.RLIMIT_CPU, (0, 1))

    assert codes([run]) in (["DEADLINE"], ["OOM"])  # SIGXCPU, or SIGKILL where the kernel strikes at the hard limit


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGILL])
def test_a_signal_is_named_in_the_ending(joint: Job, number: signal.Signals) -> None:
    run = joint.start(0)
    os.kill(run.pid, number)

    assert codes([run]) == ["ENGINE_CRASH"]
    assert run.ending()["signal"] == number.name


def test_the_limits_stand_in_the_process_itself(joint: Job) -> None:
    run = joint.start(0, memory_mb=4096, file_mb=7, deadline_seconds=30.0)
    until = time.monotonic() + 10
    while run.progress()[1] == 0 and not run.is_finished() and time.monotonic() < until:
        time.sleep(0.01)
    limits = {
        line[:26].strip(): line[26:].split()[0] for line in Path(f"/proc/{run.pid}/limits").read_text().splitlines()[1:]
    }
    run.stop()

    assert limits["Max core file size"] == "0"
    assert limits["Max address space"] == str(4096 * 1024 * 1024)
    assert limits["Max file size"] == str(7 * 1024 * 1024)
    assert limits["Max open files"] == "4096"
    assert limits["Max cpu time"] == str(32 * (os.cpu_count() or 1))
