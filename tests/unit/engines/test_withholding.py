"""Blocks that are withheld whatever is asked: equal values, dominance, and versions that differ by a few persons."""

import json
from pathlib import Path

import pytest

from compute.engines import gate
from compute.engines.privacy import withhold
from tests.factories.engines import write_dataset
from tests.factories.privacy import PreparedJob

BLOCKS = {"district": ("east", "west")}
VALUES = {"wage": (0, 0, 100_000)}


def version(path: Path, east: list[int], west: list[int], *, people: int = 0, id_column: str | None = "person_id"):
    """One version; persons are numbered from `people` in the east and from 1,000 on in the west."""
    wages = [*(("east", people + number, wage) for number, wage in enumerate(east))]
    wages += [("west", 1000 + number, wage) for number, wage in enumerate(west)]
    rows = [
        {**({id_column: f"P{number}"} if id_column else {}), "district": district, "wage": str(wage)}
        for district, number, wage in wages
    ]
    return write_dataset(path, rows, blocks=BLOCKS, values=VALUES, id_column=id_column)


PLAIN = [100 + number for number in range(30)]


@pytest.mark.parametrize(
    ("largest", "rule", "dominated"),
    [
        # Beside the largest: 40, 30 and seven of 10. total - first - second = 100.
        (1000, {"p": 10}, False),
        (1001, {"p": 10}, True),
        # The two largest of 1,000 + 40 + 100: 1,040 of 1,140 are 91.2 percent.
        (1000, {"n": 2, "k": 91}, True),
        (1000, {"n": 2, "k": 92}, False),
        (1001, {"p": 10, "n": 2, "k": 99}, True),
        (1001, {}, False),
    ],
)
def test_a_block_that_one_person_dominates_is_withheld(tmp_path, largest, rule, dominated):
    stored = version(tmp_path / "v1", [10, 10, 40, 10, 10, largest, 10, 10, 30, 10], PLAIN)

    found = withhold.decide(stored, "wage", rule=rule, earlier=[], k=10)

    assert found == {"small": [], "equal": [], "dominated": [0] if dominated else [], "near": []}


def test_a_block_in_which_everybody_has_the_same_is_withheld(tmp_path):
    stored = version(tmp_path / "v1", [500] * 30, [500] * 29 + [501])

    assert withhold.decide(stored, "wage", rule={}, earlier=[], k=10)["equal"] == [0]


@pytest.mark.parametrize(
    ("changed", "near"),
    [
        (PLAIN, []),  # the same persons with the same values
        ([PLAIN[0] + 1, *PLAIN[1:]], [0]),  # one person's wage
        ([wage + 1 if place < 9 else wage for place, wage in enumerate(PLAIN)], [0]),  # nine persons'
        ([wage + 1 if place < 10 else wage for place, wage in enumerate(PLAIN)], []),  # ten
        (PLAIN[:-1], [0]),  # one left
        ([*PLAIN, 7], [0]),  # one joined
        ([*(wage + 1 for wage in PLAIN), 7], [0]),  # everybody's wage, and one joined: the counts tell of one
        ([*PLAIN, *range(10)], []),  # ten joined
    ],
)
def test_a_version_that_changes_a_block_by_fewer_than_k_withholds_it(tmp_path, changed, near):
    before = version(tmp_path / "v1", PLAIN, PLAIN)
    after = version(tmp_path / "v2", changed, PLAIN)

    assert withhold.decide(after, "wage", rule={}, earlier=[before], k=10)["near"] == near


def test_a_person_who_moves_changes_both_blocks(tmp_path):
    before = version(tmp_path / "v1", PLAIN, PLAIN)
    rows = [
        {"person_id": f"P{n}", "district": "west" if n == 0 else "east", "wage": str(w)} for n, w in enumerate(PLAIN)
    ]
    rows += [{"person_id": f"p{1000 + n}", "district": "west", "wage": str(w)} for n, w in enumerate(PLAIN)]
    after = write_dataset(tmp_path / "v2", rows, blocks=BLOCKS, values=VALUES)

    assert withhold.decide(after, "wage", rule={}, earlier=[before], k=10)["near"] == [0, 1]


def test_what_cannot_be_compared_is_near(tmp_path):
    before = version(tmp_path / "v1", PLAIN, PLAIN)
    without = version(tmp_path / "v2", PLAIN, PLAIN, id_column=None)

    assert withhold.decide(without, "wage", rule={}, earlier=[before], k=10)["near"] == [0, 1]


def test_subtracting_two_versions_gives_one_persons_wage_unless_the_block_is_withheld(tmp_path):
    """The attack through real processes; its sister is the same run without the node's file."""
    joined = [*PLAIN, 77_777]
    other = version(tmp_path / "other", PLAIN, PLAIN, people=5000)
    versions = [version(tmp_path / "v1", PLAIN, PLAIN), version(tmp_path / "v2", joined, PLAIN)]
    near = withhold.decide(versions[1], "wage", rule={}, earlier=[versions[0]], k=10)["near"]
    parameters = {"group_by": ["district"], "values": ["wage"], "filters": [], "min_group": 10}

    def east(stored: Path, name: str, blocks: list[int]) -> int:
        (tmp_path / name).mkdir()
        files = [{gate.WITHHELD_FILE: json.dumps({"wage": found})} for found in (blocks, [])]
        job = PreparedJob(tmp_path / name, "joint_statistics", parameters, [stored, other], files=files)
        cells = {cell["group"]["district"]: cell for cell in job.result()["cells"]}
        return int(cells["east"]["sum"])

    first = east(versions[0], "a", [])
    assert east(versions[1], "b", []) - first == 77_777  # without the guard
    assert east(versions[1], "c", near) - first == -sum(PLAIN)  # with it: the whole block is gone, nobody is told
