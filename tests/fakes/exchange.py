"""An exchange on loopback that speaks the node API: signed messages in, answers from a small script out.

It checks what the real one checks (signature, audience, verb, fresh nonce) and keeps all it was sent.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from compute.protocol import documents
from ledger.proofs import canonical, statements


@dataclass
class FakeExchange:
    """Answers of one exchange towards one node.

    Args:
        peers: makes the other parties' signed link offers from ours.
        refusals: verb to (status, code); an entry answers once for each number in its list.
    """

    document_key: str
    node_key: str
    peers: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda offer: []
    bundles: dict[str, dict[str, Any]] = field(default_factory=dict)
    consent_requests: list[dict[str, Any]] = field(default_factory=list)
    revocations: list[dict[str, Any]] = field(default_factory=list)
    key_revocations: list[dict[str, Any]] = field(default_factory=list)
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    refusals: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    cancel: bool = False
    go: bool = True

    def __post_init__(self) -> None:
        self._own: dict[str, Any] = {}
        self._done: set[str] = set()
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = fake.answer(self.path, raw)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, verb: str) -> list[dict[str, Any]]:
        """The bodies received for one verb."""
        with self._lock:
            return [body for found, body in self.received if found == verb]

    def answer(self, path: str, raw: bytes) -> tuple[int, dict[str, Any]]:
        message = canonical.parse_canonical(raw, max_bytes=16 * 1024 * 1024)
        documents.check_node_message(message)
        statements.verify(message, signers=[self.node_key])
        verb, body = message["verb"], message["body"]
        assert path == f"/api/v1/nodes/{verb}/"
        assert message["audience"] == self.document_key
        with self._lock:
            assert message["nonce"] not in self.nonces, "a nonce was used twice"
            self.nonces.add(message["nonce"])
            self.received.append((verb, body))
            if self.refusals.get(verb):
                status, code = self.refusals[verb].pop(0)
                return status, {"code": code, "status": status}
            return 200, getattr(self, f"_{verb}")(body)

    def _poll(self, body: dict[str, Any]) -> dict[str, Any]:
        tasks = [
            {"task": task, "computation": bundle["job"]["id"], "state": "pending"}
            for task, bundle in self.bundles.items()
            if task not in self._done
        ]
        return {
            "consent_requests": self.consent_requests,
            "tasks": tasks,
            "revocations": self.revocations,
            "key_revocations": self.key_revocations,
            "server_time": "2026-11-21T05:30:00Z",
        }

    def _consent(self, body: dict[str, Any]) -> dict[str, Any]:
        documents.check_consent(body["consent"])
        return {"recorded": True}

    def _claim(self, body: dict[str, Any]) -> dict[str, Any]:
        self._done.add(body["task"])
        return {"fencing_token": 7, "lease_seconds": 30, "bundle": self.bundles[body["task"]]}

    def _offer(self, body: dict[str, Any]) -> dict[str, Any]:
        documents.check_link_offer(body["offer"])
        self._own = body["offer"]
        return {"accepted": True}

    def _progress(self, body: dict[str, Any]) -> dict[str, Any]:
        offers = [self._own, *self.peers(self._own)] if self.go else []
        return {"go": self.go, "offers": offers, "cancel": self.cancel, "reason": None}

    def _refuse(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"recorded": True}

    _fail = _refuse

    def _submit(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"accepted": True}
