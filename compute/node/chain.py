"""The node's own look at the chain: grants, revocations, and that the contract is there at all.

Plain JSON-RPC over the standard library, to an endpoint of the owner's choosing. Every question goes to
the chain; only when it is silent does an answer of the last 60 seconds stand in, and without one the node
does not run.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from Crypto.Hash import keccak

from compute.protocol.codes import Refused
from exchange.kernel.errors import DomainError

MAX_AGE_SECONDS = 60.0
TIMEOUT_SECONDS = 3.0
_SILENCE_SECONDS = 10.0  # after a silence, young answers serve at once: a run must not wait for each time-out
_MAX_ANSWER_BYTES = 1_000_000

T = TypeVar("T")


class ChainUnreachable(DomainError):
    """The chain gave no usable answer and the last one is older than a minute."""

    code = "CHAIN_UNREACHABLE"
    status = 503


class ChainWrong(DomainError):
    """The endpoint shows another chain than the one pinned, or no contract at the pinned address."""

    code = "CHAIN_WRONG"


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as the contract holds it; times are Unix seconds, `revoked_at` a block number or 0."""

    grantor: str
    terms_digest: str
    not_before: int
    not_after: int
    cap: int
    used: int
    revoked_at: int


class ChainReader:
    """Reads one contract on one chain.

    Args:
        url: JSON-RPC endpoint, http or https.
        chain_id, contract_address: as pinned in the node's configuration.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        chain_id: int,
        contract_address: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("the chain's endpoint must be an http or https address")
        self._url = url
        self._chain_id = chain_id
        self._contract = contract_address
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._cache: dict[str, tuple[float, Any]] = {}
        self._silent_until = float("-inf")
        # No proxy from the environment stands between the node and the chain it has chosen.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def check_contract(self) -> None:
        """Check that this is the pinned chain and that code stands at the pinned address.

        Raises:
            ChainUnreachable, ChainWrong.
        """
        chain_id, code = self._kept("contract", self._read_contract)
        if chain_id != self._chain_id:
            raise ChainWrong("The endpoint belongs to another chain; correct [chain] in the node's config.toml.")
        if not code:
            raise ChainWrong("No ledger contract at the pinned address; ask the exchange for its trust policy again.")

    def grant(self, *, grantor: str, terms_digest: str) -> Grant | None:
        """The provider's grant for these terms, or None.

        Raises:
            ChainUnreachable.
        """
        return self._kept(f"grant {grantor} {terms_digest}", lambda: self._read_grant(grantor, terms_digest))

    def is_voided(self, *, signer: str, digest: str) -> bool:
        """Whether the signer has withdrawn the statement with this digest.

        Raises:
            ChainUnreachable.
        """
        return self._kept(f"void {signer} {digest}", lambda: self._read_voided(signer, digest))

    def check(self, *, grantor: str, terms_digest: str, now: datetime, is_counted: bool = False) -> None:
        """Check that this provider allows use under these terms now.

        Args:
            is_counted: the total may include this very run already, as it does for costly operations; the
                last run then finds it at the cap. The node's own meter is the limit either way.
        Raises:
            Refused: `GRANT_MISSING` no such grant; `CONTRACT_REVOKED` ended, or the terms withdrawn;
                `GRANT_EXPIRED` outside its window or used up; `CHAIN_UNAVAILABLE` no answer younger
                than a minute, or another chain than the pinned one.
        """
        try:
            self.check_contract()
            found = self.grant(grantor=grantor, terms_digest=terms_digest)
            voided = self.is_voided(signer=grantor, digest=terms_digest)
        except (ChainUnreachable, ChainWrong) as error:
            raise Refused("CHAIN_UNAVAILABLE") from error
        if voided or (found is not None and found.revoked_at):
            raise Refused("CONTRACT_REVOKED")
        if found is None:
            raise Refused("GRANT_MISSING")
        if not found.not_before <= now.timestamp() <= found.not_after or found.used + (not is_counted) > found.cap:
            raise Refused("GRANT_EXPIRED")

    def forget(self) -> None:
        """Drop what was kept, so that only the chain itself can answer the next question."""
        self._cache.clear()
        self._silent_until = float("-inf")

    def _kept(self, name: str, read: Callable[[], T]) -> T:
        """A fresh answer; while the chain is silent the kept one if it is young. An old answer is never used."""
        now = self._clock()
        kept_at, kept = self._cache.get(name, (float("-inf"), None))
        is_young = now - kept_at < MAX_AGE_SECONDS
        if is_young and now < self._silent_until:
            return cast(T, kept)
        try:
            answer = read()
        except ChainUnreachable:
            # The time-out counts, too: what is let through was seen less than a minute ago.
            moment = self._clock()
            if moment - kept_at >= MAX_AGE_SECONDS:
                raise
            self._silent_until = moment + _SILENCE_SECONDS
            return cast(T, kept)
        self._cache[name] = (now, answer)
        return answer

    def _read_contract(self) -> tuple[int, bool]:
        chain_id = _integer(self._call("eth_chainId", []))
        code = self._call("eth_getCode", [self._contract, "latest"])
        return chain_id, isinstance(code, str) and len(code) > 2

    def _read_grant(self, grantor: str, terms_digest: str) -> Grant | None:
        words = self._read("grants(bytes32)", grant_id(grantor, terms_digest), words=7)
        if int.from_bytes(words[0], "big") == 0:
            return None
        numbers = [int.from_bytes(word, "big") for word in words[2:]]
        return Grant("0x" + words[0][12:].hex(), words[1].hex(), *numbers)

    def _read_voided(self, signer: str, digest: str) -> bool:
        arguments = _address_word(signer) + bytes.fromhex(digest)
        return any(self._read("voided(address,bytes32)", arguments, words=1)[0])

    def _read(self, signature: str, arguments: bytes, *, words: int) -> list[bytes]:
        data = "0x" + (_keccak(signature.encode())[:4] + arguments).hex()
        answer = self._call("eth_call", [{"to": self._contract, "data": data}, "latest"])
        try:
            raw = bytes.fromhex(answer[2:])
        except (TypeError, ValueError):
            raw = b""
        if len(raw) != 32 * words:
            raise _silent()
        return [raw[start : start + 32] for start in range(0, len(raw), 32)]

    def _call(self, method: str, parameters: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked when the reader was made
            self._url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with self._open(request, timeout=self._timeout_seconds) as response:
                answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        except (OSError, ValueError, RecursionError, urllib.error.URLError) as error:
            raise _silent() from error
        if not isinstance(answer, dict) or "result" not in answer:
            raise _silent()
        return answer["result"]


def grant_id(grantor: str, terms_digest: str) -> bytes:
    """keccak256(abi.encode(grantor, termsDigest)): the name a grant has on the chain."""
    return _keccak(_address_word(grantor) + bytes.fromhex(terms_digest))


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def _keccak(data: bytes) -> bytes:
    return bytes(keccak.new(digest_bits=256, data=data).digest())


def _integer(text: Any) -> int:
    try:
        return int(text, 16)
    except (TypeError, ValueError):
        raise _silent() from None


def _silent() -> ChainUnreachable:
    return ChainUnreachable(
        "The chain endpoint gives no usable answer; check [chain] rpc_url in the node's config.toml."
    )
