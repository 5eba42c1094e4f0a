"""The node's side of the exchange: signed messages over plain HTTPS, outbound only.

Every try is a new message with a new nonce; what makes a repeat harmless is the body (a report's digest,
a consent's id), never the envelope.
"""

import http.client
import secrets
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from compute.node.config import Config
from compute.node.errors import ExchangeRefused, ExchangeUnavailable
from compute.protocol import documents
from compute.protocol.keyfiles import KeyFile
from compute.protocol.shapes import write_time
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_NOT_NOW = (408, 425, 429)


class ExchangeClient:
    """Sends node messages and returns the exchange's answers.

    Args:
        timeout_seconds: for connecting and for each read.
    """

    def __init__(
        self,
        config: Config,
        keys: KeyFile,
        *,
        clock: Callable[[], datetime],
        timeout_seconds: float = 10.0,
        nonce: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._config = config
        self._keys = keys
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._nonce = nonce
        self._address = urlsplit(config.exchange_url)

    def call(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send one message.

        Raises:
            ExchangeUnavailable: no answer, or a 5xx or 429: the same body may be sent again.
            ExchangeRefused: the exchange turned it down for good; `answer` is its code.
        """
        now = self._clock()
        message = documents.node_message(
            organization=self._config.organization,
            verb=verb,
            audience=self._config.trust.exchange_document_key,
            created=now,
            nonce=self._nonce(16),
            body=body,
        )
        signed = statements.sign(message, key=self._keys.document, created=write_time(now))
        status, answer = self._post(f"{self._address.path}/api/v1/nodes/{verb}/", canonical.encode(signed))
        if status >= 500 or status in _NOT_NOW:
            raise ExchangeUnavailable(f"The exchange answered {status}.", zh=f"交易所答复 {status}。")
        if status >= 400:
            raise ExchangeRefused(_code(answer), status)
        try:
            value = canonical.parse(answer, max_bytes=MAX_ANSWER_BYTES)
        except VerificationError:
            value = None
        if not isinstance(value, dict):
            raise ExchangeUnavailable("The exchange's answer is not JSON.", zh="交易所的答复不是 JSON。")
        return value

    def _post(self, path: str, data: bytes) -> tuple[int, bytes]:
        connection = self._connect()
        try:
            connection.request(
                "POST", path, body=data, headers={"Content-Type": "application/json", "Accept": "application/json"}
            )
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ExchangeUnavailable(
                "The exchange does not answer; the node keeps trying.", zh="交易所没有应答；节点会继续尝试。"
            ) from error
        finally:
            connection.close()
        if len(answer) > MAX_ANSWER_BYTES:
            raise ExchangeUnavailable("The exchange's answer is too large.", zh="交易所的答复过大。")
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)


def _code(answer: bytes) -> str:
    try:
        code = canonical.parse(answer, max_bytes=MAX_ANSWER_BYTES)["code"]
    except (VerificationError, KeyError, TypeError):
        return "UNKNOWN"
    return code if isinstance(code, str) and len(code) <= 64 else "UNKNOWN"
