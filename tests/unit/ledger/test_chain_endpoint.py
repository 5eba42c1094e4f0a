"""An endpoint that is no chain: whatever it says, a backend answers with one of its two errors, and soon."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from compute.protocol import keyfiles
from ledger.actions import deployments
from ledger.backends import transport
from ledger.backends.base import ChainIdentity, ChainRefused, ChainUnreachable, anchor_call
from ledger.backends.evm import EVMBackend
from tests.unit.ledger import chain_world

ADDRESS = "0x" + "11" * 20
HASH = "0x" + "22" * 32
KEY = keyfiles.generate("log")
QUESTIONS = {
    "identity": lambda chain: chain.identity(),
    "code_hash": lambda chain: chain.code_hash(ADDRESS),
    "anchored": lambda chain: chain.anchored(ADDRESS),
    "anchored_below_the_head": lambda chain: chain.anchored(ADDRESS, confirmations=2),
    "anchored_event": lambda chain: chain.anchored_event(ADDRESS, size=3),
    "events": lambda chain: chain.events(ADDRESS, from_block=0, to_block=9),
    "block_number": lambda chain: chain.block_number(),
    "grant": lambda chain: chain.grant(ADDRESS, HASH),
    "is_voided": lambda chain: chain.is_voided(ADDRESS, signer=ADDRESS, digest=HASH[2:]),
    "evidence": lambda chain: chain.evidence(ADDRESS, slots=[HASH]),
    "nonce": lambda chain: chain.nonce(ADDRESS),
    "gas_price": lambda chain: chain.gas_price(),
    "simulate": lambda chain: chain.simulate(_call(), address=ADDRESS, sender=ADDRESS),
    "send": lambda chain: chain.send("0x00"),
    "inclusion": lambda chain: chain.inclusion(HASH),
    "fund": lambda chain: chain.fund(ADDRESS),
}
NO_JSON_RPC = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html><body>Sign in to the guest network</body></html>",
    "bytes": bytes(range(256)),
    "half an object": b'{"jsonrpc": "2.0", "id": 1, "result": "0x',
    "null": b"null",
    "a number": b"7",
    "a list": b"[]",
    "a bare text": b'"result"',
    "no result": b'{"jsonrpc": "2.0", "id": 1}',
    "an error that is a text": b'{"jsonrpc": "2.0", "id": 1, "error": "no"}',
    "an error without words": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 3}}',
    "an error with a list of words": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": ["x"]}}',
    "depth": b"[" * 50_000 + b"]" * 50_000,
    "depth beyond the stack": b"[" * 4_000_000,
    "a number of many digits": b'{"jsonrpc": "2.0", "id": 1, "result": ' + b"9" * 5_000 + b"}",
}
WRONG_RESULTS = [
    None, True, False, -1, 5, 2**70, 1.5, "", "0x", "0x0", "-0x5", "zz", "0xzz", "0x" + "ff" * 32, "0x" + "ff" * 320,
    "0x" + "00" * 32, [], [None], [[]], [{}], [5], ["0x"], [{"topics": []}], [{"topics": ["0x"], "data": "0x"}],
    [{"topics": [HASH], "data": "0x", "blockNumber": "0x1", "logIndex": "0x0"}], {}, {"hash": None}, {"hash": 5},
    {"hash": "0x"}, {"hash": HASH, "number": "x"}, {"hash": HASH, "number": "0x1", "baseFeePerGas": "lots"},
    {"hash": HASH, "baseFeePerGas": []}, {"blockHash": 5}, {"blockHash": HASH, "blockNumber": "-1", "status": "0x1"},
    {"blockHash": "0x", "blockNumber": "0x1", "status": []}, {"blockHash": HASH, "blockNumber": hex(2**70)},
]  # fmt: skip


class Endpoint(ThreadingHTTPServer):
    """Says the same thing to everybody, a piece at a time if told so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.status, self.pause_seconds, self.asked = b"", 200, 0.0, 0
        self.headers: dict[str, str] = {}
        self.answers: dict[str, bytes] = {}  # by method, where it is not the same thing

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that gives up is what is being tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Endpoint

    def do_POST(self):
        self.server.asked += 1
        method = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["method"]
        body = self.server.answers.get(method, self.server.body)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not self.server.pause_seconds:
            self.wfile.write(body)
            return
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            time.sleep(self.server.pause_seconds)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def endpoint():
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def backend(endpoint):
    chain = EVMBackend(endpoint.url, timeout_seconds=0.5)
    yield chain
    chain._web3.provider._session.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_no_answer_is_silence(endpoint, backend, question):
    for name, body in NO_JSON_RPC.items():
        endpoint.body = body
        assert _outcome(backend, question) == "CHAIN_UNREACHABLE", name


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_of_the_wrong_kind_is_silence_or_a_value_of_the_right_kind(endpoint, backend, question):
    silences = 0
    for result in WRONG_RESULTS:
        endpoint.body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
        said = _outcome(backend, question)
        silences += said == "CHAIN_UNREACHABLE"
        # "No such block" is a whole answer, if a strange one.
        assert said == "CHAIN_REFUSED" or _is_of_the_right_kind(said), (result, said)
    # What asks for no value has none to be wrong.
    assert silences > 10 or question in {"send", "code_hash", "evidence", "simulate", "fund", "inclusion"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_error_of_the_endpoint_is_a_refusal_in_words_that_can_be_kept(endpoint, backend, question):
    words = "no\x00 such \ud800 method" + "x" * 5_000
    endpoint.body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": words}}).encode()
    with pytest.raises(ChainRefused) as refused:
        QUESTIONS[question](backend)
    assert refused.value.reason == "RPC_ERROR"
    assert len(refused.value.message) < 400
    refused.value.message.encode()
    assert "\x00" not in refused.value.message


def test_a_revert_with_words_that_are_not_the_contracts_is_just_a_revert(endpoint, backend):
    text = b"<script>".ljust(32, b"\0")
    data = "0x08c379a0" + (32).to_bytes(32, "big").hex() + (8).to_bytes(32, "big").hex() + text.hex()
    error = {"code": 3, "message": "execution reverted: <script>", "data": data}
    endpoint.body = b'{"jsonrpc": "2.0", "id": 1, "result": "0x1"}'
    endpoint.answers["eth_call"] = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
    with pytest.raises(ChainRefused) as refused:
        QUESTIONS["simulate"](backend)
    assert refused.value.reason == "REVERTED"


@pytest.mark.parametrize("status", [301, 302, 307, 401, 404, 500, 502])
def test_another_status_is_silence_and_nobody_is_sent_elsewhere(endpoint, backend, status):
    endpoint.status, endpoint.headers = status, {"Location": endpoint.url + "/elsewhere"}
    endpoint.body = b"<html></html>"
    with pytest.raises(ChainUnreachable):
        backend.block_number()
    assert endpoint.asked == 1


def test_a_body_that_trickles_is_given_up_in_time(endpoint, backend):
    endpoint.body, endpoint.pause_seconds = b" " * 100_000, 0.02
    began = time.monotonic()
    with pytest.raises(ChainUnreachable):
        backend.block_number()
    assert time.monotonic() - began < 2


def test_an_endpoint_that_never_answers_is_given_up_in_time(endpoint, backend):
    endpoint.headers = {"Content-Length": "10"}
    began = time.monotonic()
    with pytest.raises(ChainUnreachable):
        backend.block_number()
    assert time.monotonic() - began < 2


def test_a_body_without_end_is_cut_off(endpoint, backend, monkeypatch):
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1_000)
    endpoint.body = b'{"jsonrpc": "2.0", "id": 1, "result": "0x1"' + b" " * 2_000 + b"}"
    with pytest.raises(ChainUnreachable):
        backend.block_number()
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 3_000)
    assert backend.block_number() == 1


@pytest.mark.chain
@pytest.mark.django_db
def test_another_chain_behind_the_same_address_is_a_mismatch(settings, chain_rpc, monkeypatch):
    chain = EVMBackend(chain_rpc)
    settings.CHAIN_CONTRACT_ADDRESS = chain_world.deploy(chain).address
    deployments.deploy(backend=chain, anchor=KEY, record=KEY)
    deployments.check_deployment(chain)

    real = chain.identity()
    other = ChainIdentity(real.chain_id + 1, real.genesis_hash, real.is_development)
    monkeypatch.setattr(chain, "identity", lambda: other)

    with pytest.raises(deployments.ChainMismatch):
        deployments.check_deployment(chain)


@pytest.mark.chain
def test_bytes_signed_for_another_chain_move_nothing(chain_rpc):
    contract = chain_world.deploy(EVMBackend(chain_rpc))
    signed = contract.backend.sign(
        _call(), address=contract.address, chain_id=contract.chain_id + 1, key=contract.log.chain, nonce=0, gas_price=1
    )
    with contextlib.suppress(ChainRefused):  # anvil takes the bytes and drops them
        contract.backend.send(signed.raw)
    contract.grant(KEY)  # blocks go on
    assert contract.backend.inclusion(signed.transaction_hash) is None
    assert contract.backend.anchored(contract.address).size == 0


def _outcome(backend: EVMBackend, question: str) -> object:
    """What was said, or the code of the backend's own errors; any other error is the test's end."""
    try:
        return QUESTIONS[question](backend)
    except (ChainUnreachable, ChainRefused) as error:
        return error.code


def _call():
    return anchor_call(old_size=0, new_size=1, root="33" * 32, proof=[])


def _is_of_the_right_kind(said: object) -> bool:
    if isinstance(said, ChainIdentity):
        return isinstance(said.chain_id, int) and len(said.genesis_hash) == 66
    if isinstance(said, list):
        return said == []
    return said is None or isinstance(said, bool | int | str) or type(said).__module__ == "ledger.backends.base"
