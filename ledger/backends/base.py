"""What the exchange needs of a chain: read the contract, sign a call, send bytes, see where they landed.

Promises of every backend:
- Reading says what the contract holds now, or `confirmations` blocks ago. It changes nothing.
- `sign` and `sign_deployment` touch no network; the same arguments give the same bytes.
- `send` may be called any number of times with the same bytes: "already known" and "nonce already
  used" are not errors, because the chain, read afterwards, says what is so.
- Every call ends within a few seconds. Silence is `ChainUnreachable`, a revert is `ChainRefused`
  with the contract's own word as `reason`.
- Only public data leaves the machine: digests, addresses, totals, and signatures over them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import coincurve

from exchange.kernel.errors import DomainError

ZERO_ADDRESS = "0x" + "00" * 20


class ChainUnreachable(DomainError):
    """The chain did not answer in time, or answered with something that is not an answer."""

    code = "CHAIN_UNREACHABLE"
    status = 503


class ChainRefused(DomainError):
    """The contract or the chain turned a call down; `reason` is the contract's word, such as CAP_EXCEEDED."""

    code = "CHAIN_REFUSED"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """Which chain this is; a reset development chain keeps its id but not its genesis."""

    chain_id: int
    genesis_hash: str
    is_development: bool


@dataclass(frozen=True, slots=True)
class AnchoredRoot:
    """What the contract holds of our log at one block; root is 64 hex characters, zeros at size 0."""

    size: int
    root: str
    block_number: int


@dataclass(frozen=True, slots=True)
class GrantState:
    """A grant as the contract holds it; times are Unix seconds, `revoked_at` a block number or 0."""

    grantor: str
    terms_digest: str
    not_before: int
    not_after: int
    cap: int
    used: int
    revoked_at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one contract function with plain Python arguments: int, 0x text, bytes, lists."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes that may be sent, and what they are called on the chain; gas price in wei."""

    raw: str
    transaction_hash: str
    nonce: int
    gas_price: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a transaction landed."""

    transaction_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    contract_address: str = ""


class LedgerBackend(ABC):
    """One chain, seen through one endpoint."""

    @abstractmethod
    def identity(self) -> ChainIdentity: ...

    @abstractmethod
    def code_hash(self, address: str) -> str:
        """keccak-256 of the code at an address as 0x text; empty text where there is none."""

    @abstractmethod
    def anchored(self, address: str, *, confirmations: int = 0) -> AnchoredRoot:
        """The contract's size and root `confirmations` blocks below the head, both of one block."""

    @abstractmethod
    def anchored_event(self, address: str, *, size: int) -> Inclusion | None:
        """The transaction that anchored this size, on the chain as it is now."""

    @abstractmethod
    def grant(self, address: str, grant_id: str) -> GrantState | None:
        """The grant under this id, or None."""

    @abstractmethod
    def is_voided(self, address: str, *, signer: str, digest: str) -> bool:
        """Whether the signer has withdrawn a statement of this digest."""

    @abstractmethod
    def nonce(self, account: str) -> int:
        """How many transactions of this account the newest block has seen."""

    @abstractmethod
    def gas_price(self) -> int:
        """A price in wei that the next blocks will take; 0 on chains without fees."""

    @abstractmethod
    def simulate(self, call: Call, *, address: str, sender: str) -> None:
        """Run a call without sending it; ChainRefused tells why it would revert."""

    @abstractmethod
    def sign(
        self, call: Call, *, address: str, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction: ...

    @abstractmethod
    def sign_deployment(
        self, arguments: Sequence[Any], *, chain_id: int, key: coincurve.PrivateKey, nonce: int, gas_price: int
    ) -> SignedTransaction: ...

    @abstractmethod
    def gas_price_of(self, raw: str) -> int:
        """The gas price inside signed bytes, in wei."""

    @abstractmethod
    def send(self, raw: str) -> None: ...

    @abstractmethod
    def inclusion(self, transaction_hash: str) -> Inclusion | None: ...

    @abstractmethod
    def fund(self, account: str) -> None:
        """Give an account development money; does nothing on a chain that is not a development chain."""


def anchor_call(*, old_size: int, new_size: int, root: str, proof: Sequence[bytes]) -> Call:
    """Move the anchored root on, with the consistency proof between both sizes."""
    return Call("anchor", (old_size, new_size, bytes.fromhex(root), list(proof)))


def record_call(kind: str, payload: Mapping[str, Any]) -> Call:
    """The call for a direct record; payloads are described in `ledger.actions.chain_records`."""
    if kind == "grant":
        return Call(
            "grant_by_signature",
            (
                payload["grantor"],
                bytes.fromhex(payload["terms_digest"]),
                payload["not_before"],
                payload["not_after"],
                payload["cap"],
                bytes.fromhex(payload["signature"][2:]),
            ),
        )
    grant_id = bytes.fromhex(payload["grant_id"][2:])
    if kind == "revoke":
        return Call("revoke_by_signature", (grant_id, bytes.fromhex(payload["signature"][2:])))
    if kind == "meter":
        return Call("meter", (grant_id, payload["used"]))
    raise ValueError(f"no chain record of kind {kind!r}")
