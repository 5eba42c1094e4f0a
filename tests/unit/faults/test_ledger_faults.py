"""The fault harness itself: one seed of cheap scenarios in a process of its own, and sisters that must end badly."""

import json
import os
import subprocess
import sys

import pytest

from exchange.runner import embedded
from tests.faults import verdicts
from tests.faults.verdicts import Broken, Case, Outcome, Table

CHEAP = "crash_before_persist,crash_mid_batch,reorg_3,restored_10,one_byte_in_leaf,split_view,chain_down"
SISTERS = "crash_mid_batch,anchored_twice,restored_without,one_byte_nowhere,split_view,chain_down"


def run(*arguments: str) -> tuple[int, dict, str]:
    """Exit code, the last line and everything before it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "ledger", *arguments],
        cwd=embedded.PROJECT, env={**os.environ, "PYTHONWARNINGS": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *table, last = done.stdout.strip().splitlines()
    return done.returncode, json.loads(last), "\n".join([*table, done.stderr[-2000:]])


@pytest.mark.slow
@pytest.mark.chain
def test_one_seed_of_the_cheap_scenarios_ends_healed_or_detected():
    code, summary, said = run("--seed", "3", "--only", CHEAP, "--jobs", "1")

    assert code == 0, said
    assert (summary["ok"], summary["scenarios"], summary["seeds"]) == (True, 7, 1)
    assert summary["outcomes"] == {"healed": 3, "detected": 4}


@pytest.mark.slow
@pytest.mark.chain
def test_with_a_guard_off_every_one_of_them_ends_broken():
    code, summary, said = run("--seed", "3", "--only", SISTERS, "--jobs", "1", "--sisters")

    assert code == 0, said
    assert summary["outcomes"] == {"broken": summary["scenarios"]}


def case(outcome: Outcome, *, seed: int = 0, why: str = "") -> Case:
    return Case("a_fault", seed, outcome, 1.5, why=why)


def test_one_broken_seed_fails_the_run_and_says_how_to_see_it_again():
    table = Table("ledger", cases=[case(Outcome.HEALED), case(Outcome.BROKEN, seed=7, why="two events for size 4")])

    assert table.summary()["ok"] is False
    assert "make faults FAULTS=ledger ONLY=a_fault SEED=7" in "\n".join(table.lines())
    assert "two events for size 4" in "\n".join(table.lines())


def test_a_run_without_cases_is_no_success():
    assert Table("ledger").summary()["ok"] is False


@pytest.mark.parametrize("outcome", [Outcome.HEALED, Outcome.DETECTED, Outcome.SKIPPED])
def test_a_sister_that_ends_well_fails_the_run(outcome):
    assert Table("ledger", sisters=True, cases=[case(outcome)]).summary()["ok"] is False


def test_detected_needs_all_who_must_notice():
    assert verdicts.detected(["a", "b"], wanted=["b"]).by == ("a", "b")
    with pytest.raises(Broken, match="not noticed by c; noticed by a"):
        verdicts.detected(["a"], wanted=["a", "c"])
    with pytest.raises(Broken, match="not noticed by anybody"):
        verdicts.detected([], wanted=[])
