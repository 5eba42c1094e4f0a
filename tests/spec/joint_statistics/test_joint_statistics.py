"""joint_statistics: one table of expectations, run through real processes and sockets, against the reference."""

from pathlib import Path

import pytest

from compute.engines import reference
from compute.protocol.operations import JOINT_STATISTICS
from tests.factories.engines import Job, write_dataset
from tests.spec.cases import JOINT, Case

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("case", JOINT, ids=str)
def test_parts_open_to_what_the_reference_computes(tmp_path: Path, case: Case) -> None:
    datasets = [owner.write(tmp_path / f"data{rank}") for rank, owner in enumerate(case.owners)]
    job = Job(tmp_path, JOINT_STATISTICS, case.parameters, [*datasets], min_group=case.min_group)

    found = job.result()

    assert found == reference.statistics(
        JOINT_STATISTICS, parameters=case.parameters, datasets=datasets, min_group=case.min_group
    )
    assert len(found["cells"]) == case.cells
    assert all(cell["count"] >= case.min_group for cell in found["cells"])


def test_numbers_that_can_be_checked_by_hand(tmp_path: Path) -> None:
    # 10 people with 1.00 in one city, 10 with 2.00 in the other: sum 30, mean 1.5, variance 0.25.
    cities = [
        write_dataset(
            tmp_path / f"data{city}",
            [{"person_id": f"{city}-{person}", "base": f"{city}.00"} for person in range(10)],
            blocks={},
            values={"base": (2, 0, 1000)},
        )
        for city in (1, 2)
    ]
    parameters = {"group_by": [], "values": ["base"], "filters": [], "min_group": 10}

    found = Job(tmp_path, JOINT_STATISTICS, parameters, [*cities]).result()

    assert found["cells"] == [
        {"group": {}, "column": "base", "count": 20, "sum": "30.00", "mean": "1.500000", "variance": "0.250000"}
    ]
