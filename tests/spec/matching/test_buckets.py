"""Matching in buckets: the same result, and a run that was stopped goes on where it was and counts nothing twice."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from compute.protocol import operations
from ledger.proofs import statements
from tests.factories.engines import Job
from tests.spec.cases import Owner
from tests.spec.matching.test_matching import RECEIVER, expected

pytestmark = pytest.mark.engine

BUCKET_ROWS = 16


def job(root: Path, data: Path) -> Job:
    parameters = operations.matching(receiver=RECEIVER, form="list", protocol="rr22", id_column="person_id")
    return Job(root, operations.MATCHING, parameters, [data / "data0", data / "data1"])


def stopped(root: Path) -> list[Path]:
    """A run whose other party was killed after some buckets; what each party kept."""
    for rank, people in enumerate((range(128), range(50, 178))):
        Owner(people, {}).write(root / f"data{rank}")
    first = job(root / "first", root)
    kept = [root / f"state{rank}" / statements.digest(first.job) for rank in range(2)]
    runs = [first.start(rank, state=root / f"state{rank}", bucket_rows=BUCKET_ROWS) for rank in range(2)]
    until = time.monotonic() + 60
    while (
        not all(list(path.glob("*.done")) for path in kept) and not runs[0].is_finished() and time.monotonic() < until
    ):
        time.sleep(0.002)
    os.kill(runs[1].pid, signal.SIGKILL)
    for run in runs:
        run.wait()
    assert runs[0].code() == "PEER_LOST"
    return kept


def started_again(root: Path) -> tuple[Job, dict[str, Any]]:
    """The same job once more, with what was kept; its opened result."""
    second = job(root / "second", root)
    runs = [second.start(rank, state=root / f"state{rank}", bucket_rows=BUCKET_ROWS) for rank in range(2)]
    for run in runs:
        run.wait()
    return second, second.engine.open([run.part() for run in runs], job=second.job, request=second.request).describe()


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    kept = stopped(tmp_path)
    done = set.intersection(*({path.name for path in directory.glob("*.done")} for directory in kept))
    assert done
    assert len(done) < 8

    # When the same job starts again; a bucket that is done would come out empty if it were matched again.
    for name in done:
        (kept[0] / name).with_suffix(".bucket").write_bytes(b"")
    second, found = started_again(tmp_path)

    # Then the result is whole, and nothing is kept.
    assert found == expected(second, "list")
    assert found["count"] == 78
    assert not any(path.exists() for path in kept)


def test_without_what_was_written_down_the_emptied_bucket_would_be_missed(tmp_path: Path) -> None:
    kept = stopped(tmp_path)
    for path in kept[0].glob("*.done"):
        path.with_suffix(".bucket").write_bytes(b"")
        path.unlink()

    assert started_again(tmp_path)[1]["count"] in (None, *range(78))
