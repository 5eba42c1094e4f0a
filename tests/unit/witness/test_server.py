"""The listener: the specification's paths, hostile senders, and a clean stop."""

import errno
import hashlib
import http.client
import json
import logging
import random
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from ledger.proofs import checkpoints, cosignatures
from ledger.witness.rules import MAX_BODY_BYTES
from ledger.witness.server import Listener
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import ORIGIN, SmallLog, witness_of

PATH = f"/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint"


def ask(
    listener: Listener, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str, bytes]:
    with closing(http.client.HTTPConnection(listener.host, listener.port, timeout=5)) as connection:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()


def send(listener: Listener, data: bytes, *, seconds: float = 5.0) -> bytes:
    """Raw bytes in, everything that comes back out."""
    received = b""
    with socket.create_connection((listener.host, listener.port), timeout=seconds) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionError:
            pass
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
    return received


def drip(connection: socket.socket) -> None:
    for _ in range(40):
        connection.sendall(b"o")
        time.sleep(0.2)


def test_add_checkpoint_and_read_it_back(log: SmallLog, witness: Witness, listener: Listener) -> None:
    assert ask(listener, "GET", PATH)[0] == 404

    status, content_type, lines = ask(listener, "POST", "/add-checkpoint", log.body(0, 5))
    assert (status, content_type) == (200, "text/plain; charset=utf-8")
    assert ask(listener, "POST", "/add-checkpoint", log.body(0, 9)) == (409, "text/x.tlog.size", b"5\n")

    status, _, note = ask(listener, "GET", PATH)
    assert status == 200
    assert note.endswith(lines)
    checkpoints.verify(note, keys=[log.vkey], origin=ORIGIN)
    assert len(cosignatures.verify(note, keys=witness.keys.vkeys)) == 2


def test_status_tells_keys_and_sizes(log: SmallLog, witness: Witness, listener: Listener) -> None:
    ask(listener, "POST", "/add-checkpoint", log.body(0, 5))

    status, content_type, body = ask(listener, "GET", "/status")

    found = json.loads(body)
    assert (status, content_type, found["name"]) == (200, "application/json", "witness.example/w1")
    assert found["keys"] == list(witness.keys.vkeys)
    assert [(one["origin"], one["size"]) for one in found["logs"]] == [(ORIGIN, 5)]


def test_one_connection_serves_many_requests(log: SmallLog, listener: Listener) -> None:
    connection = http.client.HTTPConnection(listener.host, listener.port, timeout=5)
    answers = []
    for old_size, size in ((0, 3), (3, 4), (3, 5), (4, 9)):
        connection.request("POST", "/add-checkpoint", body=log.body(old_size, size))
        response = connection.getresponse()
        response.read()
        answers.append((response.status, connection.sock is not None))
    connection.close()
    assert answers == [(200, True), (200, True), (409, True), (200, True)]


def test_a_body_in_chunks_is_taken(log: SmallLog, listener: Listener) -> None:
    body = log.body(0, 5)
    connection = http.client.HTTPConnection(listener.host, listener.port, timeout=5)
    connection.request("POST", "/add-checkpoint", body=iter([body[:7], body[7:]]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_sender_may_wait_for_100(log: SmallLog, listener: Listener) -> None:
    body = log.body(0, 5)
    head = f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"

    answer = send(listener, head.encode() + body)

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/add-checkpoint", 404),
        ("GET", "/../witness.sqlite3", 404),
        ("GET", PATH.upper(), 404),
        ("GET", f"/{'0' * 64}/checkpoint", 404),
        ("POST", "/status", 404),
        ("PUT", "/add-checkpoint", 501),
        ("DELETE", "/status", 501),
    ],
)
def test_other_addresses(listener: Listener, method: str, path: str, status: int) -> None:
    assert ask(listener, method, path, b"" if method == "POST" else None)[0] == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: -1", 400),
        (b"Content-Length: 1_0", 400),
        (b"Content-Length: 5\r\nContent-Length: 6", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: gzip", 400),
        (b"Transfer-Encoding: chunked", 400),
        (b"X: y", 411),
        (b"Content-Length: %d" % (MAX_BODY_BYTES + 1), 413),
        (b"Content-Length: 999999999999", 413),
    ],
)
def test_bodies_that_cannot_be_read_end_the_connection(listener: Listener, head: bytes, status: int) -> None:
    answer = send(listener, b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + head + b"\r\n\r\nold 0\n")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1  # what came behind is not read as a second request
    assert b"Connection: close" in answer


def test_huge_chunks_are_not_kept(listener: Listener) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = send(listener, head + chunk * 2)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_sender_of_too_much_reads_why(listener: Listener) -> None:
    status, _, body = ask(listener, "POST", "/add-checkpoint", b"x" * 500_000)

    assert (status, body) == (413, b"refused\n")


def test_random_bytes(log: SmallLog, listener: Listener) -> None:
    seeded = random.Random(20261121)
    body = log.body(0, 5)
    for number in range(60):
        data = seeded.randbytes(seeded.randrange(1, 3000))
        if number % 3 == 0:  # a body where one byte is another
            changed = bytearray(body)
            changed[seeded.randrange(len(body))] ^= 1 << seeded.randrange(8)
            assert ask(listener, "POST", "/add-checkpoint", bytes(changed))[0] in (400, 403, 404, 422)
        elif number % 3 == 1:
            assert ask(listener, "POST", "/add-checkpoint", data)[0] == 400
        else:
            send(listener, data)
    assert ask(listener, "POST", "/add-checkpoint", body)[0] == 200


def test_a_slow_sender_is_cut_off(listener: Listener) -> None:
    """One byte each 0.2 s keeps every single read happy; the request as a whole has one second."""
    begun = time.monotonic()
    with socket.create_connection((listener.host, listener.port), timeout=5) as connection:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n\r\n")
        with pytest.raises(OSError):
            drip(connection)
    assert 0.8 < time.monotonic() - begun < 4


def test_crowds_are_turned_away_and_places_come_back(log: SmallLog, witness: Witness) -> None:
    listener = Listener(witness, request_seconds=1.0, max_connections=3)
    listener.start()
    idle = [socket.create_connection((listener.host, listener.port)) for _ in range(3)]
    time.sleep(0.3)
    turned_away = send(listener, b"GET /status HTTP/1.1\r\nHost: w\r\n\r\n")
    assert turned_away == b"" or turned_away.startswith(b"HTTP/1.1 503 ")  # a reset may overtake the answer
    assert sum(thread.name == "witness-request" for thread in threading.enumerate()) <= 3

    answers: list[bytes] = []
    for _ in range(50):  # until the idle ones' second is over
        answers.append(send(listener, b"GET /status HTTP/1.1\r\nHost: w\r\n\r\n"))
        if answers[-1].startswith(b"HTTP/1.1 200 "):
            break
        time.sleep(0.1)
    assert answers[-1].startswith(b"HTTP/1.1 200 ")
    for connection in idle:
        connection.close()
    listener.stop()


def test_nothing_that_was_sent_is_logged(log: SmallLog, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(listener, "POST", "/add-checkpoint", b"old 0\n\nsecret\n")
        ask(listener, "GET", "/secret")
        send(listener, b"SECRET secret\r\n\r\n")
    assert "secret" not in caplog.text.lower()


def test_split_views_are_logged_without_their_notes(
    log: SmallLog, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    ask(listener, "POST", "/add-checkpoint", log.body(0, 5))
    ask(listener, "POST", "/add-checkpoint", log.fork(2).body(5, 5))
    assert f"{ORIGIN}: split_view at size 5, evidence kept" in caplog.text


def test_an_answer_under_way_is_finished_before_a_stop(log: SmallLog, tmp_path: Path) -> None:
    begun = threading.Event()

    def slow_clock() -> int:
        begun.set()
        time.sleep(0.5)
        return 1

    witness = witness_of(log, tmp_path)
    slow = Witness(witness.keys, witness.logs, witness.state, slow_clock)
    listener = Listener(slow, request_seconds=3.0)
    listener.start()
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(listener, "POST", "/add-checkpoint", log.body(0, 5))[0])
    )
    asking.start()
    assert begun.wait(5)

    listener.stop()

    asking.join(5)
    assert answers == [200]
    with pytest.raises(ConnectionRefusedError):
        ask(listener, "GET", "/status")
    listener.stop()
    witness.state.close()


def test_a_taken_port_is_an_error_of_the_caller(listener: Listener, witness: Witness) -> None:
    with pytest.raises(OSError, match="in use"):
        Listener(witness, port=listener.port)
