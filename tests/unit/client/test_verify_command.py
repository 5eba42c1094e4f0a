"""`hengshu verify` on a machine that has neither Django nor a network."""

import json
import subprocess
import sys

import pytest

from ledger.proofs import tlog_proof
from tests.factories.receipts import Purchase

ISOLATED = """
import sys
for name in ("django", "rest_framework", "celery", "web3", "requests", "psycopg", "numpy", "redis"):
    sys.modules[name] = None
import socket
def no_network(*args, **kwargs):
    raise AssertionError("verify opened a socket")
socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = no_network
from exchange.client import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def purchase():
    return Purchase()


@pytest.fixture
def policy(tmp_path, purchase):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(purchase.policy.document()))
    return path


def test_a_genuine_receipt_holds_without_django_database_or_network(tmp_path, purchase, policy):
    (tmp_path / "receipt.json").write_bytes(purchase.bundle())

    done = _verify(tmp_path, policy)

    assert done.returncode == 0, done.stderr
    assert "PASS" in done.stdout
    assert "NOT CHECKED" in done.stdout
    assert "FAIL" not in done.stdout


def test_one_changed_byte_anywhere_fails(tmp_path, purchase, policy, machine):
    bundle = purchase.bundle()
    path = tmp_path / "receipt.json"
    for position in range(0, len(bundle), max(1, len(bundle) // 60)):
        changed = bytearray(bundle)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        assert machine.run("verify", str(path), "--policy", str(policy)).code == 1, position
    path.write_bytes(bundle)
    assert machine.run("verify", str(path), "--policy", str(policy)).code == 0


def test_a_changed_receipt_fails_in_the_isolated_process_too(tmp_path, purchase, policy):
    bundle = purchase.bundle()
    (tmp_path / "receipt.json").write_bytes(bundle[:-2] + b"x}")
    done = _verify(tmp_path, policy)
    assert done.returncode == 1
    assert "FAIL" in done.stdout


def test_another_log_or_exchange_in_the_policy_fails(tmp_path, purchase, machine):
    (tmp_path / "receipt.json").write_bytes(purchase.bundle())
    (tmp_path / "other.json").write_text(json.dumps(Purchase().policy.document()))
    machine.run("verify", str(tmp_path / "receipt.json"), "--policy", str(tmp_path / "other.json"), "--json")
    assert (machine.code, machine.json()["accepted"]) == (1, False)


def test_without_a_policy_or_a_file_the_error_says_what_to_do(tmp_path, purchase, machine):
    (tmp_path / "receipt.json").write_bytes(purchase.bundle())
    assert machine.run("verify", str(tmp_path / "receipt.json")).err.startswith("POLICY_MISSING")
    assert machine.run("verify", "nowhere.json", "--policy", "nowhere.json").err.startswith("FILE_UNREADABLE")


def test_the_policy_is_pinned_and_a_new_one_needs_a_word(tmp_path, purchase, machine):
    place = ("GET", "/.well-known/hengshu-policy.json")
    machine.as_member("bank")
    machine.exchange.answers[place] = (200, purchase.policy.document())
    assert machine.run("policy", "fetch").code == 0
    assert purchase.policy.log_key in machine.out
    (tmp_path / "receipt.json").write_bytes(purchase.bundle())
    assert machine.run("--lang", "zh", "verify", str(tmp_path / "receipt.json")).code == 0
    assert "用量凭证成立" in machine.out

    machine.exchange.answers[place] = (200, Purchase().policy.document())
    assert machine.run("policy", "fetch").err.startswith("POLICY_CHANGED")
    assert machine.run("policy", "fetch", "--replace").code == 0
    machine.exchange.answers[place] = (200, {"type": "x"})
    assert machine.run("policy", "fetch", "--replace").err.startswith("POLICY_INVALID")


def test_a_tlog_proof_is_judged_under_a_stock_policy_and_needs_its_leaf(tmp_path, machine):
    bought = Purchase(witnesses=3, quorum=2)
    bundle = bought.document()
    entry = bundle["entries"][0]
    steps = tuple(map(bytes.fromhex, entry["path"]))
    proof = tlog_proof.TlogProof(entry["index"], steps, bundle["checkpoint"])
    for name, text in (("e.tlog-proof", tlog_proof.format_text(proof)), ("leaf.json", entry["leaf"]),
                       ("tlog-policy", bought.policy.tlog_policy()),
                       ("policy.json", json.dumps(bought.policy.document()))):  # fmt: skip
        (tmp_path / name).write_text(text)
    place = str(tmp_path / "e.tlog-proof")
    for policy in ("tlog-policy", "policy.json"):
        words = ["verify", place, "--policy", str(tmp_path / policy)]
        assert machine.run("--lang", "en", *words, "--leaf", str(tmp_path / "leaf.json")).code == 0, machine.out
        assert "The entry's proof holds." in machine.out
        assert machine.run(*words).code == 1
        assert machine.run(*words, "--leaf", place).code == 1
    (tmp_path / "tlog-policy").write_text("quorum nowhere\n")
    assert machine.run("verify", place, "--policy", str(tmp_path / "tlog-policy")).err.startswith("POLICY_INVALID")


def test_a_receipt_is_kept_byte_for_byte(tmp_path, purchase, machine):
    machine.as_member("bank")
    machine.exchange.answers["GET", "/api/v1/computations/R1/receipt/"] = (200, purchase.bundle())
    machine.run("receipt", "get", "R1", "--out", str(tmp_path / "r.json"))
    assert machine.code == 0
    assert (tmp_path / "r.json").read_bytes() == purchase.bundle()


def _verify(directory, policy):
    command = [sys.executable, "-c", ISOLATED, "--lang", "en", "--home", str(directory / "nobody")]
    command += ["verify", str(directory / "receipt.json"), "--policy", str(policy)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
