"""What the compute party does not go along with, and that nothing of the matching stays in /tmp."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from compute.engines import launcher
from compute.engines.aligned import AlignedStatistics
from compute.engines.errors import EngineRefused
from compute.engines.two_owners import GROUP_OWNER, VALUE_OWNER


class Owners:
    """A mesh in which both data parties say the same: one bucket, then a shape."""

    def __init__(self, shape):
        self.said = [json.dumps(one).encode() for one in ({"buckets": 1}, shape)]

    def broadcast(self, message):
        return {GROUP_OWNER: message, VALUE_OWNER: message}

    def exchange(self, _):
        return dict.fromkeys((GROUP_OWNER, VALUE_OWNER), self.said.pop(0))

    def watch(self, _):
        pass


class Stages:
    """The circuit, not run."""

    def leave_as_lost(self, _):
        return None

    def circuit(self, _, shape, **__):
        return {"k": shape.k}


def compute(k: int, *, job_k: int):
    shape = {"rows": 64, "group_of": [0], "groups": 1, "values": 1, "k": k}
    context = SimpleNamespace(job={"min_group": job_k}, job_digest="d", progress=lambda *_: None)
    return AlignedStatistics()._compute(context, Owners(shape), Stages())


def test_two_owners_who_agree_on_a_smaller_k_than_the_contract_s_get_no_circuit():
    with pytest.raises(EngineRefused) as refused:
        compute(10, job_k=20)

    assert refused.value.code == "JOB_DIFFERS"
    assert compute(25, job_k=20)["k"] == 25


def test_traces_of_a_worker_that_ended_early_are_removed_and_nothing_else(tmp_path: Path):
    trace, other = Path("/tmp/psi_HengshuTest0001.trace"), tmp_path / "psi_other.trace"
    trace.write_text("stages")
    other.write_text("mine")
    (tmp_path / "engine.log").write_text(f"Trace has been written to {trace}.\nTrace has been written to {other}.\n")

    launcher.remove_traces(tmp_path)

    assert not trace.exists()
    assert other.exists()
    launcher.remove_traces(tmp_path / "gone")
