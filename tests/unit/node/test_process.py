"""The node as its owner meets it: the command line, a light process, one instance, a clean stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from compute.node import cli
from compute.node.store import Store
from compute.protocol import documents, keyfiles
from exchange.kernel.identifiers import make_urn, new_ulid
from ledger.proofs import policies
from tests.factories.node import NOW, ORIGIN, SCHEMA, World
from tests.fakes.exchange import FakeExchange

ROOT = Path(__file__).parents[3]
BLOCKED = ("django", "rest_framework", "celery", "kombu", "numpy", "pandas", "spu", "jax", "web3", "psycopg")
_GUARD = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(f"{{name}} is blocked in this test")
sys.meta_path.insert(0, Blocker())
from compute.node.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def initialise(world: World, capsys: pytest.CaptureFixture[str], *, url: str = "http://127.0.0.1:9") -> Path:
    home = world.directory / "home"
    keyfiles.save(world.keys["fund-a"], world.directory / "a.key.json")
    policy = policies.single(
        exchange_document_key=world.exchange.document_key, log_origin=ORIGIN, log_key=world.log_key
    )
    (world.directory / "policy.json").write_text(json.dumps(policy.document()))
    arguments = ["--home", str(home), "--json", "init", "--name", "fund-a", "--organization", world.orgs["fund-a"]]
    arguments += ["--key", str(world.directory / "a.key.json"), "--exchange", url]
    arguments += ["--policy", str(world.directory / "policy.json"), "--poll-milliseconds", "50"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["document_key"] == world.keys["fund-a"].document_key
    return home


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, code: int = 0) -> Any:
    assert cli.main(["--home", str(home), "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def test_an_owner_names_a_source_or_a_file_and_not_both(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    home = initialise(world, capsys)
    (home / "p.csv").write_text("person_id,district,age_band,base\n1,North,20-29,5\n")
    (home / "p.toml").write_text(SCHEMA)
    duckdb.sql(f"SELECT * FROM read_csv('{home}/p.csv', all_varchar = true)").write_parquet(str(home / "p.parquet"))
    named = ["--name", "hf", "--schema", str(home / "p.toml")]

    assert run(capsys, home, "dataset", "add", "--source", f"csv:{home}/p.csv", *named)["rows"] == 1
    lying = run(capsys, home, "dataset", "add", "--source", f"parquet:{home}/p.parquet", *named, code=1)
    both = run(capsys, home, "dataset", "add", str(home / "p.csv"), "--source", "csv:x", *named, code=1)
    neither = run(capsys, home, "dataset", "add", *named, code=1)

    assert "column base" in lying["message"]
    assert both["message"] == neither["message"]
    assert "parquet:FILE" in both["message"]


def test_an_owner_sets_a_node_up(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    home = initialise(world, capsys)
    (home / "p.csv").write_text("person_id,district,age_band,base\n1,North,20-29,5\n")
    (home / "p.toml").write_text(SCHEMA)

    added = run(capsys, home, "dataset", "add", str(home / "p.csv"), "--name", "hf", "--schema", str(home / "p.toml"))
    contract = world.contract({"fund-a": added["commitment"], "fund-b": "b" * 64})
    (home / "contract.json").write_text(json.dumps(contract))
    accepted = run(capsys, home, "contract", "accept", str(home / "contract.json"))
    standing = run(capsys, home, "consent", "standing", contract["id"], "--per-day", "5")

    assert accepted["contract"] == contract["id"]
    assert standing["rule"] == {
        "operations": ["joint_statistics"],
        "per_day": 5,
        "expires": contract["term"]["effective_to"],
    }
    assert [item["rows"] for item in run(capsys, home, "dataset", "list")] == [1]
    assert run(capsys, home, "contract", "list")[0]["quota"] == 20
    assert run(capsys, home, "consent", "list") == []
    assert run(capsys, home, "pause") == {"paused": True}
    assert run(capsys, home, "status")["paused"] is True
    assert run(capsys, home, "resume") == {"paused": False}
    revoked = run(capsys, home, "revoke", contract["id"], "--reason", "end")
    documents.check_revocation(json.loads(Path(revoked["document"]).read_text()))
    assert run(capsys, home, "journal")["verified"] is True
    assert home.stat().st_mode & 0o777 == 0o700


def test_errors_say_what_to_do_in_both_languages(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--home", str(world.directory / "none"), "--lang", "zh", "status"]) == 1
    assert "还不是节点" in capsys.readouterr().err
    assert cli.main(["--home", str(world.directory / "none"), "status", "--lang", "en"]) == 1
    assert "is not a node yet; run: hengshu-node" in capsys.readouterr().err

    home = initialise(world, capsys)
    refused = run(capsys, home, "consent", "approve", make_urn("computation", new_ulid()), code=1)
    assert refused["error"] == "CONSENT_NOT_POSSIBLE"
    (home / "p.csv").write_text("person_id,district,age_band,base\n1,North,20-29\n")
    (home / "p.toml").write_text(SCHEMA)
    refused = run(
        capsys, home, "dataset", "add", str(home / "p.csv"), "--name", "hf", "--schema", str(home / "p.toml"), code=1
    )
    assert (refused["reason"], refused["line"]) == ("RAGGED_ROW", 2)


@pytest.mark.parametrize("change", ["unsigned", "other_log_key", "not_ours", "other_keys"])
def test_a_contract_that_does_not_hold_is_not_accepted(
    world: World, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    home = initialise(world, capsys)
    contract = world.contract({"fund-a": "a" * 64, "fund-b": "b" * 64})
    if change == "unsigned":
        contract["proof"] = contract["proof"][:2]
    elif change == "other_log_key":
        other = World(world.directory / "x")
        contract = world.contract({"fund-a": "a" * 64, "fund-b": "b" * 64}, exchange={"log_key": other.log_key})
    elif change == "not_ours":
        contract = world.contract({"social": "a" * 64, "fund-b": "b" * 64})
    else:
        world.keys["fund-a"] = keyfiles.generate("another")
        contract = world.contract({"fund-a": "a" * 64, "fund-b": "b" * 64})
    (home / "contract.json").write_text(json.dumps(contract))

    refused = run(capsys, home, "contract", "accept", str(home / "contract.json"), code=1)

    assert refused["error"] == "CONTRACT_NOT_ACCEPTED"
    assert run(capsys, home, "contract", "list") == []


def test_the_running_process_is_light_and_stops_cleanly(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    exchange = FakeExchange(world.exchange.document_key, world.keys["fund-a"].document_key)
    home = initialise(world, capsys, url=exchange.url)
    command = [sys.executable, "-c", _GUARD, "--home", str(home), "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, env=environment)
    try:
        for _ in range(200):
            if (home / "ready").exists() and len(exchange.of("poll")) > 3:
                break
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            time.sleep(0.05)
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident_mb = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        second = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=15)
        exchange.close()

    assert resident_mb < 80
    assert process.returncode == 0, errors.decode()
    assert second.returncode == 1
    assert b"running" in second.stderr
    assert not (home / "ready").exists()
    events = [line["event"] for line in run(capsys, home, "journal", "--last", "3")["last"]]
    assert events[-1] == "node.stopped"
    assert Store(home / "node.sqlite3", clock=lambda: NOW).waiting() == []


def test_the_guard_of_the_light_process_does_block(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _GUARD.replace("from compute.node.cli", "import numpy\nfrom compute.node.cli")],
        cwd=ROOT,
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert b"numpy is blocked" in ended.stderr
