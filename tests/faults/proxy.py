"""A JSON-RPC endpoint that lies: it stands before a chain node and misbehaves as it is told."""

import http.client
import json
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = Callable[[str, bytes], bytes | None]  # method and true answer in; None: never answer


class Proxy:
    """Listens on loopback. `mode` turns a true answer into what is sent; None passes it on."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.mode: Answer | None = None
        self.asked = 0
        self._closed = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy._serve(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        question = handler.rfile.read(int(handler.headers["Content-Length"]))
        method = json.loads(question)["method"]
        self.asked += 1
        answer: bytes | None = self._ask(question)
        if self.mode is not None:
            answer = self.mode(method, answer or b"")
        if answer is None:
            self._closed.wait(60)  # accepted, and never a word
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _ask(self, question: bytes) -> bytes:
        place = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
        try:
            connection.request("POST", "/", question, {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()


def hang(_method: str, _answer: bytes) -> bytes | None:
    """Take the question and never answer."""
    return None


def other_chain(chain_id: int) -> Answer:
    """The same chain under another number."""

    def lie(method: str, answer: bytes) -> bytes:
        if method != "eth_chainId":
            return answer
        return json.dumps({**json.loads(answer), "result": hex(chain_id)}).encode()

    return lie


def garbage(rng: random.Random) -> Answer:
    """One kind of nonsense in place of answers, from some question on or to some methods only."""
    kind = rng.choice(sorted(_NONSENSE))
    methods = rng.choice([None, "eth_call", "eth_getBlockByNumber", "eth_getTransactionCount", "eth_blockNumber"])
    noise = rng.randbytes(rng.randint(1, 4000))
    cut = rng.random()

    def lie(method: str, answer: bytes) -> bytes:
        return answer if methods not in (None, method) else _NONSENSE[kind](answer, noise, cut)

    lie.__name__ = f"{kind} to {methods or 'everything'}"
    return lie


_NONSENSE: dict[str, Callable[[bytes, bytes, float], bytes]] = {
    "html": lambda answer, noise, cut: b"<!doctype html><title>502 Bad Gateway</title><h1>nginx</h1>",
    "noise": lambda answer, noise, cut: noise,
    "truncated": lambda answer, noise, cut: answer[: int(len(answer) * cut)],
    "empty": lambda answer, noise, cut: b"",
    "list": lambda answer, noise, cut: b"[" + answer + b"]",
    "text": lambda answer, noise, cut: b'{"jsonrpc":"2.0","id":1,"result":"not what you asked for"}',
    "null": lambda answer, noise, cut: b'{"jsonrpc":"2.0","id":1,"result":null}',
    "deep": lambda answer, noise, cut: b"[" * 100_000,
    "error": lambda answer, noise, cut: b'{"jsonrpc":"2.0","id":1,"error":"busy"}',
}
