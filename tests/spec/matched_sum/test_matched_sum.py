"""matched_sum: one table of expectations, run by two real processes with full keys, against the reference."""

import json
import time
from pathlib import Path

import pytest

from compute.engines import private_join
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.paillier import cores
from compute.engines.reference_matched import matched_sum
from compute.protocol.operations import MATCHED_SUM
from tests.factories.engines import Job, write_dataset
from tests.factories.processes import command_line, descendants, is_alive
from tests.spec.cases import VALUES, Case, Owner

pytestmark = pytest.mark.engine

CASES = (
    Case(
        "two values, negative numbers, x and X the same person, a list that overlaps",
        (Owner(range(300)), Owner(range(120, 400), {}, VALUES, seed=4, id_case="x")),
        values=("wage", "months"),
        cells=2,
    ),
    Case("nobody in both", (Owner(range(50)), Owner(range(50, 90), {}, VALUES)), values=("wage",), cells=0),
    Case(
        "nine in both, one fewer than may be told",
        (Owner(range(60)), Owner(range(51, 120), {}, VALUES)),
        values=("wage",),
        cells=0,
    ),
    Case(
        "five of the value owner's do not match: the rest could be told by a difference",
        (Owner(range(100)), Owner(range(20, 105), {}, VALUES)),
        values=("wage",),
        cells=0,
    ),
    Case("the same persons in both", (Owner(range(40)), Owner(range(40), {}, VALUES)), values=("wage",), cells=1),
    Case(
        "the widest values that a dataset may declare, and a larger k of the buyer's",
        (Owner(range(100)), Owner(range(50, 150), {}, {"base": (0, -(10**15), 10**15)}, seed=5)),
        min_group=50,
        cells=1,
    ),
)


def job_of(tmp_path: Path, case: Case) -> Job:
    datasets = [owner.write(tmp_path / f"data{rank}") for rank, owner in enumerate(case.owners)]
    parameters = {"values": list(case.values), "min_group": case.min_group}
    return Job(tmp_path, MATCHED_SUM, parameters, [*datasets], min_group=case.min_group)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parts_open_to_what_the_reference_computes(tmp_path: Path, case: Case) -> None:
    job = job_of(tmp_path, case)

    parts = [run.part() for run in job.run()]
    found = job.engine.open(parts, job=job.job, request=job.request).describe()

    datasets = [path for path in job.datasets if path]
    assert found == matched_sum(parameters=job.parameters, datasets=datasets, min_group=case.min_group)
    assert len(found["cells"]) == case.cells
    # Whatever came out: the parts of two runs of one shape have one size, and no part says how many matched.
    assert len(parts[0]) == len(parts[1])
    assert all(
        set(json.loads(part)) == {"type", "engine", "job", "rank", "layout", "modulus", "share"} for part in parts
    )


def test_numbers_that_can_be_checked_by_hand(tmp_path: Path) -> None:
    # 10 persons with 1.00 and 10 with 2.00 are in both, 10 with 9.00 only here: sum 30, mean 1.5, variance 0.25.
    listed = [{"person_id": f"p{person}"} for person in range(20)]
    valued = [{"person_id": f"P{person}", "base": f"{(1, 2, 9)[person // 10]}.00"} for person in range(30)]
    datasets = [
        write_dataset(tmp_path / "data0", listed, blocks={}, values={}),
        write_dataset(tmp_path / "data1", valued, blocks={}, values={"base": (2, 0, 1000)}),
    ]

    found = Job(tmp_path, MATCHED_SUM, {"values": ["base"], "min_group": 10}, [*datasets]).result()

    assert found["cells"] == [
        {"group": {}, "column": "base", "count": 20, "sum": "30.00", "mean": "1.500000", "variance": "0.250000"}
    ]


@pytest.mark.skipif(cores.available() < 2, reason="one processor: there is nothing to share the work out to")
def test_a_large_table_is_worked_on_by_several_processes_that_end_with_the_run(tmp_path: Path) -> None:
    rows = private_join.WORTH_PROCESSES + 1
    case = Case("large", (Owner(range(rows)), Owner(range(rows // 2, rows + 100), {}, VALUES)), values=("wage",))
    job = job_of(tmp_path, case)
    runs = [job.start(rank) for rank in range(2)]
    helpers: list[set[int]] = [set(), set()]
    while not all(run.is_finished() for run in runs):
        for run, seen in zip(runs, helpers, strict=True):
            seen |= {pid for pid in descendants(run.pid) if b"spawn_main" in command_line(pid)}
        time.sleep(0.05)

    found = job.engine.open([run.part() for run in runs], job=job.job, request=job.request).describe()

    datasets = [path for path in job.datasets if path]
    assert found == matched_sum(parameters=job.parameters, datasets=datasets, min_group=case.min_group)
    assert len(found["cells"]) == 1
    assert all(len(seen) >= 2 for seen in helpers)
    assert not any(is_alive(pid) for seen in helpers for pid in seen)


def test_a_part_alone_or_of_another_run_opens_to_nothing(tmp_path: Path) -> None:
    case = CASES[4]
    first, second = job_of(tmp_path / "a", case), job_of(tmp_path / "b", case)
    parts, others = [run.part() for run in first.run()], [run.part() for run in second.run()]

    for mixed in ([parts[0], others[1]], [others[0], parts[1]], [parts[0], parts[0]], parts[:1]):
        with pytest.raises(PartInvalid):
            first.engine.open(mixed, job=first.job, request=first.request)
    alone = {**json.loads(parts[1]), "share": "0" * 768}
    with pytest.raises(PartInvalid):
        first.engine.open([parts[0], json.dumps(alone).encode()], job=first.job, request=first.request)


def test_a_peer_of_another_job_ends_the_run(tmp_path: Path) -> None:
    job = job_of(tmp_path, CASES[4])
    runs = [job.start(0), job.start(1, job={**job.job, "id": "urn:hengshu:computation:01JD000000000000000000000B"})]

    for run in runs:
        run.wait()
        with pytest.raises(EngineRefused) as refused:
            run.part()
        assert refused.value.code == "JOB_DIFFERS"


def test_a_killed_peer_ends_the_other_without_a_part(tmp_path: Path) -> None:
    job = job_of(tmp_path, CASES[0])
    runs = [job.start(0), job.start(1)]
    while runs[0].progress()[1] < 10:
        assert not runs[0].is_finished()
    runs[1].stop()

    runs[0].wait()
    with pytest.raises(EngineRefused) as refused:
        runs[0].part()
    assert refused.value.code == "PEER_LOST"
