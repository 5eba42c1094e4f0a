"""The witness over HTTP: bounded bodies, bounded time, bounded threads, and no log of what was sent.

    POST /add-checkpoint            tlog-witness
    GET  /<origin hash>/checkpoint  tlog-witness: the last checkpoint cosigned for a log
    GET  /status                    our own: names, keys, latest sizes, as JSON

The origin hash is the SHA-256 of the origin in lowercase hex. Everything served is public: answers to GET
may be read by any web page, so that a visitor's browser can compare witnesses itself.
"""

import contextlib
import hashlib
import io
import json
import logging
import re
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from ledger.witness import rules
from ledger.witness.rules import Answer
from ledger.witness.witness import Witness

log = logging.getLogger("hengshu.witness")

MAX_CONNECTIONS = 32  # a log asks a few times a minute; the rest is somebody else
REQUEST_SECONDS = 10.0  # for one request, from waiting for its first byte to the last byte of the answer
CONNECTION_SECONDS = 120.0  # for all requests of one connection: nobody keeps a place for ever
LINGER_SECONDS, LINGER_BYTES = 1.0, 1024 * 1024  # what is still read of a body that was refused
STOP_SECONDS = 5.0  # what a stop waits for running requests

_JSON = "application/json"
_CHECKPOINT_PATH = re.compile(r"/([0-9a-f]{64})/checkpoint", re.ASCII)
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Listener:
    """A witness at one address, in a thread of its own.

    Args:
        port: 0 lets the system choose; `port` then tells which.
        request_seconds: how long one request may take.
    Raises:
        OSError: the address cannot be had, such as a port that is taken.
    """

    def __init__(
        self,
        witness: Witness,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        request_seconds: float = REQUEST_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._server = _Server((host, port), witness, request_seconds=request_seconds, max_connections=max_connections)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="witness", daemon=True)
        self._started = False

    @property
    def host(self) -> str:
        """Where it listens."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, let running requests end (5 s at most), close the port. Idempotent."""
        if self._started:
            self._server.shutdown()
            self._thread.join()
            self._started = False
        self._server.server_close()
        self._server.drain(STOP_SECONDS)


class _Server(HTTPServer):
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self, address: tuple[str, int], witness: Witness, *, request_seconds: float, max_connections: int
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.witness = witness
        self.request_seconds = request_seconds
        self._max_connections = max_connections
        self._places = threading.BoundedSemaphore(max_connections)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer asks the name service for its own name here; nobody reads it, and it can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            request.settimeout(0.5)
            with contextlib.suppress(OSError):
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="witness-request", daemon=True
        ).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the other side went away
        except Exception:
            log.exception("an error in the witness itself")
        finally:
            self.shutdown_request(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.warning("a connection could not be taken")

    def drain(self, seconds: float) -> None:
        """Wait until every place is free, or the time is over."""
        deadline = time.monotonic() + seconds
        taken = 0
        while taken < self._max_connections and self._places.acquire(timeout=max(0.0, deadline - time.monotonic())):
            taken += 1
        if taken:
            for _ in range(taken):
                self._places.release()


class _TimedReader(io.RawIOBase):
    """A socket whose reads end at a deadline, however slowly the bytes come."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(remaining)
        return self._connection.recv_into(buffer)


class _Unreadable(Exception):
    """A body of no length, of too great a one, or cut short: the connection ends with this status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "hengshu-witness"
    sys_version = ""
    server: _Server

    def setup(self) -> None:
        self.connection = self.request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._end = time.monotonic() + CONNECTION_SECONDS
        self._lingers = False
        self._reader = _TimedReader(self.connection, self._next_deadline())
        self.rfile = io.BufferedReader(self._reader)
        self.wfile = io.BytesIO()

    def handle_one_request(self) -> None:
        self._reader.deadline = self._next_deadline()
        self.wfile = io.BytesIO()
        super().handle_one_request()  # reads, calls do_POST or do_GET; a time-out closes the connection
        self._flush()

    def finish(self) -> None:
        if self._lingers:
            self._linger()
        self.rfile.close()

    def _linger(self) -> None:
        """Let a refused sender read why: closing over bytes that nobody read would reset the connection."""
        self._reader.deadline = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES
            while left > 0 and (found := self.rfile.read1(65_536)):
                left -= len(found)

    def handle_expect_100(self) -> bool:
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        self._flush()
        self.wfile = io.BytesIO()
        return True

    def do_POST(self) -> None:
        """add-checkpoint."""
        try:
            body = self._body()
        except _Unreadable as refused:
            self.close_connection = self._lingers = True
            self._answer(Answer(refused.status.value, rules.TEXT_TYPE, b"refused\n"))
            return
        if self.path != "/add-checkpoint":
            self._answer(Answer(404, rules.TEXT_TYPE, b"not found\n"))
            return
        try:
            answer = self.server.witness.add_checkpoint(body)
        except Exception:  # a full disk, a locked database: nothing was cosigned, and the log may ask again
            log.exception("an error in the witness itself")
            answer = Answer(500, rules.TEXT_TYPE, b"try again later\n")
        self._answer(answer)

    def do_GET(self) -> None:
        """The monitoring side."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        if self.path == "/status":
            self._answer(Answer(200, _JSON, json.dumps(self.server.witness.status(), ensure_ascii=False).encode()))
            return
        found = _CHECKPOINT_PATH.fullmatch(self.path)
        origin = None if found is None else self._origin(found[1])
        note = None if origin is None else self.server.witness.checkpoint(origin)
        if note is None:
            self._answer(Answer(404, rules.TEXT_TYPE, b"not found\n"))
        else:
            self._answer(Answer(200, rules.TEXT_TYPE, note.encode()))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it
        """Nothing: no line for a request, and nothing of what it held."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # What http.server refuses itself (unknown methods, broken headers): short, and the connection ends.
        self.close_connection = True
        self.request_version = "HTTP/1.1"
        self._answer(Answer(int(code), rules.TEXT_TYPE, b"refused\n"))

    def _body(self) -> bytes:
        """The request's body, read to its end; _Unreadable otherwise."""
        if "Transfer-Encoding" in self.headers:
            chunked = self.headers.get_all("Transfer-Encoding") == ["chunked"] and "Content-Length" not in self.headers
            found = self._chunks() if chunked else None
        else:
            lengths = self.headers.get_all("Content-Length") or []
            if not lengths:
                raise _Unreadable(HTTPStatus.LENGTH_REQUIRED)
            if len(lengths) != 1 or not re.fullmatch(r"\d{1,12}", lengths[0], re.ASCII):
                raise _Unreadable(HTTPStatus.BAD_REQUEST)
            if int(lengths[0]) > rules.MAX_BODY_BYTES:
                raise _Unreadable(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            found = self.rfile.read(int(lengths[0]))
            if len(found) != int(lengths[0]):
                found = None
        if found is None:
            raise _Unreadable(HTTPStatus.BAD_REQUEST)
        return found

    def _chunks(self) -> bytes | None:
        """A body in chunks, as logs that do not know its length beforehand send it; None when malformed."""
        body = bytearray()
        while True:
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n]{0,100})?\r\n", self.rfile.readline(200))
            if size is None:
                return None
            length = int(size[1], 16)
            if length == 0:
                # Trailers are not used here: the body must end at once.
                return bytes(body) if self.rfile.readline(200) == b"\r\n" else None
            if len(body) + length > rules.MAX_BODY_BYTES:
                return None
            chunk = self.rfile.read(length)
            if len(chunk) != length or self.rfile.read(2) != b"\r\n":
                return None
            body += chunk

    def _origin(self, digest: str) -> str | None:
        known = {*self.server.witness.logs, *self.server.witness.state.origins()}
        return next((origin for origin in known if hashlib.sha256(origin.encode()).hexdigest() == digest), None)

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if self.command == "GET":
            self.send_header("Access-Control-Allow-Origin", "*")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _flush(self) -> None:
        data = self.wfile.getvalue() if isinstance(self.wfile, io.BytesIO) else b""
        if data:
            self.connection.settimeout(max(0.1, self._reader.deadline - time.monotonic()))
            self.connection.sendall(data)

    def _next_deadline(self) -> float:
        return min(self._end, time.monotonic() + self.server.request_seconds)
