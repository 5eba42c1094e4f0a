"""`make bench`: each module is measured once, in a process of its own, also one whose name others begin with."""

import subprocess

import pytest

from tests.benchmarks import __main__ as bench


@pytest.mark.parametrize(
    ("asked", "measured"),
    [
        (["compute_joint"], ["compute_joint", "compute_joint_scale"]),
        (["compute_joint_scale"], ["compute_joint_scale"]),
        (["meters", "start"], ["meters", "start"]),
    ],
)
def test_every_module_asked_for_is_measured_once(monkeypatch, asked, measured):
    started, alone = [], []

    def run(command, **_):
        """What the process would do: measure, and start no other."""
        started.append(command)
        return subprocess.CompletedProcess(command, bench.main(command[3:]))

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "_measure", lambda name: alone.append(name) or 0)

    assert bench.main(asked) == 0
    assert alone == measured
    assert len(started) == len(measured)


def test_a_name_that_is_none_starts_nothing(capsys):
    assert bench.main(["nothing"]) == 2
    assert "there are" in capsys.readouterr().err
