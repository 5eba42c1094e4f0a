"""The log's side: finding out where a witness stands, and believing nothing but signatures."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import checkpoints, cosignatures, notes
from ledger.proofs.errors import VerificationError
from ledger.witness import keys
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessAhead, WitnessError, WitnessRefused, WitnessUnavailable
from ledger.witness.server import Listener
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import NOW, ORIGIN, SmallLog


@pytest.fixture
def client(witness: Witness, listener: Listener) -> WitnessClient:
    return WitnessClient(f"http://{listener.host}:{listener.port}", vkeys=witness.keys.vkeys)


class Scripted:
    """A witness that answers with given bytes, whatever it is asked."""

    def __init__(self, answer: bytes, *, drip_seconds: float = 0.0) -> None:
        self._answer, self._drip = answer, drip_seconds
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.asked += 1
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(65_536)
                    for piece in [self._answer] if not self._drip else [bytes([one]) for one in self._answer]:
                        connection.sendall(piece)
                        time.sleep(self._drip)
                except OSError:
                    pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def scripted() -> Iterator[list[Scripted]]:
    made: list[Scripted] = []
    yield made
    for one in made:
        one.close()


def answer(status: int, body: bytes, content_type: str = "text/plain") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_log_grows_under_a_witness(log: SmallLog, client: WitnessClient) -> None:
    remembered = 0
    for size in (1, 2, 5, 64, 65, 65):
        note = log.note(size)

        found = client.cosign(note, known_size=remembered, prove=log.proof)

        assert found.at == NOW
        whole = notes.add_signatures(note, found.lines)
        assert len(cosignatures.verify(whole, keys=client.vkeys)) == 2
        checkpoints.verify(whole.encode(), keys=[log.vkey], origin=ORIGIN)
        remembered = size
    assert client.checkpoint(ORIGIN) == notes.add_signatures(log.note(65), found.lines)


@pytest.mark.parametrize("remembered", [0, 3, 40, 2**40], ids=["nothing", "too little", "too much", "nonsense"])
def test_a_log_that_forgot_where_the_witness_stands(log: SmallLog, client: WitnessClient, remembered: int) -> None:
    client.cosign(log.note(20), known_size=0, prove=log.proof)

    assert client.cosign(log.note(50), known_size=remembered, prove=log.proof).lines


def test_a_log_that_went_back_is_told(log: SmallLog, client: WitnessClient) -> None:
    """A database restored from a backup: the witness remembers more than the log does."""
    client.cosign(log.note(20), known_size=0, prove=log.proof)

    with pytest.raises(WitnessAhead) as raised:
        client.cosign(log.note(15), known_size=15, prove=log.proof)

    assert raised.value.witness_size == 20


def test_a_log_that_rewrote_its_history_is_refused(log: SmallLog, client: WitnessClient) -> None:
    client.cosign(log.note(20), known_size=0, prove=log.proof)
    other = log.fork(10)

    for size in (20, 30):
        with pytest.raises(WitnessRefused) as raised:
            client.cosign(other.note(size), known_size=20, prove=other.proof)
        assert raised.value.http_status == 422


def test_refusals_tell_what_to_do(log: SmallLog, client: WitnessClient) -> None:
    stranger = SmallLog("other.example/log")
    with pytest.raises(WitnessRefused, match="does not know this log") as raised:
        client.cosign(stranger.note(3), known_size=0, prove=stranger.proof)
    assert raised.value.http_status == 404

    rotated = replace(log, key=Ed25519PrivateKey.generate())
    with pytest.raises(WitnessRefused, match="the log's present key") as raised:
        client.cosign(rotated.note(3), known_size=0, prove=rotated.proof)
    assert raised.value.http_status == 403


def test_only_known_keys_count(log: SmallLog, witness: Witness, client: WitnessClient) -> None:
    url = f"http://{client._submission._host}:{client._submission._port}"
    first_key_only = WitnessClient(url, vkeys=witness.keys.vkeys[:1])
    assert len(first_key_only.cosign(log.note(3), known_size=0, prove=log.proof).lines) == 1

    another = WitnessClient(url, vkeys=keys.generate("witness.example/w1").vkeys)
    with pytest.raises(WitnessUnavailable):
        another.cosign(log.note(3), known_size=3, prove=log.proof)
    with pytest.raises(WitnessUnavailable):
        another.checkpoint(ORIGIN)


def cosigned(log: SmallLog, made: keys.WitnessKeys, size: int = 3, at: int = NOW) -> bytes:
    text = checkpoints.format_text(log.head(size))
    return "".join(f"{line}\n" for line in made.cosign(text, at=at)).encode()


def bad_answers(log: SmallLog, made: keys.WitnessKeys) -> dict[str, bytes]:
    right = cosigned(log, made)
    return {
        "a cosignature of another checkpoint": answer(200, cosigned(log, made, 4)),
        "one right, one wrong by a known key": answer(200, right + cosigned(log, made, 4)),
        "empty": answer(200, b""),
        "prose": answer(200, b"thank you\n"),
        "not UTF-8": answer(200, b"\xe2\x80\x94 w \xff\n"),
        "an empty line between": answer(200, right.replace(b"\n", b"\n\n", 1)),
        "cut short": answer(200, right)[:-20],
        "huge": answer(200, right + b"x" * 200_000),
        "endless": b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + b"x" * 0x10000 + b"\r\n" * 3,
        "a redirect": b"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "an error of its own": answer(500, b""),
        "busy": answer(503, b""),
        "too many": answer(429, b""),
        "a conflict without a size": answer(409, b"many\n", "text/x.tlog.size"),
        "a size with a leading zero": answer(409, b"07\n", "text/x.tlog.size"),
        "a size without its newline": answer(409, b"7", "text/x.tlog.size"),
        "the size that was asked with": answer(409, b"0\n", "text/x.tlog.size"),
        "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
        "nothing": b"",
    }


CASES = sorted(bad_answers(SmallLog(), keys.generate("w")))


@pytest.mark.parametrize("case", CASES)
def test_answers_that_are_none(log: SmallLog, scripted: list[Scripted], case: str) -> None:
    made = keys.generate("witness.example/w1")
    scripted.append(Scripted(bad_answers(log, made)[case]))
    client = WitnessClient(scripted[0].url, vkeys=made.vkeys, timeout_seconds=2)

    with pytest.raises(WitnessUnavailable):
        client.cosign(log.note(3), known_size=0, prove=log.proof)

    assert scripted[0].asked == 1
    # The same way with the right answer: it is the answer that was wrong.
    scripted.append(Scripted(answer(200, cosigned(log, made))))
    right = WitnessClient(scripted[1].url, vkeys=made.vkeys, timeout_seconds=2)
    assert right.cosign(log.note(3), known_size=0, prove=log.proof).at == NOW


def test_other_peoples_lines_are_left_out(log: SmallLog, scripted: list[Scripted]) -> None:
    made, other = keys.generate("witness.example/w1"), keys.generate("witness.example/w2")
    scripted.append(Scripted(answer(200, cosigned(log, other, 7) + cosigned(log, made))))
    client = WitnessClient(scripted[0].url, vkeys=made.vkeys)

    found = client.cosign(log.note(3), known_size=0, prove=log.proof)

    assert len(found.lines) == 2
    assert all("witness.example/w1 " in line for line in found.lines)


def test_the_older_409_for_another_root_is_understood(log: SmallLog, scripted: list[Scripted]) -> None:
    """Before July 2026 the specification had 409 where it now has 422."""
    scripted.append(Scripted(answer(409, b"", "text/plain")))
    client = WitnessClient(scripted[0].url, vkeys=keys.generate("w").vkeys)

    with pytest.raises(WitnessRefused, match="another root"):
        client.cosign(log.note(3), known_size=3, prove=log.proof)


@pytest.mark.parametrize("size", [0, 2], ids=["before", "between"])
def test_a_witness_that_names_other_sizes_without_end_is_left(
    log: SmallLog, scripted: list[Scripted], size: int
) -> None:
    scripted.append(Scripted(answer(409, b"%d\n" % size, "text/x.tlog.size")))
    client = WitnessClient(scripted[0].url, vkeys=keys.generate("w").vkeys)

    with pytest.raises(WitnessUnavailable):
        client.cosign(log.note(3), known_size=1, prove=log.proof)

    assert scripted[0].asked == 2


def test_an_answer_that_drips_has_an_end(log: SmallLog, scripted: list[Scripted]) -> None:
    """Every byte comes in time; the answer as a whole does not."""
    made = keys.WitnessKeys("w", Ed25519PrivateKey.generate())
    scripted.append(Scripted(answer(200, cosigned(log, made)), drip_seconds=0.05))
    client = WitnessClient(scripted[0].url, vkeys=made.vkeys, timeout_seconds=0.7)
    begun = time.monotonic()

    with pytest.raises(WitnessUnavailable):
        client.cosign(log.note(3), known_size=0, prove=log.proof)

    assert time.monotonic() - begun < 2


def test_nobody_there(log: SmallLog, scripted: list[Scripted]) -> None:
    scripted.append(Scripted(b""))
    scripted[0].close()
    client = WitnessClient(scripted[0].url, vkeys=keys.generate("w").vkeys)

    with pytest.raises(WitnessUnavailable) as raised:
        client.cosign(log.note(3), known_size=0, prove=log.proof)
    assert isinstance(raised.value, WitnessError)
    assert raised.value.zh


def test_proxies_of_the_environment_are_not_asked(
    log: SmallLog, client: WitnessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert client.cosign(log.note(3), known_size=0, prove=log.proof).lines


@pytest.mark.parametrize(
    "url", ["ftp://w.example", "w.example", "http://", "http://user@w.example", "http://w.example?a=b"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="a witness's address is"):
        WitnessClient(url, vkeys=keys.generate("w").vkeys)


def test_a_logs_key_is_no_witness_key(log: SmallLog) -> None:
    with pytest.raises(VerificationError):
        WitnessClient("http://w.example", vkeys=[log.vkey])
