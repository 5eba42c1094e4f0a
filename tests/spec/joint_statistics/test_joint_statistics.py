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
    bands = [band for item in found.get("measures", {}).get("histogram", []) for band in item["bands"]]
    assert all(cell["count"] >= case.min_group for cell in [*found["cells"], *bands])


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


def test_measures_that_can_be_checked_by_hand(tmp_path: Path) -> None:
    # One city: ten people with 1.00 and 2 months, ten with 3.00 and 6. The other: twenty with 3.00 and 6,
    # one with 9.00.
    columns = {"base": (2, 0, 1000), "months": (0, 0, 99)}
    people = {
        "first": [("1.00", "2")] * 10 + [("3.00", "6")] * 10,
        "second": [("3.00", "6")] * 20 + [("9.00", "6")],
    }
    cities = [
        write_dataset(
            tmp_path / city,
            [{"person_id": f"{city}-{n}", "base": base, "months": months} for n, (base, months) in enumerate(rows)],
            blocks={},
            values=columns,
            bands={"base": (200, 500)},
        )
        for city, rows in people.items()
    ]
    parameters = {
        "group_by": [],
        "values": ["base", "months"],
        "filters": [],
        "min_group": 10,
        "measures": {
            "covariance": [["base", "months"]],
            "histogram": ["base"],
            "quantile_bands": [{"column": "base", "probabilities": ["0.5", "0.51"]}],
        },
    }

    found = Job(tmp_path, JOINT_STATISTICS, parameters, [*cities]).result()

    # The second city has one person above 5.00: its histogram is not told, its sums are.
    # Sum of products 10·2 + 30·18 + 9·6 = 614, so 614/41 - (109/41)·(206/41) = 2720/1681.
    low, middle = {"from": "0.00", "to": "2.00"}, {"from": "2.00", "to": "5.00"}
    assert [(cell["count"], cell["sum"]) for cell in found["cells"]] == [(41, "109.00"), (41, "206")]
    assert found["measures"] == {
        "covariance": [{"group": {}, "columns": ["base", "months"], "count": 41, "covariance": "1.618084"}],
        "histogram": [
            {"group": {}, "column": "base", "told": 20, "bands": [{**low, "count": 10}, {**middle, "count": 10}]}
        ],
        "quantile_bands": [
            {"group": {}, "column": "base", "probability": "0.5", "told": 20, **low},
            {"group": {}, "column": "base", "probability": "0.51", "told": 20, **middle},
        ],
    }


def test_owners_with_different_bands_are_not_added_up(tmp_path: Path) -> None:
    cities = [
        write_dataset(
            tmp_path / f"data{cut}",
            [{"person_id": f"{cut}-{n}", "base": "1"} for n in range(10)],
            blocks={},
            values={"base": (0, 0, 1000)},
            bands={"base": (cut,)},
        )
        for cut in (500, 501)
    ]
    parameters = {
        "group_by": [],
        "values": ["base"],
        "filters": [],
        "min_group": 10,
        "measures": {"histogram": ["base"]},
    }

    runs = Job(tmp_path, JOINT_STATISTICS, parameters, [*cities]).run()

    assert [run.code() for run in runs] == ["GROUPING_NOT_A_BLOCK"] * 2
