"""The data node's own look at the chain: standard library only, and never an old answer."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from compute.node.chain import ChainReader, ChainUnreachable, ChainWrong, grant_id
from compute.protocol import keyfiles
from compute.protocol.codes import Refused
from ledger.backends.base import record_call
from ledger.backends.evm import EVMBackend
from ledger.proofs import grants
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import TERMS

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def contract(chain_rpc):
    return chain_world.deploy(EVMBackend(chain_rpc))


@pytest.fixture
def provider():
    return keyfiles.generate("fund-a")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reader(chain_rpc, contract, clock):
    return ChainReader(chain_rpc, chain_id=contract.chain_id, contract_address=contract.address, clock=clock)


def refusal(reader, provider, *, now=NOW) -> str:
    try:
        reader.check(grantor=provider.chain_address, terms_digest=TERMS, now=now)
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.chain
def test_a_grant_in_force_is_read_as_the_contract_holds_it(contract, provider, reader):
    contract.grant(provider)
    held = reader.grant(grantor=provider.chain_address, terms_digest=TERMS)
    assert (held.grantor, held.terms_digest, held.cap, held.used) == (provider.chain_address.lower(), TERMS, 20, 0)
    assert refusal(reader, provider) == ""


@pytest.mark.chain
def test_no_grant_no_run(provider, reader):
    assert refusal(reader, provider) == "GRANT_MISSING"


@pytest.mark.chain
@pytest.mark.parametrize("year", [2020, 2040])
def test_outside_its_window_a_grant_does_not_count(contract, provider, reader, year):
    contract.grant(provider)
    assert refusal(reader, provider, now=datetime(year, 1, 1, tzinfo=UTC)) == "GRANT_EXPIRED"


@pytest.mark.chain
def test_a_used_up_grant_does_not_count(contract, provider, reader):
    grant = contract.grant(provider)
    contract.run(record_call("meter", {"grant_id": grant, "used": 20}), by=contract.exchange)
    assert refusal(reader, provider) == "GRANT_EXPIRED"


@pytest.mark.chain
def test_the_last_run_that_the_total_includes_already_is_let_through(contract, provider, reader):
    grant = contract.grant(provider)
    contract.run(record_call("meter", {"grant_id": grant, "used": 20}), by=contract.exchange)
    reader.check(grantor=provider.chain_address, terms_digest=TERMS, now=NOW, is_counted=True)


@pytest.mark.chain
def test_a_revocation_is_seen_at_once(contract, provider, reader):
    grant = contract.grant(provider)
    assert refusal(reader, provider) == ""
    contract.run(record_call("revoke", contract.revocation(grant, by=provider)), by=contract.exchange)

    assert refusal(reader, provider) == "CONTRACT_REVOKED"


@pytest.mark.chain
def test_a_young_answer_stands_in_for_a_silent_chain_and_an_old_one_never(
    chain_rpc, contract, provider, reader, clock, monkeypatch
):
    grant = contract.grant(provider)
    assert refusal(reader, provider) == ""
    monkeypatch.setattr(reader, "_url", "http://127.0.0.1:9")
    assert refusal(reader, provider) == ""
    clock.seconds = 60
    assert refusal(reader, provider) == "CHAIN_UNAVAILABLE"

    contract.run(record_call("revoke", contract.revocation(grant, by=provider)), by=contract.exchange)
    monkeypatch.setattr(reader, "_url", chain_rpc)
    assert refusal(reader, provider) == "CONTRACT_REVOKED"


@pytest.mark.chain
def test_a_run_waits_for_one_time_out_and_not_for_each_question(contract, provider, reader, clock, monkeypatch):
    contract.grant(provider)
    assert refusal(reader, provider) == ""
    asked = []

    def silent(request, timeout):
        asked.append(request)
        raise TimeoutError

    monkeypatch.setattr(reader, "_open", silent)
    assert refusal(reader, provider) == ""
    assert len(asked) == 1
    clock.seconds = 11
    assert refusal(reader, provider) == ""
    assert len(asked) == 2


@pytest.mark.chain
def test_what_was_forgotten_does_not_stand_in(contract, provider, reader, monkeypatch):
    contract.grant(provider)
    assert refusal(reader, provider) == ""
    monkeypatch.setattr(reader, "_url", "http://127.0.0.1:9")
    assert refusal(reader, provider) == ""
    reader.forget()
    assert refusal(reader, provider) == "CHAIN_UNAVAILABLE"


@pytest.mark.chain
def test_another_chain_or_an_empty_address_is_not_believed(chain_rpc, contract, provider):
    contract.grant(provider)
    elsewhere = ChainReader(chain_rpc, chain_id=1, contract_address=contract.address)
    nobody = ChainReader(chain_rpc, chain_id=contract.chain_id, contract_address="0x" + "77" * 20)
    for reader in (elsewhere, nobody):
        with pytest.raises(ChainWrong):
            reader.check_contract()
        assert refusal(reader, provider) == "CHAIN_UNAVAILABLE"


@pytest.mark.parametrize("answer", ["null", "[]", "{}", '{"error":{"code":1}}', '{"result":"0x12"}', "garbage", ""])
def test_garbage_is_silence(answer, monkeypatch):
    reader = ChainReader("http://127.0.0.1:9", chain_id=1, contract_address="0x" + "77" * 20)

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, _):
            return answer.encode()

    monkeypatch.setattr(reader, "_open", lambda request, timeout: Answer())
    with pytest.raises(ChainUnreachable):
        reader.grant(grantor="0x" + "11" * 20, terms_digest=TERMS)


def test_only_http_endpoints_are_opened():
    with pytest.raises(ValueError, match="http"):
        ChainReader("file:///etc/passwd", chain_id=1, contract_address="0x" + "77" * 20)


def test_node_and_proofs_name_a_grant_alike(provider):
    expected = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    assert "0x" + grant_id(provider.chain_address, TERMS).hex() == expected


def test_the_reader_starts_without_django_web3_or_requests():
    blocked = "import sys; [sys.modules.__setitem__(n, None) for n in ('django', 'web3', 'requests', 'numpy')]; "
    done = subprocess.run([sys.executable, "-c", blocked + "import compute.node.chain"], check=False)
    assert done.returncode == 0


@pytest.mark.chain
def test_the_time_out_counts_towards_the_minute(contract, provider, reader, clock, monkeypatch):
    """A question asked at second 58 that times out at 61 is answered by nothing older than a minute."""
    contract.grant(provider)
    assert refusal(reader, provider) == ""

    def hang(*args):
        clock.seconds += 3
        raise ChainUnreachable("silent")

    monkeypatch.setattr(reader, "_call", hang)
    clock.seconds += 55
    assert refusal(reader, provider) == ""  # second 58 when the time-out is over
    clock.seconds += 1.5
    reader._silent_until = float("-inf")
    assert refusal(reader, provider) == "CHAIN_UNAVAILABLE"
