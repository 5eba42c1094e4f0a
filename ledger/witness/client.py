"""How a log asks a witness, and how anybody reads what a witness holds.

Plain HTTP or HTTPS to the configured address: no redirect is followed, no proxy is taken from the
environment, an answer has a size and an end. What comes back is believed only by its signatures.

Source: C2SP tlog-witness, https://c2sp.org/tlog-witness.
"""

import contextlib
import hashlib
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ledger.proofs import canonical, checkpoints, cosignatures, notes
from ledger.proofs.errors import VerificationError
from ledger.witness import rules
from ledger.witness.errors import WitnessAhead, WitnessRefused, WitnessUnavailable
from ledger.witness.views import Contradiction, Finding, compare

__all__ = ["Contradiction", "Cosigned", "Finding", "WitnessClient", "compare"]

MAX_ANSWER_BYTES = 128 * 1024  # a note as large as a witness takes, and cosignatures of several keys
DEFAULT_TIMEOUT_SECONDS = 5.0
_MAX_ROUNDS = 3  # asked with the size we remember, told the right one, and once more if another was faster

Prove = Callable[[int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A witness's answer, checked.

    Args:
        lines: its signature lines by known keys, without newlines, to be kept with the checkpoint.
        at: POSIX time in seconds that the (latest) cosignature states.
    """

    lines: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    content_type: str
    body: bytes


class WitnessClient:
    """One witness.

    Args:
        url: its submission prefix, http or https; the monitoring prefix unless told otherwise.
        vkeys: the keys known for it; cosignatures by other keys are left out.
        timeout_seconds: for a whole exchange, from connecting to the last byte.
    Raises:
        ValueError: not an http or https address, or one with a user, a query or a fragment.
        VerificationError: `KEY_INVALID`, a vkey is not a witness's.
    """

    def __init__(
        self,
        url: str,
        *,
        vkeys: Collection[str],
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        monitoring_url: str = "",
    ) -> None:
        self.vkeys = tuple(vkeys)
        self.timeout_seconds = timeout_seconds
        self._known = {(key.name, key.key_id) for key in map(cosignatures.parse_vkey, self.vkeys)}
        self._submission = _Address(url)
        self._monitoring = _Address(monitoring_url or url)

    def cosign(self, note: str, *, known_size: int, prove: Prove) -> Cosigned:
        """Get a checkpoint cosigned, wherever the witness stands.

        Repeat-safe: a checkpoint that the witness cosigned already is cosigned again.

        Args:
            note: the log's signed checkpoint.
            known_size: the size that this witness cosigned last as far as the log remembers; 0 when unknown.
            prove: gives the consistency proof between two sizes of the log, 0 < old < new.
        Raises:
            WitnessUnavailable: no answer, or one that is not an answer.
            WitnessAhead: it has cosigned a larger tree than this one: look into it before anything is signed.
            WitnessRefused: it does not know the log (404) or its key (403), or does not take the proof (422).
        """
        size = checkpoints.parse(note).size
        old_size = min(known_size, size)
        for _ in range(_MAX_ROUNDS):
            proof = prove(old_size, size) if 0 < old_size < size else ()
            answer = self.add_checkpoint(old_size=old_size, proof=proof, note=note)
            if isinstance(answer, Cosigned):
                return answer
            if answer > size:
                raise WitnessAhead(
                    f"The witness has cosigned {answer} entries, the checkpoint has {size}; compare both first.",
                    zh=f"见证方已见证 {answer} 条，而此检查点只有 {size} 条；请先比对两者。",
                    witness_size=answer,
                )
            if answer == old_size:
                break
            old_size = answer
        raise WitnessUnavailable(
            "The witness names another size each time; ask again later.", zh="见证方每次给出的大小都不同；请稍后再试。"
        )

    def add_checkpoint(self, *, old_size: int, proof: Sequence[bytes], note: str) -> Cosigned | int:
        """Send one add-checkpoint request.

        Returns:
            the cosignatures, or the size that the witness cosigned last where it is not `old_size`.
        Raises:
            WitnessUnavailable, WitnessRefused: as `cosign`.
        """
        body = rules.format_body(old_size=old_size, proof=proof, note=note)
        answer = self._submission.ask("POST", "/add-checkpoint", body=body, seconds=self.timeout_seconds)
        if answer.status == 200:
            return self._cosigned(answer.body, note=note)
        if answer.status == 409 and answer.content_type.partition(";")[0].strip() == rules.SIZE_TYPE:
            found = re.fullmatch(rb"(0|[1-9]\d{0,18})\n", answer.body)
            if found is not None:
                return int(found[1])
        elif answer.status in _REFUSALS:
            en, zh = _REFUSALS[answer.status]
            raise WitnessRefused(en, zh=zh, http_status=answer.status)
        raise _not_an_answer(answer.status)

    def checkpoint(self, origin: str) -> str | None:
        """The last checkpoint this witness cosigned for a log, with its cosignature checked; None before any.

        The log's own signature is for the caller to check: `compare` does.
        """
        digest = hashlib.sha256(origin.encode()).hexdigest()
        answer = self._monitoring.ask("GET", f"/{digest}/checkpoint", body=None, seconds=self.timeout_seconds)
        if answer.status == 404:
            return None
        try:
            note = answer.body.decode()
            holds = cosignatures.verify(note, keys=self.vkeys)
            right = checkpoints.parse(note).origin == origin
        except (UnicodeDecodeError, VerificationError):
            raise _not_an_answer(answer.status) from None
        if answer.status != 200 or not holds or not right:
            raise _not_an_answer(answer.status)
        return note

    def status(self) -> dict[str, Any]:
        """What a witness of this project says of itself: name, keys, latest sizes. Nobody signed it.

        Raises:
            WitnessUnavailable: no answer, or another program's.
        """
        answer = self._monitoring.ask("GET", "/status", body=None, seconds=self.timeout_seconds)
        try:
            canonical.check_depth(answer.body)  # a library may have raised the recursion limit beyond the stack
            found = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError, VerificationError):
            found = None
        if not isinstance(found, dict) or found.get("type") != rules.STATUS_TYPE:
            raise _not_an_answer(answer.status)
        return found

    def _cosigned(self, body: bytes, *, note: str) -> Cosigned:
        try:
            parsed = [notes.parse_line(line) for line in body.decode().removesuffix("\n").split("\n")]
            lines = [notes.format_line(line) for line in parsed if (line.name, line.key_id) in self._known]
            # Our text with its lines alone: what the note carries already must not speak for the answer.
            alone = "\n".join([notes.parse(note).text, *lines, ""])
            found = cosignatures.verify(alone, keys=self.vkeys) if lines else []
        except (UnicodeDecodeError, VerificationError):
            raise _not_an_answer(200) from None
        if not found or min(one.at for one in found) < 1:
            raise _not_an_answer(200)
        return Cosigned(tuple(lines), max(one.at for one in found))


class _Address:
    """Where a witness is; one connection for each request."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise ValueError("a witness's address is http://host[:port][/prefix], or https")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")

    def ask(self, method: str, path: str, *, body: bytes | None, seconds: float) -> _Response:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)
        # A socket's own time-out starts anew with every byte; the clock above it does not.
        clock = threading.Timer(seconds, _cut, (connection,))
        clock.daemon = True
        clock.start()
        try:
            headers = {"Content-Type": rules.TEXT_TYPE} if body is not None else {}
            connection.request(method, self._prefix + path, body=body, headers=headers)
            response = connection.getresponse()
            data = response.read(MAX_ANSWER_BYTES + 1)
            if len(data) > MAX_ANSWER_BYTES or not _is_whole(response):
                raise _not_an_answer(response.status)
            return _Response(response.status, response.headers.get("Content-Type", ""), data)
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            # AttributeError: the clock took the socket away between two steps of http.client.
            raise WitnessUnavailable(
                "The witness did not answer in time; ask again later.", zh="见证方未及时应答；请稍后再试。"
            ) from None
        finally:
            clock.cancel()
            connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _is_whole(response: http.client.HTTPResponse) -> bool:
    """A body that was cut short is not one: without a length, only its own end would tell."""
    return response.length in (None, 0)


def _not_an_answer(status: int) -> WitnessUnavailable:
    return WitnessUnavailable(
        f"The witness's answer (status {status}) cannot be used; ask again later.",
        zh=f"见证方的应答（状态 {status}）无法使用；请稍后再试。",
    )


_REFUSALS = {
    400: (
        "The witness does not take the request for one; look for another version of it.",
        "见证方认为请求格式有误；请核对其版本。",
    ),
    403: (
        "The witness does not know the key that signed; give its operator the log's present key.",
        "见证方不认识签名密钥；请把日志的现用公钥交给其运营者。",
    ),
    404: (
        "The witness does not know this log; give its operator the log's origin and key.",
        "见证方不认识此日志；请把日志名称与公钥交给其运营者。",
    ),
    409: (
        "The witness holds another root for this size; keep both checkpoints and investigate.",
        "见证方在同一大小持有另一个根；请保留两份检查点并调查。",
    ),
    422: (
        "The witness does not find that this checkpoint follows from the one it cosigned; compare both.",
        "见证方认为此检查点不承接其已见证方；请比对两者。",
    ),
}
