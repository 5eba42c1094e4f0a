"""A node as a witness: its own key and store, in the daemon's process, never in the daemon's way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.node import cli, service, witnessing
from compute.node import config as configuration
from compute.node.errors import ConfigInvalid
from compute.node.store import Store
from compute.protocol import keyfiles
from ledger.proofs import notes, policies
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessRefused
from tests.factories.node import ORIGIN, World
from tests.fakes.exchange import FakeExchange
from tests.unit.witness.small_log import SmallLog

ROOT = Path(__file__).parents[3]
NAME = "fund-a.example/witness"


@pytest.fixture
def log() -> SmallLog:
    return SmallLog(ORIGIN)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def home(world: World, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> Path:
    return initialise(world, log, capsys, url="http://127.0.0.1:9")


def initialise(world: World, log: SmallLog, capsys: pytest.CaptureFixture[str], *, url: str) -> Path:
    home = world.directory / "home"
    keyfiles.save(world.keys["fund-a"], world.directory / "a.key.json")
    policy = policies.single(exchange_document_key=world.exchange.document_key, log_origin=ORIGIN, log_key=log.vkey)
    (world.directory / "policy.json").write_text(json.dumps(policy.document()))
    arguments = ["--home", str(home), "--json", "init", "--name", "fund-a", "--organization", world.orgs["fund-a"]]
    arguments += ["--key", str(world.directory / "a.key.json"), "--exchange", url]
    arguments += ["--policy", str(world.directory / "policy.json"), "--poll-milliseconds", "50"]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    return home


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, code: int = 0) -> Any:
    assert cli.main(["--home", str(home), "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def enable(capsys: pytest.CaptureFixture[str], home: Path, *more: str) -> tuple[int, list[str]]:
    port = free_port()
    return port, run(capsys, home, "witness", "enable", "--name", NAME, "--port", str(port), *more)["keys"]


def test_a_node_is_no_witness_until_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration.load(home)
    assert config.witness is None
    assert run(capsys, home, "status")["witness"] is None
    assert run(capsys, home, "witness", "key", code=1)["error"] == "CONFIG_INVALID"
    with witnessing.serving(config, store=Store(config.database, clock=service._now)) as listener:
        assert listener is None


def test_enabling_keeps_what_the_owner_wrote(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "config.toml"
    path.write_text(path.read_text() + "\n# kept by hand\n")

    port, keys = enable(capsys, home)

    assert "# kept by hand" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    found = configuration.load(home).witness
    assert found == configuration.WitnessSection(NAME, "127.0.0.1", port, ())
    assert run(capsys, home, "witness", "key")["keys"] == keys
    assert (home / "witness-key.json").stat().st_mode & 0o777 == 0o600
    assert run(capsys, home, "witness", "enable", "--port", "21080", code=1)["error"] == "CONFIG_INVALID"


def test_a_witness_again_has_its_old_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, keys = enable(capsys, home)
    path = home / "config.toml"
    path.write_text(path.read_text().partition("\n[witness]")[0])

    other = run(capsys, home, "witness", "enable", "--name", "other", code=1)
    assert NAME in other["message"]
    assert enable(capsys, home)[1] == keys


def test_the_witness_has_a_key_of_its_own(home: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, keys = enable(capsys, home)

    raw = notes.parse_vkey(keys[0]).raw
    assert raw != world.keys["fund-a"].document.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    "change",
    [
        {"port": 80},
        {"port": "21080"},
        {"host": ""},
        {"logs": ["not a key"]},
        {"logs": "x"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_wrong_section_changes_nothing(home: Path, change: dict[str, Any]) -> None:
    before = (home / "config.toml").read_text()
    table = {"name": NAME, "host": "127.0.0.1", "port": 21080, "logs": [], **change}

    with pytest.raises(ConfigInvalid):
        configuration.add_table(home, "witness", table)

    assert (home / "config.toml").read_text() == before


def test_it_cosigns_for_the_pinned_log_alone(home: Path, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    port, keys = enable(capsys, home)
    config = configuration.load(home)
    store = Store(config.database, clock=service._now)
    client = WitnessClient(f"http://127.0.0.1:{port}", vkeys=keys)

    with witnessing.serving(config, store=store):
        assert len(client.cosign(log.note(7), known_size=0, prove=log.proof).lines) == 2
        stranger = SmallLog("other.example/log")
        with pytest.raises(WitnessRefused) as raised:
            client.cosign(stranger.note(7), known_size=0, prove=stranger.proof)
    assert raised.value.http_status == 404
    assert [line["event"] for line in run(capsys, home, "journal")["last"]] == ["witness.listening"]
    store.close()


def test_further_shards_and_keys(home: Path, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    """A new year's shard, and a rotated key of the pinned log."""
    shard, rotated = SmallLog("exchange.example/ledger/2027"), SmallLog(ORIGIN, Ed25519PrivateKey.generate())
    enable(capsys, home, "--log", shard.vkey, "--log", rotated.vkey)

    assert witnessing.logs_of(configuration.load(home)) == {
        ORIGIN: [log.vkey, rotated.vkey],
        shard.origin: [shard.vkey],
    }


def test_split_views_show_in_the_status(home: Path, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    port, keys = enable(capsys, home)
    config = configuration.load(home)
    store = Store(config.database, clock=service._now)
    client = WitnessClient(f"http://127.0.0.1:{port}", vkeys=keys)
    with witnessing.serving(config, store=store):
        client.cosign(log.note(7), known_size=0, prove=log.proof)
        with pytest.raises(WitnessRefused):
            client.cosign(log.fork(2).note(7), known_size=7, prove=log.proof)

        found = run(capsys, home, "status")["witness"]

    assert found["listening"] is True
    assert [(one["size"], one["contradictions"]) for one in found["logs"]] == [(7, 1)]
    (evidence,) = run(capsys, home, "witness", "evidence")
    assert evidence["kind"] == "split_view"
    assert evidence["held_note"].startswith(ORIGIN)
    assert evidence["shown_note"] == log.fork(2).note(7)
    store.close()


def test_a_taken_port_is_told_and_stops_nobody(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port, _ = enable(capsys, home)
    config = configuration.load(home)
    store = Store(config.database, clock=service._now)
    with (
        socket.create_server(("127.0.0.1", port)),
        witnessing.serving(config, store=store) as listener,
    ):
        assert listener is None
        found = run(capsys, home, "status")["witness"]
    assert (found["listening"], found["reason"]) == (False, "PORT_TAKEN")
    last = run(capsys, home, "journal")["last"][-1]
    assert (last["event"], last["details"]) == ("witness.not_listening", {"port": port, "reason": "PORT_TAKEN"})
    assert run(capsys, home, "status")["witness"]["reason"] == "NODE_NOT_RUNNING"
    store.close()


def test_a_lost_key_is_told_and_stops_nobody(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enable(capsys, home)
    (home / "witness-key.json").unlink()
    config = configuration.load(home)
    store = Store(config.database, clock=service._now)

    with witnessing.serving(config, store=store) as listener:
        assert listener is None
    assert run(capsys, home, "status")["witness"]["reason"] == "WITNESS_INVALID"
    store.close()


def test_the_whole_node_answers_as_a_witness_until_it_is_stopped(
    world: World, log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = FakeExchange(world.exchange.document_key, world.keys["fund-a"].document_key)
    home = initialise(world, log, capsys, url=exchange.url)
    port, keys = enable(capsys, home)
    client = WitnessClient(f"http://127.0.0.1:{port}", vkeys=keys)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    daemon = subprocess.Popen([sys.executable, "-m", "compute.node", "--home", str(home), "run"], env=environment)
    try:
        deadline = time.monotonic() + 20
        while not (home / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.cosign(log.note(5), known_size=0, prove=log.proof).lines
        assert run(capsys, home, "status")["witness"]["listening"] is True
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=20) == 0
        exchange.close()
    assert run(capsys, home, "status")["witness"]["reason"] == "NODE_NOT_RUNNING"
