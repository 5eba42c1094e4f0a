"""The faults of compute in CI: one seed of each kind in a process of its own, and sisters that must end badly."""

import json
import os
import subprocess
import sys

import pytest

from exchange.runner import embedded

pytestmark = [pytest.mark.slow, pytest.mark.engine]

CHEAP = "engine_killed_at_run,swapped_buyer_key,clock_skew_told,unequal_schemas"
SISTERS = "swapped_buyer_key,clock_skew_without"


def run(*arguments: str) -> tuple[int, dict, str]:
    """Exit code, the last line and everything before it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "compute", *arguments],
        cwd=embedded.PROJECT, env={**os.environ, "PYTHONWARNINGS": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *table, last = done.stdout.strip().splitlines()
    return done.returncode, json.loads(last), "\n".join([*table, done.stderr[-2000:]])


def test_one_seed_of_some_faults_ends_with_a_code_and_nothing_left():
    code, summary, said = run("--seed", "3", "--only", CHEAP, "--jobs", "1")

    assert code == 0, said
    assert (summary["ok"], summary["scenarios"]) == (True, 4)
    assert summary["outcomes"] == {"detected": 4}


def test_with_a_guard_off_they_end_broken():
    code, summary, said = run("--seed", "3", "--only", SISTERS, "--jobs", "1", "--sisters")

    assert code == 0, said
    assert summary["outcomes"] == {"broken": 2}
