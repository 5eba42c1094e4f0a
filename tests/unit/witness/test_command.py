"""`hengshu witness`: set up, run without Django and without the exchange, stopped, read."""

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

from exchange.client import cli
from ledger.proofs import cosignatures
from ledger.witness import config, keys
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessError, WitnessRefused, WitnessUnavailable
from tests.unit.witness.small_log import ORIGIN, SmallLog

ROOT = Path(__file__).parents[3]
BLOCKED = ("django", "rest_framework", "celery", "kombu", "numpy", "web3", "psycopg", "compute.node")
_GUARD = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in {BLOCKED!r}):
            raise ImportError(f"{{name}} is blocked in this test")
sys.meta_path.insert(0, Blocker())
from exchange.client.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert cli.main(["--json", "witness", *arguments]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out if code != 1 or captured.out else captured.err)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def directory(log: SmallLog, tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]) -> Path:
    made = tmp_path / "w"
    run(capsys, "init", "--dir", str(made), "--name", "w.example/1", "--log", log.vkey, "--port", str(port))
    return made


def test_set_up_once(directory: Path, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("witness.toml", "witness-key.json"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert config.load(directory).logs == {ORIGIN: (log.vkey,)}
    printed = run(capsys, "key", "--dir", str(directory))
    assert [cosignatures.parse_vkey(key).name for key in printed["keys"]] == ["w.example/1"] * 2
    again = ["init", "--dir", str(directory), "--name", "w.example/1", "--log", log.vkey]
    assert run(capsys, *again, code=1)["error"]["code"] == "WITNESS_INVALID"
    assert run(capsys, "key", "--dir", str(directory)) == printed


def test_serve_cosign_stop_read(directory: Path, log: SmallLog, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The process is light, ends at SIGTERM, goes on where it was, and shows evidence with exit 1."""
    found = run(capsys, "key", "--dir", str(directory))
    client = WitnessClient(f"http://127.0.0.1:{port}", vkeys=found["keys"])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _GUARD, "--lang", "en", "witness", "serve", "--dir", str(directory)]
    for size in (5, 9):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=directory)
        try:
            wait_for(client)
            assert client.cosign(log.note(size), known_size=0, prove=log.proof).lines
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert f"w.example/1 cosigns for 1 log(s) at http://127.0.0.1:{port}" in output.decode()
    status = run(capsys, "status", "--dir", str(directory))
    assert [(one["origin"], one["size"]) for one in status["logs"]] == [(ORIGIN, 9)]
    assert status["evidence"] == []


def wait_for(client: WitnessClient) -> None:
    for _ in range(200):
        try:
            client.status()
        except WitnessUnavailable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the witness did not start")


def test_a_convicted_log_shows(directory: Path, log: SmallLog, capsys: pytest.CaptureFixture[str]) -> None:
    from ledger.witness.state import State
    from ledger.witness.witness import Witness

    loaded = config.load(directory)
    witness = Witness(keys.load(loaded.key_file), loaded.logs, State(loaded.state_file), lambda: 1)
    witness.add_checkpoint(log.body(0, 5))
    witness.add_checkpoint(log.fork(2).body(5, 5))
    witness.state.close()

    (evidence,) = run(capsys, "status", "--dir", str(directory), code=1)["evidence"]

    assert (evidence["kind"], evidence["shown_note"]) == ("split_view", log.fork(2).note(5))
    assert cli.main(["--lang", "zh", "witness", "status", "--dir", str(directory)]) == 1
    assert "同一大小两个根" in capsys.readouterr().out


def test_a_taken_port_is_told(directory: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert run(capsys, "serve", "--dir", str(directory), code=1)["error"]["code"] == "ADDRESS_UNAVAILABLE"


@pytest.mark.parametrize("name", ["", "two words", "a+b", "w\n", "w" * 256, "\ud800"], ids=repr)
def test_names_that_no_policy_can_hold(name: str) -> None:
    with pytest.raises(WitnessError):
        keys.generate(name)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("port = ", "prot = "),
        lambda text: text.replace("[[log]]", "[log]"),
        lambda text: text.replace("keys = [", "keys = [7, "),
        lambda text: text.replace("keys = [", "keys = ['x', "),
        lambda text: text + text.partition("\n\n")[2],
        lambda text: text.partition("\n\n")[0],
        lambda text: text.replace('host = "127.0.0.1"', "host = 1"),
        lambda text: "port = 80\n" + text.partition("\n\n")[2],
        lambda text: "port = true\n\n" + text.partition("\n\n")[2],
        lambda text: text + "=",
        lambda text: text.replace("origin = ", "orgin = "),
    ],
)
def test_a_wrong_configuration_is_named(directory: Path, change: Any) -> None:
    path = directory / "witness.toml"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)

    with pytest.raises(WitnessError) as raised:
        config.load(directory)
    assert raised.value.zh


@pytest.mark.parametrize("change", ["mode", "type", "seed", "json", "missing"])
def test_a_damaged_key_is_named(directory: Path, change: str) -> None:
    path = directory / "witness-key.json"
    document = json.loads(path.read_text())
    if change == "mode":
        path.chmod(0o644)
    elif change == "missing":
        path.unlink()
    else:
        document |= {"type": {"type": "other"}, "seed": {"ed25519": "AAAA"}, "json": {}}[change]
        path.write_text(json.dumps(document) if change != "json" else "{")

    with pytest.raises(WitnessError):
        keys.load(path)


def test_old_keys_still_sign_for_themselves(directory: Path, log: SmallLog) -> None:
    """A key file survives being written and read: the same public halves, the same cosigned bytes."""
    loaded = keys.load(directory / "witness-key.json")
    text = log.note(3).partition("\n\n")[0] + "\n"

    assert loaded.cosign(text, at=7)[0] == keys.load(directory / "witness-key.json").cosign(text, at=7)[0]
    with pytest.raises(ValueError, match="states the time"):
        loaded.cosign(text, at=0)
    assert repr(loaded).count("+") >= 2
    assert WitnessRefused("a", zh="b", http_status=404).http_status == 404
