"""The exchange's REST API over the standard library: tokens, idempotency keys, problem documents."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from exchange.client.errors import EXIT_LOGIN, EXIT_REFUSED, EXIT_SERVER, EXIT_UNREACHABLE, ClientError

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_ATTEMPTS = 4


class Api:
    """One member's conversation with one exchange.

    Args:
        url: the exchange's address, such as https://exchange.example; no path.
        token: the member token, empty for public pages.
        language: `zh` or `en`, the language of the exchange's sentences.
    """

    def __init__(self, url: str, *, token: str = "", language: str = "en") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(
                "URL_INVALID",
                "The exchange's address looks like https://exchange.example; give it with --url.",
                zh="交易所地址形如 https://exchange.example；请用 --url 指定。",
            )
        self._parts = parts
        self._token = token
        self._language = "zh-Hans" if language == "zh" else "en"

    def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        """GET below /api/v1/; the parsed JSON."""
        suffix = f"?{urlencode(query)}" if query else ""
        return _parsed(self._exchange("GET", f"/api/v1/{path}{suffix}", None, {}))

    def get_bytes(self, path: str) -> bytes:
        """GET of any path of the exchange, byte for byte."""
        return self._exchange("GET", path, None, {})

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Any:
        """POST below /api/v1/ with an Idempotency-Key; sent again with the same key when the line drops.

        Args:
            key: the business key where there is one, so that a repeated command is one request.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": key or secrets.token_hex(16)}
        data = json.dumps(body, ensure_ascii=False).encode()
        return _parsed(self._exchange("POST", f"/api/v1/{path}", data, headers))

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        sent = {"Accept": "application/json", "Accept-Language": self._language, **headers}
        if self._token:
            sent["Authorization"] = f"Token {self._token}"
        for attempt in range(_ATTEMPTS):
            try:
                status, answer = self._once(method, path, body, sent)
            except (OSError, http.client.HTTPException) as error:
                if attempt + 1 == _ATTEMPTS:
                    raise ClientError(
                        "EXCHANGE_UNREACHABLE",
                        f"No answer from {self._parts.geturl()}; check the address and the network, then try again.",
                        zh=f"{self._parts.geturl()} 没有应答；请检查地址和网络后重试。",
                        exit_code=EXIT_UNREACHABLE,
                    ) from error
                time.sleep(0.2 * 2**attempt)
                continue
            if status < 400:
                return answer
            problem = _problem(status, answer)
            if problem.code != "IDEMPOTENCY_IN_FLIGHT" or attempt + 1 == _ATTEMPTS:
                raise problem
            time.sleep(0.5 * 2**attempt)  # our own first try is still being answered
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        host, port = self._parts.hostname or "", self._parts.port
        connection: http.client.HTTPConnection
        if self._parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES + 1)
        finally:
            connection.close()
        if len(answer) > MAX_ANSWER_BYTES:
            raise ClientError("ANSWER_TOO_LARGE", "The answer is larger than any the exchange gives.", zh="应答过大。")
        return response.status, answer


def _parsed(answer: bytes) -> Any:
    if not answer:
        return None
    try:
        return json.loads(answer)
    except ValueError:
        raise ClientError(
            "ANSWER_INVALID",
            "The answer is not JSON; this may not be a Hengshu exchange. Check --url.",
            zh="应答不是 JSON，对方可能不是衡数交易所；请检查 --url。",
            exit_code=EXIT_SERVER,
        ) from None


def _problem(status: int, answer: bytes) -> ClientError:
    """An RFC 9457 problem document as an error; anything else as what its status says."""
    try:
        problem = json.loads(answer)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    code = str(problem.get("code") or f"HTTP_{status}")
    sentence = str(problem.get("detail") or problem.get("title") or http.client.responses.get(status, "refused"))
    fields = problem.get("errors") or problem.get("fields")
    if isinstance(fields, dict) and fields:
        sentence += " (" + "; ".join(f"{name}: {value}" for name, value in fields.items()) + ")"
    if status == 401:
        return ClientError(
            code,
            f"{sentence} Run: hengshu login",
            zh=f"{sentence} 请运行：hengshu login",
            exit_code=EXIT_LOGIN,
        )
    return ClientError(code, sentence, exit_code=EXIT_SERVER if status >= 500 else EXIT_REFUSED)
