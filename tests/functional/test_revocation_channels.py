"""A revoked grant stops the next run: within 5 s by any one channel, within 60 s with all of them cut.

On real parts: exchange, worker, nodes and chain are processes of their own. Each test revokes through one
channel alone and measures until the next run is refused; docs/subsystems/chain.md has the figures.
"""

import json
import os
import signal
import sys
import time

import pytest

from compute.node import chain, onchain
from compute.node import config as configuration
from compute.protocol import keyfiles
from compute.protocol.codes import Refused
from exchange.runner.parties import StepFailed
from exchange.runner.story import Deal
from exchange.runner.world import member
from tests.functional.outside import ENDS, Outside, until
from tests.functional.test_faults import _now

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ONE_CHANNEL_SECONDS = 5.0
ALL_CUT_SECONDS = 60.0
SHORTENED_SECONDS = 20.0
CAN_REVOKE = "fund-b"


@pytest.fixture
def outside(told) -> Outside:
    """A contract over both housing funds that nobody else uses."""
    deal = Deal("joint_statistics", ("fund-a", "fund-b"), None)
    told.agree(deal, quota={"total": 4, "per_day": 4, "rate_per_minute": 10})
    return Outside(told, deal)


@pytest.fixture
def terms(outside, tmp_path):
    """The signed terms as the provider keeps them."""
    path = tmp_path / "terms.json"
    outside.story.parties.cli(member(CAN_REVOKE), "contract", "show", outside.deal.ref, "--out", str(path))
    return path


def rpc_url(outside: Outside) -> str:
    return configuration.load(outside.story.stack.member(CAN_REVOKE) / "node").chain.rpc_url


def fund(outside: Outside) -> None:
    from web3 import Web3

    keys = keyfiles.load(outside.story.stack.member(CAN_REVOKE) / "client" / "key.json")
    web3 = Web3(Web3.HTTPProvider(rpc_url(outside)))
    web3.provider.make_request("anvil_setBalance", [keys.chain_address, hex(10**20)])


def revoke_directly(outside: Outside, terms) -> float:
    fund(outside)
    arguments = ("--direct", "--rpc", rpc_url(outside), "--terms", str(terms), "--yes")
    outside.story.parties.cli(member(CAN_REVOKE), "contract", "revoke", outside.deal.ref, *arguments)
    return time.monotonic()


def contract_state(outside: Outside) -> str:
    return outside.rows("SELECT state FROM contracts_contract WHERE ref = %s", outside.deal.ref)[0][0]


def own_look(outside: Outside, code: str, reader=None) -> str:
    """What a node's own look at the chain says of the revoker's grant."""
    reader = reader or onchain.reader_for(configuration.load(outside.story.stack.member(code) / "node"))
    grantor = keyfiles.load(outside.story.stack.member(CAN_REVOKE) / "client" / "key.json").chain_address
    digest = outside.rows("SELECT terms_digest FROM contracts_contract WHERE ref = %s", outside.deal.ref)[0][0]
    try:
        reader.check(grantor=grantor, terms_digest=digest, now=_now())
    except Refused as refused:
        return refused.code
    return ""


def refusal(outside: Outside) -> str:
    with pytest.raises(StepFailed) as refused:
        outside.ask()
    return json.loads(str(refused.value).partition("\n")[2])["error"]["code"]


def known_at_nodes(outside: Outside) -> list[bool]:
    urn = f"urn:hengshu:contract:{outside.deal.ref}"
    query = "SELECT COUNT(*) FROM revocations WHERE contract = ?"
    return [outside.node_rows(code, query, urn) != [(0,)] for code in outside.deal.providers]


def test_by_the_exchange(outside, record_property):
    outside.story.parties.cli(member(CAN_REVOKE), "contract", "revoke", outside.deal.ref, "--yes")
    began = time.monotonic()
    assert refusal(outside) == "CONTRACT_REVOKED"
    until(lambda: known_at_nodes(outside), all, seconds=ONE_CHANNEL_SECONDS)
    record_property("feed", time.monotonic() - began)
    until(lambda: own_look(outside, "fund-a"), lambda code: code == "CONTRACT_REVOKED", seconds=ONE_CHANNEL_SECONDS)
    _report("exchange", began)


def test_by_the_chain_alone(outside, terms):
    """The provider tells the chain; every node sees it there, and the exchange reads it from there."""
    began = revoke_directly(outside, terms)
    for code in outside.deal.providers:
        assert own_look(outside, code) == "CONTRACT_REVOKED"
    _report("chain, at a node", began)
    # The run is stopped already; the exchange's one worker reads the chain when its turn comes.
    until(lambda: contract_state(outside), lambda state: state == "revoked", seconds=ALL_CUT_SECONDS)
    _report("chain, at the exchange", began)
    assert refusal(outside) == "CONTRACT_REVOKED"
    reported = "SELECT COUNT(*) FROM ledger_chainevent WHERE name = 'Revoked' AND arguments->>'id' IN (SELECT grant_id"
    reported += " FROM contracts_grant g JOIN contracts_contract c ON c.id = g.contract_id WHERE c.ref = %s)"
    assert outside.rows(reported, outside.deal.ref) == [(1,)]


def test_by_the_chain_alone_with_the_exchange_down(outside, terms):
    outside.kill("web")
    outside.kill("worker")
    try:
        began = revoke_directly(outside, terms)
        for code in outside.deal.providers:
            assert own_look(outside, code) == "CONTRACT_REVOKED"
        _report("chain, exchange down", began)
    finally:
        outside.restart("web")
        outside.restart("worker")


def test_by_the_owners_own_command_alone(outside):
    """Neither exchange nor chain hears of it; the owner's node refuses the very next run."""
    urn = f"urn:hengshu:contract:{outside.deal.ref}"
    outside.story.parties.node_cli(member(CAN_REVOKE), "revoke", urn)
    began = time.monotonic()
    assert known_at_nodes(outside)[1] is True
    _report("own command, at the node", began)
    began = time.monotonic()
    assert outside.wait_for(outside.ask(), *ENDS) == ("rejected", "CONSENT_REFUSED")  # by that node, before any run
    _report("own command, the next request ended", began)


def test_with_every_channel_cut(outside, terms, monkeypatch):
    """The chain's endpoint hangs; a node goes on for less than a minute on what it saw last, then runs nothing.

    The minute is cut to a third here; with the whole of it the last look was let through at 59.5 s.
    """
    assert chain.MAX_AGE_SECONDS == ALL_CUT_SECONDS
    monkeypatch.setattr(chain, "MAX_AGE_SECONDS", SHORTENED_SECONDS)
    readers = {
        code: onchain.reader_for(configuration.load(outside.story.stack.member(code) / "node"))
        for code in outside.deal.providers
    }
    assert [own_look(outside, code, reader) for code, reader in readers.items()] == ["", ""]
    pid = outside.process("chain").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    let_through = dict.fromkeys(readers, 0.0)
    refusing: set[str] = set()
    try:
        while len(refusing) < len(readers):
            for code, reader in readers.items():
                asked = time.monotonic()  # when the next run would have begun; the look itself may take its time-outs
                if own_look(outside, code, reader) == "CHAIN_UNAVAILABLE":
                    refusing.add(code)
                else:
                    let_through[code] = asked - began
            time.sleep(1)
        _report(f"all cut: last let through after {max(let_through.values()):.1f} s, refused", began)
        assert max(let_through.values()) < SHORTENED_SECONDS
    finally:
        os.kill(pid, signal.SIGCONT)
    began = revoke_directly(outside, terms)
    assert [own_look(outside, code, reader) for code, reader in readers.items()] == ["CONTRACT_REVOKED"] * 2


def _report(channel: str, began: float) -> None:
    sys.stdout.write(f"{channel}: {time.monotonic() - began:.2f} s\n")
