"""joined_statistics: three real processes, nobody learns the match, against the reference."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from compute.engines import reference
from compute.protocol.operations import JOINED_STATISTICS
from tests.factories.engines import Job
from tests.spec.cases import ALIGNED, EAST_WEST, VALUES, Owner

pytestmark = pytest.mark.engine

CASE = ALIGNED[0]  # groups of one side over values of the other, x and X the same person, a rare block withheld


def test_parts_open_to_what_the_reference_computes(tmp_path: Path) -> None:
    datasets = [owner.write(tmp_path / f"data{rank}") for rank, owner in enumerate(CASE.owners)]
    job = Job(tmp_path, JOINED_STATISTICS, CASE.parameters, [*datasets, None], min_group=CASE.min_group)

    runs = job.run()
    parts = [run.part() for run in runs]
    found = job.engine.open(parts, job=job.job, request=job.request).describe()

    assert found == reference.statistics(
        JOINED_STATISTICS, parameters=CASE.parameters, datasets=datasets, min_group=CASE.min_group
    )
    assert len(found["cells"]) == CASE.cells
    assert json.loads(parts[2])["layout"] is None
    kept = b"".join(
        path.read_bytes() for path in tmp_path.glob("party*/**/*") if path.is_file() and path.name != "job.json"
    )
    assert b"9901011980" not in kept


def test_survivors_of_a_peer_killed_in_the_circuit_say_so(tmp_path: Path) -> None:
    datasets = [
        Owner(range(800), EAST_WEST).write(tmp_path / "data0"),
        Owner(range(800), {}, VALUES).write(tmp_path / "data1"),
    ]
    parameters = {"group_by": [], "values": ["wage"], "filters": [], "min_group": 10}
    job = Job(tmp_path, JOINED_STATISTICS, parameters, [*datasets, None])
    runs = [job.start(rank) for rank in range(3)]
    until = time.monotonic() + 30
    while runs[1].progress()[0] != "compute" and not runs[1].is_finished() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(runs[1].pid, signal.SIGKILL)
    killed_at = time.monotonic()
    for run in runs:
        run.wait()

    assert time.monotonic() - killed_at < 10
    assert [runs[0].code(), runs[2].code()] == ["PEER_LOST", "PEER_LOST"]
    assert not list(tmp_path.glob("party*/part.json"))
