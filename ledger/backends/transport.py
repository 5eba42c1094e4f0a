"""How web3 reaches an endpoint: one POST per question, bounded in time and in size, and no way round.

An endpoint is not trusted to be a chain. A body that trickles in for ever, a page of HTML, a redirect or a
JSON-RPC object of another shape is no answer, and nothing of it reaches web3's formatters.
"""

import json
import time
from typing import Any

import requests
from urllib3.exceptions import HTTPError
from web3 import HTTPProvider

from ledger.backends.base import ChainUnreachable
from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

MAX_ANSWER_BYTES = 32 * 1024 * 1024  # events of many blocks; everything else is far smaller
_CHUNK_BYTES = 64 * 1024


class BoundedProvider(HTTPProvider):
    """JSON-RPC over HTTP. The environment's proxies are not asked, redirects not followed, nothing is retried.

    Args:
        timeout_seconds: for the connection, for each wait, and for the whole body.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False

    def make_request(self, method: Any, params: Any) -> Any:
        """The endpoint's answer: an object with `result`, or with an `error` of code and message.

        Raises:
            ChainUnreachable: there is none in time, or it is none.
        """
        try:
            body = self._post(self.encode_rpc_request(method, params))
            canonical.check_depth(body)  # web3's cryptography raises the recursion limit beyond what a stack holds
            answer = json.loads(body)
        except (VerificationError, requests.RequestException, HTTPError, OSError, ValueError, RecursionError) as error:
            raise _silent() from error
        if not isinstance(answer, dict) or not _is_error_or_result(answer):
            raise _silent()
        return answer

    def _post(self, question: bytes) -> bytes:
        until = time.monotonic() + self._timeout_seconds
        with self._session.post(
            self._url,
            data=question,
            headers={"Content-Type": "application/json"},
            timeout=self._timeout_seconds,
            allow_redirects=False,
            stream=True,
        ) as response:
            response.raise_for_status()
            body = bytearray()
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES or time.monotonic() > until:
                    raise _silent()
        return bytes(body)


def _is_error_or_result(answer: dict[str, Any]) -> bool:
    error = answer.get("error")
    if error is None:
        return "result" in answer
    return isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)


def _silent() -> ChainUnreachable:
    return ChainUnreachable(
        "The chain endpoint does not answer as a chain; check CHAIN_RPC_URL. It is asked again on the next pass."
    )
