"""An engine that was lost is started again within its job: a few times, after a fresh look at what may end the run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from compute.engines.additive import AdditiveSharing
from compute.node import journal, restarting, runs
from compute.node.engine import EngineJob
from ledger.proofs import statements
from tests.unit.node.test_daemon import TASK, FakeLauncher, FakeRun, Scene
from tests.unit.node.test_daemon import scene as scene

KILLED = {"code": "OOM", "signal": "SIGKILL", "exit": -9, "peak_mb": 1}
LOST = {"code": "PEER_LOST", "signal": None, "exit": 0, "peak_mb": 1}
REPORTED = {"OOM": "ENGINE_FAILED", "PEER_LOST": "LINK_FAILED", "ENGINE_ERROR": "ENGINE_FAILED"}


@dataclass
class EndingRun(FakeRun):
    end: dict[str, Any] = field(default_factory=dict)

    def ending(self) -> dict[str, Any]:
        return self.end or super().ending()


@dataclass
class LosingLauncher(FakeLauncher):
    """Engines that end as they are told, one after the other, and keep what they did; then one that works."""

    endings: list[dict[str, Any]] = field(default_factory=list)
    keeps: bool = True
    on_start: Callable[[], None] = lambda: None

    def start(self, job: EngineJob) -> FakeRun:
        kept = restarting.kept(job.job, home=job.state.parent) if job.state else Path()
        self.seen.append({path.name for path in kept.glob("*")})
        if self.keeps:
            kept.mkdir(parents=True, exist_ok=True)
            (kept / f"{len(self.jobs)}.done").touch()
        super().start(job)
        end = self.endings.pop(0) if self.endings else {}
        self.runs[-1] = EndingRun(0.0, REPORTED[end["code"]] if end else "", end=end)
        self.on_start()
        return self.runs[-1]


@pytest.fixture
def losing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> LosingLauncher:
    monkeypatch.setattr(AdditiveSharing, "goes_on", True)
    monkeypatch.setattr(runs, "OTHERS_REASON_SECONDS", 0.05)
    found = LosingLauncher()
    scene.launcher = scene.daemon.node.launcher = found
    return found


def lines(scene: Scene) -> list[str]:
    return [line["event"] for line in journal.read(scene.fund.store.connection())]


def kept(scene: Scene) -> Path:
    return restarting.kept(scene.exchange.bundles[TASK]["job"], home=scene.fund.config.home)


@pytest.mark.parametrize("ending", [KILLED, LOST], ids=["own engine killed", "peer lost"])
def test_a_lost_engine_goes_on_under_the_same_job_and_is_charged_once(scene: Scene, losing, ending) -> None:
    losing.endings = [ending, ending]

    scene.play("submit")

    first, *others = losing.jobs
    assert len(others) == 2
    for job in others:
        assert statements.digest(job.job) == statements.digest(first.job)
        assert (job.certificate, job.addresses, job.offers) == (first.certificate, first.addresses, first.offers)
        assert job.deadline_seconds <= first.deadline_seconds
    assert losing.seen == [set(), {"0.done"}, {"0.done", "1.done"}]
    assert scene.fund.store.meter(scene.fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 1}
    assert {str(body["report"]) for body in scene.exchange.of("submit")} == {
        str(scene.exchange.of("submit")[0]["report"])
    }
    assert scene.exchange.of("fail") == []
    assert lines(scene).count("engine.restarted") == 2
    bodies = [*scene.exchange.of("progress"), *scene.exchange.of("submit")[:1]]
    stages = [event["stage"] for body in bodies for event in body["events"]]
    assert stages.count("restart") == 2
    assert not kept(scene).exists()


def test_it_is_started_again_a_bounded_number_of_times(scene: Scene, losing) -> None:
    losing.endings = [LOST] * 10

    scene.play("fail")

    assert len(losing.jobs) == 1 + restarting.MAX_RESTARTS
    assert scene.exchange.of("fail")[0]["report"]["code"] == "LINK_FAILED"
    assert scene.fund.store.meter(scene.fund.contract["id"])["committed"] == 0
    assert not kept(scene).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda losing, _: setattr(losing, "keeps", False),
        lambda losing, _: losing.endings.insert(0, {**KILLED, "code": "ENGINE_ERROR"}),
        lambda losing, _: losing.endings.insert(0, {**KILLED, "signal": None}),  # out of its own limit of memory
        lambda _, monkeypatch: monkeypatch.setattr(AdditiveSharing, "goes_on", False),
    ],
    ids=["nothing kept", "an error of its own", "out of memory", "an engine that does not go on"],
)
def test_another_end_is_the_run_s_end(scene: Scene, losing, monkeypatch, change) -> None:
    losing.endings = [LOST]
    change(losing, monkeypatch)

    scene.play("fail")

    assert len(losing.jobs) == 1
    assert "engine.restarted" not in lines(scene)


def withdraw(scene: Scene) -> None:
    scene.fund.grants.code = "GRANT_EXPIRED"


def pause(scene: Scene) -> None:
    scene.fund.store.set_paused(True)


@pytest.mark.parametrize(("change", "code"), [(withdraw, "GRANT_EXPIRED"), (pause, "NODE_PAUSED")])
def test_what_ends_a_run_is_looked_at_before_every_start(scene: Scene, losing, change, code) -> None:
    losing.endings, losing.on_start = [KILLED], lambda: change(scene)

    scene.play("fail")

    assert len(losing.jobs) == 1
    assert scene.exchange.of("fail")[0]["report"]["code"] == code


def test_without_that_look_a_withdrawn_grant_starts_again(scene: Scene, losing, monkeypatch) -> None:
    monkeypatch.setattr(runs, "_look_again", lambda run: None)
    losing.endings, losing.on_start = [KILLED], lambda: withdraw(scene)

    scene.play("submit")

    assert len(losing.jobs) == 2


def test_what_was_kept_goes_when_the_node_starts(scene: Scene, losing) -> None:
    home = scene.fund.config.home
    left = restarting.state_of(home, AdditiveSharing.id) / ("0" * 64)
    others = restarting.state_of(home, "oprf_lookup/1") / "table"
    for path in (left, others):
        path.mkdir(parents=True)

    scene.daemon.recover()

    assert not left.exists()
    assert others.exists()
