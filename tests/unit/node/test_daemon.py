"""The daemon against an exchange on loopback: consent, admission, link, run, seal, report, and what can go wrong."""

import base64
import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from compute.node import consents, journal, preflight
from compute.node.client import ExchangeClient
from compute.node.daemon import Daemon
from compute.node.engine import EngineCard, EngineJob
from compute.node.linkcheck import Links
from compute.node.preflight import Greeting
from compute.node.runs import Node
from compute.node.store import JobState
from compute.protocol import documents, key_documents, sealing
from compute.protocol import stages as stages_of_protocol
from compute.protocol.codes import Refused
from compute.protocol.shapes import parse_time
from ledger.proofs import statements
from tests.factories import node as factory
from tests.factories.node import Provider
from tests.fakes.exchange import FakeExchange
from tests.unit.node.cases import asking

PART = b'{"type":"hengshu/part/v1"}'
TASK = "urn:hengshu:task:01JD0000000000000000000000"


@dataclass
class FakeRun:
    seconds: float
    code: str
    started: float = field(default_factory=time.monotonic)
    stopped: bool = False

    def progress(self) -> tuple[str, int]:
        return "compute", 50

    def sent_bytes(self) -> int:
        return 700

    def ending(self) -> dict[str, Any]:
        return {"code": self.code, "signal": None, "exit": 0, "peak_mb": 1}

    def is_finished(self) -> bool:
        return time.monotonic() - self.started >= self.seconds

    def part(self) -> bytes:
        if self.code:
            raise Refused(self.code)
        return PART

    def stop(self) -> None:
        self.stopped = True


@dataclass
class FakeCheck:
    """Peers that answer at once and say what they are made to say; the real check is in test_linkcheck."""

    links: Links
    greeting: Greeting
    skew: int = 0
    percent: int = 100

    def is_finished(self) -> bool:
        return True

    def outcome(self) -> tuple[dict[int, Greeting], dict[int, list[str]]]:
        said = {
            rank: replace(self.greeting, rank=rank, clock=self.greeting.clock + self.skew) for rank in self.links.peers
        }
        return said, {rank: list(self.links.addresses[rank]) for rank in self.links.peers}

    def stop(self) -> None:
        pass


@dataclass
class FakeLauncher:
    seconds: float = 0.0
    code: str = ""
    jobs: list[EngineJob] = field(default_factory=list)
    runs: list[FakeRun] = field(default_factory=list)
    seen: list[set[str]] = field(default_factory=list)

    def card(self, engine: str) -> EngineCard:
        learned = ({"role": "provider", "zh": "无", "en": "nothing"},)
        return EngineCard(engine, "additive secret sharing", "semi-honest", {"hengshu": "0.1.0"}, learned)

    def start(self, job: EngineJob) -> FakeRun:
        assert job.dataset is None or (job.dataset / "003.column").exists()
        assert job.work_dir.stat().st_mode & 0o777 == 0o700
        self.jobs.append(job)
        self.runs.append(FakeRun(self.seconds, self.code))
        return self.runs[-1]


@dataclass
class Scene:
    fund: Provider
    exchange: FakeExchange
    launcher: FakeLauncher
    daemon: Daemon
    request: dict[str, Any]

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.daemon.run)
        thread.start()
        return thread

    def until(self, condition: Callable[[], object], *, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, [verb for verb, _ in self.exchange.received][-20:]
            time.sleep(0.02)

    def dispatch(self) -> dict[str, Any]:
        """What the exchange does once our consent is there: authorize, log, dispatch."""
        own = self.exchange.of("consent")[0]["consent"]
        world = self.fund.world
        given = [own, world.consent(self.request, "fund-b")]
        bundle = world.bundle(self.fund.contract, self.request, consents=given)
        self.exchange.bundles[TASK] = bundle
        return bundle

    def play(self, ending: str) -> None:
        """Run until the exchange has been told the ending."""
        thread = self.start()
        try:
            self.until(lambda: self.exchange.of("consent"))
            self.dispatch()
            self.until(lambda: self.exchange.of(ending))
        finally:
            self.daemon.stop()
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    world_key = factory.World(tmp_path / "unused").exchange  # the fake must exist before the node's configuration
    exchange = FakeExchange(document_key=world_key.document_key, node_key="")
    fund = factory.provider(tmp_path / "nodes", url=exchange.url)
    exchange.document_key, exchange.node_key = fund.world.exchange.document_key, fund.keys.document_key
    request = fund.world.request(fund.contract)
    exchange.consent_requests = [{"contract": fund.contract, "request": request}]

    def peer(own: dict[str, Any]) -> list[dict[str, Any]]:
        job = exchange.bundles[TASK]["job"]
        offer = documents.link_offer(
            job=job,
            organization=fund.world.orgs["fund-b"],
            rank=1,
            addresses=["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
            certificate=own["certificate"],
            expires=parse_time(job["expires"]),
        )
        return [fund.world.sign(offer, "fund-b")]

    exchange.peers = peer
    launcher = FakeLauncher()
    node = Node(
        config=fund.config,
        keys=fund.keys,
        store=fund.store,
        client=ExchangeClient(fund.config, fund.keys, clock=fund.world.clock, timeout_seconds=5),
        launcher=launcher,
        grants=fund.grants,
        clock=fund.world.clock,
        check_links=FakeCheck,
    )
    yield Scene(fund, exchange, launcher, Daemon(node), request)
    exchange.close()
    fund.store.close()


def test_one_run_from_consent_to_a_sealed_part(scene: Scene) -> None:
    scene.play("submit")

    body = scene.exchange.of("submit")[0]
    report, sealed = body["report"], base64.b64decode(body["sealed_part"])
    job = scene.exchange.bundles[TASK]["job"]
    documents.check_execution_report(report)
    statements.verify(report, signers=[scene.fund.keys.document_key])
    assert (report["outcome"], report["units"], report["sequence"], report["previous"]) == ("completed", 1, 1, None)
    assert report["part"]["digest"] == hashlib.sha256(sealed).hexdigest()
    assert report["learned"] == [{"role": "provider", "zh": "无", "en": "nothing"}]
    assert body["fencing_token"] == 7
    opened = sealing.open_sealed(
        sealed,
        key=scene.fund.world.keys["bank"].sealing,
        info=sealing.part_context(job_digest=statements.digest(job), rank=0),
    )
    assert opened == PART
    assert scene.fund.store.job_state(job["id"]) is JobState.SENT
    assert scene.fund.store.meter(scene.fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 1}
    assert scene.launcher.jobs[0].offers[1]["organization"] == scene.fund.world.orgs["fund-b"]
    assert list(scene.fund.config.work.iterdir()) == []  # nothing of the run stays
    assert journal.verify(scene.fund.store.connection()) > 5


def test_a_refusal_is_reported_and_the_engine_never_starts(scene: Scene) -> None:
    scene.fund.grants.code = "GRANT_EXPIRED"

    scene.play("refuse")

    report = scene.exchange.of("refuse")[0]["report"]
    assert (report["outcome"], report["code"], report["stage"], report["units"]) == (
        "refused",
        "GRANT_EXPIRED",
        "admission",
        0,
    )
    assert scene.launcher.jobs == []
    assert scene.exchange.of("offer") == []
    assert scene.fund.store.meter(scene.fund.contract["id"])["reserved"] == 0


def test_a_swapped_data_file_is_refused_by_its_commitment(scene: Scene) -> None:
    factory.change_a_byte(scene.fund.config.datasets / "housing_fund" / "1" / "003.column")

    scene.play("fail")

    assert scene.exchange.of("fail")[0]["report"]["code"] == "COMMITMENT_MISMATCH"
    assert scene.launcher.jobs == []
    assert scene.fund.store.meter(scene.fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 0}


def test_an_engine_that_fails_costs_nothing(scene: Scene) -> None:
    scene.launcher.code = "LINK_FAILED"

    scene.play("fail")

    report = scene.exchange.of("fail")[0]["report"]
    assert (report["outcome"], report["code"], report["stage"], report["part"]) == (
        "failed",
        "LINK_FAILED",
        "run",
        None,
    )
    assert scene.fund.store.meter(scene.fund.contract["id"])["committed"] == 0


def test_a_revocation_during_the_run_withholds_the_result(scene: Scene) -> None:
    scene.launcher.seconds = 60.0
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        scene.dispatch()
        scene.until(lambda: scene.launcher.runs)
        revoked = time.monotonic()
        document = documents.revocation(
            contract=scene.fund.contract["id"],
            terms_digest=statements.digest(scene.fund.contract),
            organization=scene.fund.world.orgs["fund-b"],
            sequence=1,
            issued=factory.NOW,
        )
        scene.exchange.revocations = [scene.fund.world.sign(document, "fund-b")]
        scene.until(lambda: scene.exchange.of("fail"))
        assert time.monotonic() - revoked < 5
    finally:
        scene.daemon.stop()
        thread.join(10)

    assert scene.exchange.of("fail")[0]["report"]["code"] == "CONTRACT_REVOKED"
    assert scene.exchange.of("submit") == []
    assert scene.launcher.runs[0].stopped


def test_a_key_withdrawn_during_the_run_withholds_the_result(scene: Scene) -> None:
    scene.launcher.seconds = 60.0
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        scene.dispatch()
        scene.until(lambda: scene.launcher.runs)
        bank = scene.fund.world.keys["bank"]
        scene.exchange.key_revocations = [
            key_documents.revoke(
                organization=scene.fund.world.orgs["bank"],
                keys=[("document", bank.document_key)],
                reason="compromised",
                by=bank.document,
                created=scene.fund.world.clock(),
            )
        ]
        scene.until(lambda: scene.exchange.of("fail"))
    finally:
        scene.daemon.stop()
        thread.join(10)

    assert scene.exchange.of("fail")[0]["report"]["code"] == "KEY_REVOKED"
    assert scene.exchange.of("submit") == []
    assert scene.launcher.runs[0].stopped


def test_a_revocation_on_chain_found_at_the_end_withholds_the_result(scene: Scene) -> None:
    scene.launcher.seconds = 0.5
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        scene.dispatch()
        scene.until(lambda: scene.launcher.runs)
        scene.fund.grants.code = "CONTRACT_REVOKED"
        scene.until(lambda: scene.exchange.of("fail"))
    finally:
        scene.daemon.stop()
        thread.join(10)

    assert scene.exchange.of("fail")[0]["report"]["code"] == "CONTRACT_REVOKED"
    assert "forget" in scene.fund.grants.asked


@pytest.mark.parametrize("ending", ["cancelled", "lease_lost"])
def test_a_task_taken_back_ends_silently_and_returns_the_unit(scene: Scene, ending: str) -> None:
    scene.launcher.seconds = 60.0
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        job = scene.dispatch()["job"]
        scene.until(lambda: scene.launcher.runs)
        if ending == "cancelled":
            scene.exchange.cancel = True
        else:
            scene.exchange.refusals["progress"] = [(409, "LEASE_LOST")]
        scene.until(lambda: scene.fund.store.job_state(job["id"]) is JobState.VOID)
    finally:
        scene.daemon.stop()
        thread.join(10)

    assert scene.exchange.of("submit") == scene.exchange.of("fail") == []
    assert scene.fund.store.meter(scene.fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 0}
    assert scene.launcher.runs[0].stopped


def test_an_exchange_that_is_away_gets_the_same_report_later(scene: Scene) -> None:
    scene.exchange.refusals["submit"] = [(503, "UNAVAILABLE"), (503, "UNAVAILABLE")]
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        scene.dispatch()
        scene.until(lambda: len(scene.exchange.of("submit")) == 3)
        scene.until(lambda: scene.fund.store.waiting() == [])
    finally:
        scene.daemon.stop()
        thread.join(10)

    first, second, third = scene.exchange.of("submit")
    assert first == second == third
    assert scene.fund.store.meter(scene.fund.contract["id"])["committed"] == 1


def test_a_stop_during_the_run_reports_it_as_void(scene: Scene) -> None:
    scene.launcher.seconds = 60.0
    thread = scene.start()
    scene.until(lambda: scene.exchange.of("consent"))
    scene.dispatch()
    scene.until(lambda: scene.launcher.runs)

    scene.daemon.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert scene.exchange.of("fail")[0]["report"]["code"] == "RUN_INTERRUPTED"
    assert scene.fund.store.unfinished() == []


def test_a_forged_offer_of_a_peer_ends_the_run(scene: Scene) -> None:
    genuine = scene.exchange.peers
    scene.exchange.peers = lambda own: [scene.fund.world.sign(statements.unsigned(genuine(own)[0]), "bank")]

    scene.play("fail")

    assert scene.exchange.of("fail")[0]["report"]["code"] == "LINK_FAILED"
    assert scene.launcher.jobs == []


def test_a_request_outside_the_blocks_gets_a_signed_no(scene: Scene) -> None:
    request = asking(scene.fund, group_by=["base"])
    scene.exchange.consent_requests = [{"contract": scene.fund.contract, "request": request}]

    scene.daemon.poll()
    scene.daemon.flush()

    consent = scene.exchange.of("consent")[0]["consent"]
    assert (consent["decision"], consent["reason"]) == ("refused", "GROUPING_NOT_A_BLOCK")


def test_run_by_run_consent_waits_for_the_owner(scene: Scene) -> None:
    fund = scene.fund
    fund.store.set_rule(contract=fund.contract["id"], operations=[], per_day=1, expires="2026-11-22T00:00:00Z")

    scene.daemon.poll()
    assert [item["id"] for item in fund.store.undecided()] == [scene.request["id"]]
    assert scene.exchange.of("consent") == []

    consents.decide(
        computation=scene.request["id"],
        decision="granted",
        reason="",
        config=fund.config,
        keys=fund.keys,
        store=fund.store,
        now=factory.NOW,
    )
    scene.daemon.flush()
    consent = scene.exchange.of("consent")[0]["consent"]
    assert (consent["decision"], consent["basis"]) == ("granted", "per_run")
    assert fund.store.undecided() == []


def unspent(scene: Scene) -> bool:
    return scene.fund.store.meter(scene.fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 0}


def test_a_peer_whose_clock_is_off_stops_the_run_before_the_engine(scene: Scene) -> None:
    scene.daemon.node.check_links = lambda links, greeting: FakeCheck(links, greeting, skew=61)

    scene.play("fail")

    report = scene.exchange.of("fail")[0]["report"]
    assert (report["code"], report["stage"], report["units"]) == ("JOB_OUT_OF_TIME", "preflight", 0)
    assert scene.launcher.jobs == []
    assert unspent(scene)


def test_too_little_memory_stops_the_run_before_it_offers_to_link(scene: Scene) -> None:
    scene.daemon.node.config = replace(scene.daemon.node.config, engine_memory_mb=128)

    scene.play("fail")

    report = scene.exchange.of("fail")[0]["report"]
    assert (report["code"], report["stage"]) == ("ENGINE_FAILED", "preflight")
    assert scene.exchange.of("offer") == []
    assert unspent(scene)


def test_the_stages_are_told_once_in_order_and_the_program_is_reported(scene: Scene) -> None:
    scene.launcher.seconds = 1.5

    scene.play("submit")

    # A report is sent until it is answered, so the last message may come twice; the exchange keeps each event once.
    bodies = [*scene.exchange.of("progress"), *scene.exchange.of("submit")[:1]]
    events = [event for body in bodies for event in body["events"]]
    stages_of_protocol.EVENTS(events, "events")
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert [event["stage"] for event in events] == [
        "admission", "preflight", "dataset", "waiting", "preflight", "link", "compute", "gate", "delivery",
    ]  # fmt: skip
    assert next(event["bytes"] for event in events if event["stage"] == "compute") == 1024  # 700, rounded up
    bundle = scene.exchange.bundles[TASK]
    report = scene.exchange.of("submit")[0]["report"]
    assert report["program"] == preflight.program_digest(bundle["job"], bundle["request"])


def test_a_store_that_takes_nothing_leaves_the_node_alive_and_the_unit_comes_back(scene: Scene) -> None:
    """The disk is full from the engine's end on: no report can be written; later there is room again."""
    store = scene.fund.store
    scene.launcher.seconds = 0.3
    thread = scene.start()
    try:
        scene.until(lambda: scene.exchange.of("consent"))
        job = scene.dispatch()["job"]
        scene.until(lambda: scene.launcher.runs)
        genuine = store.transaction

        def full() -> Any:
            raise sqlite3.OperationalError("database or disk is full")

        store.transaction = full
        scene.until(scene.launcher.runs[0].is_finished)
        time.sleep(1.0)
        assert thread.is_alive()
        assert store.job_state(job["id"]) is JobState.RUNNING
        assert scene.exchange.of("submit") == []
        store.transaction = genuine
        scene.until(lambda: scene.exchange.of("fail"))
    finally:
        scene.daemon.stop()
        thread.join(10)

    assert scene.exchange.of("fail")[0]["report"]["code"] == "RUN_INTERRUPTED"
    assert scene.exchange.of("submit") == []
    assert unspent(scene)
