"""Killed processes, revocations, replays and curious members, on real parts and judged from outside.

Each test looks with SQL, at the nodes' own SQLite files and at processes; none asks the exchange how it went.
What needs no real parts is tested elsewhere: a node without Django and friends in tests/unit/node/test_process.py,
the node's meter under a race in tests/unit/node/test_store.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from compute.node import config as configuration
from compute.node import onchain
from compute.node.client import ExchangeClient
from compute.protocol import keyfiles
from compute.protocol.codes import Refused
from compute.protocol.shapes import parse_time
from exchange.client.errors import ClientError
from exchange.runner import embedded
from exchange.runner.parties import StepFailed
from exchange.runner.story import Deal
from exchange.runner.world import member
from ledger.proofs import grants, typed_data
from tests.factories.processes import command_line, descendants, is_alive
from tests.functional.outside import ENDS, Outside, until

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def outside(told) -> Outside:
    """A contract over both housing funds for the faults alone, so that other tests' contracts stay as they were."""
    return _agreed(told, quota={"total": 40, "per_day": 40, "rate_per_minute": 40}, deposit_runs=12)


def _agreed(told, *, quota, deposit_runs=4) -> Outside:
    deal = Deal("joint_statistics", ("fund-a", "fund-b"), None)
    told.agree(deal, quota=quota)
    found = Outside(told, deal)
    if deposit_runs > 4:
        body = {"amount_fen": (deposit_runs - 4) * found.price(), "reference": f"BANK-{deal.number}-2"}
        told.parties.session("clerk").post(f"contracts/{deal.ref}/deposits/", body)
    return found


# --- killed processes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [("reserved", "running"), ("running",)], ids=["after admission", "engine at work"])
def test_a_killed_node_ends_the_run_for_nothing_and_works_again(outside, moment):
    before, meters = outside.books(), outside.node_meters()
    ref = outside.ask()
    urn = f"urn:hengshu:computation:{ref}"
    until(
        lambda: outside.node_rows("fund-b", "SELECT state FROM jobs WHERE computation = ?", urn),
        lambda found: bool(found) and found[0][0] in moment,
        every=0.005,
    )

    outside.kill("node-fund-b")
    outside.restart("node-fund-b")

    assert outside.wait_for(ref, *ENDS)[0] == "failed"
    assert outside.books() == before
    until(outside.node_meters, lambda found: found == meters)
    assert outside.rows("SELECT state FROM contracts_reservation WHERE subject = %s", urn) == [("released",)]
    assert outside.rows(
        "SELECT COUNT(*) FROM ledger_entry WHERE kind = 'settlement.charged' AND subject = %s", urn
    ) == [(0,)]
    again = outside.ask()
    assert outside.wait_for(again, *ENDS) == ("released", "")
    assert outside.books() == before.after(1, price=outside.price())


def test_a_worker_killed_at_every_step_gives_one_result_and_one_charge(outside):
    before = outside.books()
    ref = outside.ask()
    steps = ["requested", "consenting", "authorized", "dispatched", "executing", "sealed", "released"]

    for step in ("authorized", "executing", "sealed"):
        outside.wait_for(ref, *steps[steps.index(step) :])
        outside.kill("worker")
        if step == "executing":
            _the_result_is_not_there_yet(outside, ref)
        outside.restart("worker")

    assert outside.wait_for(ref, *ENDS) == ("released", "")
    assert outside.books() == before.after(1, price=outside.price())
    _one_of_each(outside, ref)


def _the_result_is_not_there_yet(outside: Outside, ref: str) -> None:
    for username, code in (("bank", "NOT_RELEASED"), ("fund-a", "PERMISSION_REFUSED"), ("social", "NOT_FOUND")):
        with pytest.raises(ClientError) as refused:
            outside.story.parties.session(username).get(f"computations/{ref}/result/")
        assert refused.value.code == code, username


def _one_of_each(outside: Outside, ref: str) -> None:
    urn = f"urn:hengshu:computation:{ref}"
    kinds = dict(outside.rows("SELECT kind, COUNT(*) FROM ledger_entry WHERE subject = %s GROUP BY kind", urn))
    wanted = ("computation.authorized", "result.accepted", "result.released", "settlement.charged", "quota.committed")
    assert {kind: kinds.get(kind) for kind in wanted} == dict.fromkeys(wanted, 1)
    paid = "SELECT COUNT(*) FROM contracts_transfer WHERE subject = %s AND kind = 'charge'"
    assert outside.rows(paid, urn) == [(1,)]


def test_a_web_server_killed_during_the_run_gives_one_result_and_one_charge(outside):
    before = outside.books()
    ref = outside.ask()
    outside.wait_for(ref, "executing", "sealed")

    outside.kill("web")
    outside.restart("web")

    assert outside.wait_for(ref, *ENDS) == ("released", "")
    assert outside.books() == before.after(1, price=outside.price())
    _one_of_each(outside, ref)


# --- replays and curious members -----------------------------------------------------------------------------


class Wire(ExchangeClient):
    """A node's client that keeps what went over the wire."""

    sent: tuple[str, bytes] = ("", b"")

    def _post(self, path: str, data: bytes) -> tuple[int, bytes]:
        self.sent = (path, data)
        return super()._post(path, data)


def _wire(outside: Outside, code: str) -> Wire:
    config = configuration.load(outside.story.stack.member(code) / "node")
    return Wire(config, config.load_keys(), clock=_now)


def _now():
    return parse_time(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _post(url: str, path: str, data: bytes) -> tuple[int, str]:
    request = urllib.request.Request(url + path, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["code"]


def test_captured_messages_have_no_second_effect(outside):
    ref = outside.ask()
    outside.wait_for(ref, "released")
    before, url = outside.books(), outside.story.stack.url
    urn = f"urn:hengshu:computation:{ref}"
    request = outside.rows("SELECT request FROM compute_computation WHERE ref = %s", ref)[0][0]
    task, token, report, part = outside.rows(
        "SELECT t.ref, t.fencing_token, t.report, encode(p.ciphertext, 'base64') FROM compute_nodetask t"
        " JOIN compute_sealedpart p ON p.task_id = t.id JOIN compute_computation c ON c.id = t.computation_id"
        " WHERE c.ref = %s AND t.rank = 0",
        ref,
    )[0]
    wire = _wire(outside, "fund-a")
    result = {
        "task": f"urn:hengshu:task:{task}", "fencing_token": token, "report": report,
        "sealed_part": part.replace("\n", ""),
    }  # fmt: skip

    # The node's own repeat is answered as the first; the very same bytes, sent by whoever captured them, are not.
    assert wire.call("submit", result) == {"accepted": True}
    assert _post(url, *wire.sent) == (409, "MESSAGE_REPLAYED")
    # The buyer's signed request: again with other keys of idempotency, and with the proof over other words.
    for _ in range(2):
        assert outside.bank.post("computations/", {"request": request})["ref"] == ref
    changed = {**request["parameters"], "min_group": request["parameters"]["min_group"] + 1}
    with pytest.raises(ClientError) as refused:
        outside.bank.post("computations/", {"request": {**request, "parameters": changed}})
    assert refused.value.code in {"REQUEST_SIGNATURE_INVALID", "COMPUTATION_EXISTS"}
    with pytest.raises(ClientError):
        outside.story.parties.session("fund-a").post("computations/", {"request": request})

    time.sleep(3)  # a pass of the worker and several polls of the nodes
    assert outside.books() == before
    assert outside.rows("SELECT COUNT(*) FROM contracts_reservation WHERE subject = %s", urn) == [(1,)]
    _one_of_each(outside, ref)


# --- quota and revocation ------------------------------------------------------------------------------------


def test_a_quota_and_a_revocation_hold_at_the_exchange_and_at_every_node_without_it(told):
    small = _agreed(told, quota={"total": 2, "per_day": 1, "rate_per_minute": 10})
    before = small.books()
    assert small.wait_for(small.ask(), *ENDS) == ("released", "")
    used = before.after(1, price=small.price())

    assert _refusal(small) == "DAILY_QUOTA_EXHAUSTED"
    meter = "(SELECT m.id FROM contracts_meter m JOIN contracts_contract c ON c.id = m.contract_id WHERE c.ref = %s)"
    small.rows(f'UPDATE contracts_meter SET "limit" = 9, per_day = 9 WHERE id = {meter}', small.deal.ref)
    small.rows(f'UPDATE contracts_meterday SET "limit" = 9 WHERE meter_id = {meter}', small.deal.ref)
    ref = small.ask()  # the exchange lets it through; the standing rule is spent; the owners say yes all the same
    for code in small.deal.providers:
        _approve_by_hand(small, code, f"urn:hengshu:computation:{ref}")
    assert small.wait_for(ref, *ENDS) == ("failed", "QUOTA_EXHAUSTED")  # by the node's own meter
    assert (small.books(), set(small.node_meters().values())) == (used, {(0, 1)})

    # The provider ends its grant on the chain, past the exchange: nodes see it there, the exchange reads it there.
    _revoke_on_chain(small, "fund-b")
    for code in small.deal.providers:
        assert _own_look_at_the_chain(small, code) == "CONTRACT_REVOKED"
    state = "SELECT state FROM contracts_contract WHERE ref = %s"
    until(lambda: small.rows(state, small.deal.ref), lambda found: found == [("revoked",)], seconds=10)
    assert _refusal(small) == "CONTRACT_REVOKED"
    assert small.books() == used


def _approve_by_hand(outside: Outside, code: str, urn: str) -> None:
    seen = "SELECT 1 FROM requests WHERE computation = ?"
    until(lambda: outside.node_rows(code, seen, urn), bool, seconds=10)
    outside.story.parties.node_cli(member(code), "consent", "approve", urn)


def _refusal(outside: Outside) -> str:
    with pytest.raises(StepFailed) as refused:
        outside.ask()
    return json.loads(str(refused.value).partition("\n")[2])["error"]["code"]


def _revoke_on_chain(outside: Outside, code: str) -> None:
    from web3 import Web3

    stack = outside.story.stack
    keys = keyfiles.load(stack.member(code) / "client" / "key.json")
    chain = configuration.load(stack.member(code) / "node").chain
    digest = outside.rows("SELECT terms_digest FROM contracts_contract WHERE ref = %s", outside.deal.ref)[0][0]
    grant = grants.grant_id(grantor=keys.chain_address, terms_digest=digest)
    message = grants.revoke_digest(chain_id=chain.chain_id, contract_address=chain.contract_address, grant=grant)
    artifact = json.loads((embedded.PROJECT / "ledger" / "chain" / "ExchangeLedger.json").read_text())
    web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
    contract = web3.eth.contract(address=chain.contract_address, abi=artifact["abi"])
    sent = contract.functions.revoke_by_signature(grant, typed_data.sign(message, key=keys.chain)).transact(
        {"from": web3.eth.accounts[5]}
    )
    assert web3.eth.wait_for_transaction_receipt(sent)["status"] == 1


def _own_look_at_the_chain(outside: Outside, code: str) -> str:
    reader = onchain.reader_for(configuration.load(outside.story.stack.member(code) / "node"))
    grantor = keyfiles.load(outside.story.stack.member("fund-b") / "client" / "key.json").chain_address
    digest = outside.rows("SELECT terms_digest FROM contracts_contract WHERE ref = %s", outside.deal.ref)[0][0]
    with pytest.raises(Refused) as refused:
        reader.check(grantor=grantor, terms_digest=digest, now=_now())
    return refused.value.code


# --- the receipt ---------------------------------------------------------------------------------------------

ISOLATED = """
import contextlib, io, random, socket, sys
for name in ("django", "rest_framework", "celery", "web3", "requests", "psycopg", "numpy", "redis"):
    sys.modules[name] = None
def no_network(*args, **kwargs):
    raise AssertionError("verify opened a socket")
socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = no_network
from pathlib import Path
from exchange.client import cli
genuine, scratch, home, seed = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
def accepts(data):
    scratch.write_bytes(data)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return cli.main(["--home", home, "verify", str(scratch)]) == 0
assert accepts(genuine), "the genuine receipt is refused"
dice = random.Random(seed)
for part in range(300):  # one place in each of 300 stretches of the file
    position = len(genuine) * part // 300 + dice.randrange(max(1, len(genuine) // 300))
    changed = bytearray(genuine)
    changed[position] ^= dice.randrange(1, 256)
    assert not accepts(bytes(changed)), f"a change of byte {position} is accepted"
assert accepts(genuine)
"""


@pytest.mark.parametrize("number", [0, 1], ids=["joint_statistics", "aligned_statistics"])
def test_one_changed_byte_anywhere_spoils_a_genuine_receipt(told, tmp_path, number):
    bank = told.stack.member("bank")
    receipt = bank / f"receipt-{told.deals[number].computation}.json"
    command = [sys.executable, "-c", ISOLATED, str(receipt), str(tmp_path / "receipt.json"), str(bank / "client")]

    done = subprocess.run([*command, str(20261121 + number)], capture_output=True, text=True, cwd=embedded.PROJECT)

    assert done.returncode == 0, done.stderr[-2000:]


# --- the demo itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_nothing_of_the_demo_outlives_it(tmp_path_factory, number):
    # A short path of its own: sockets below it must fit; no variable of this test run reaches it.
    directory = tmp_path_factory.mktemp("d")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    log = directory / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "exchange.runner", "demo"],
            cwd=embedded.PROJECT, env={**kept, "RUN_DIR": str(directory / "run")},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
        )  # fmt: skip
    try:
        until(log.read_text, lambda text: "first page at" in text or demo.poll() is not None)
        family = descendants(demo.pid)
        names = b" ".join(command_line(pid) for pid in family)
        assert all(part in names for part in (b"postgres", b"valkey", b"anvil", b"gunicorn", b"celery")), (
            log.read_text()
        )
        os.kill(demo.pid, number)
        code = demo.wait(30)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()

    until(lambda: [command_line(pid) for pid in family if is_alive(pid)], lambda left: not left, seconds=20)
    assert code == (0 if number == signal.SIGINT else -signal.SIGKILL)
    assert not [
        path for path in Path("/proc").glob("[0-9]*") if str(directory).encode() in command_line(int(path.name))
    ]
