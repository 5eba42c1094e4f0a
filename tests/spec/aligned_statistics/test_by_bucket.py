"""Aligned statistics by bucket and from dealt shares: the same result, also when a party was killed in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.engines import launcher, reference
from compute.protocol import operations
from ledger.proofs import statements
from tests.factories.engines import Job
from tests.spec.cases import AGES, Owner

pytestmark = pytest.mark.engine

GROUPS, VALUES = "urn:hengshu:org:01JD00000000000000000000A1", "urn:hengshu:org:01JD00000000000000000000B1"
SMALL = (
    "from compute.engines import aligned, dealt_sums, worker; import sys;"
    " aligned.CIRCUIT_CELLS = 1; dealt_sums.MAX_CHUNK_WORDS = 200; worker.main(sys.argv[1:])"
)


@pytest.fixture(autouse=True)
def dealt_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that take small tables for large ones: chunks of 32 rows, and no circuit."""

    def start(work_dir: Path, *, deadline_seconds: float) -> launcher.Run:
        process = subprocess.Popen(
            [sys.executable, "-c", SMALL, str(work_dir)],
            cwd=work_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(work_dir), "PYTHONPATH": str(Path.cwd())},
            start_new_session=True,
        )
        return launcher.Run(process, work_dir, deadline=time.monotonic() + deadline_seconds)

    monkeypatch.setattr(launcher, "start", start)


def started(job: Job, root: Path) -> list[launcher.Run]:
    return [job.start(rank, state=root / f"state{rank}", bucket_rows=64) for rank in range(3)]


def test_a_compute_party_that_was_killed_costs_nothing_but_time(tmp_path: Path) -> None:
    # Given owners of 300 and 320 persons, 200 of them the same; a block of few, and one of nobody.
    districts = {"district": ("东区", "西区", "空区"), "age": AGES}
    Owner(range(300), districts, weights=(12, 1, 0)).write(tmp_path / "groups")
    Owner(range(100, 420), {}, {"base": (2, -5_000, 5_000_000), "months": (0, 0, 480)}, seed=4).write(
        tmp_path / "values"
    )
    parameters = operations.aligned_statistics(
        group_by=["district"], values=["base", "months"], group_provider=GROUPS, value_provider=VALUES
    )
    data = [tmp_path / "groups", tmp_path / "values", None]
    first, second = (Job(tmp_path / name, "aligned_statistics", parameters, data) for name in ("first", "second"))
    kept = [tmp_path / f"state{rank}" / statements.digest(first.job) for rank in range(3)]

    # When the compute party is killed after some of eight buckets, and all are started again.
    runs = started(first, tmp_path)
    until = time.monotonic() + 60
    while not all(list(path.glob("*.done")) for path in kept[:2]) and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(runs[2].pid, signal.SIGKILL)
    for run in runs:
        run.wait()
    assert [run.code() for run in runs] == ["PEER_LOST", "PEER_LOST", "OOM"]
    assert all(path.exists() for path in kept)  # of the compute party nothing but that it went by bucket
    assert not list(kept[2].iterdir())
    runs = started(second, tmp_path)
    for run in runs:
        run.wait()

    # Then the result is the reference's, and nothing is kept.
    found = second.engine.open([run.part() for run in runs], job=second.job, request=second.request).describe()
    expected = reference.statistics("aligned_statistics", parameters=parameters, datasets=data[:2], min_group=10)
    assert found == expected
    assert [cell["group"]["district"] for cell in found["cells"]] == ["东区", "东区"]
    assert not any(path.exists() for path in kept)
