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
    """What the contract holds of our log at one block; root is 64 hex characters, zeros at size 0.

    `shard` is the one that grows, from 1; 0 where the contract did not stand yet at that block.
    """

    size: int
    root: str
    block_number: int
    shard: int = 1


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
class ContractEvent:
    """One event of the contract, as it may go into a leaf.

    `arguments` by the names of the contract: addresses checksummed, digests and ids 0x and 64 hex digits,
    every number as decimal text (a stranger may grant 2^64 - 1, which strict JSON does not carry), `allowed`
    a bool, `role` "anchorer" or "recorder". `log_index` counts all events of the block.
    """

    name: str
    arguments: dict[str, str | bool]
    block_number: int
    block_hash: str
    transaction_hash: str
    log_index: int


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
    def anchored_event(self, address: str, *, size: int, shard: int | None = None) -> Inclusion | None:
        """The newest transaction that anchored this size, in that shard if one is named, on the chain as it is now."""

    @abstractmethod
    def events(self, address: str, *, from_block: int, to_block: int) -> list[ContractEvent]:
        """Every event of the contract in these blocks, both included, in the chain's order."""

    @abstractmethod
    def block_number(self) -> int:
        """The newest block's number."""

    @abstractmethod
    def grant(self, address: str, grant_id: str) -> GrantState | None:
        """The grant under this id, or None."""

    @abstractmethod
    def is_voided(self, address: str, *, signer: str, digest: str) -> bool:
        """Whether the signer has withdrawn a statement of this digest."""

    @abstractmethod
    def evidence(
        self, address: str, *, slots: Sequence[str], block_number: int | None = None, block_hash: str = ""
    ) -> dict[str, Any] | None:
        """Offline evidence of what the contract holds in these slots, as `ledger.proofs.chain.read` takes it.

        Of the newest block unless a number or a hash is given. None where the chain offers no proofs
        (FISCO-BCOS has no eth_getProof), which is legal. ChainRefused `HEADER_UNKNOWN` where the header
        cannot be rebuilt, `RPC_ERROR` where the chain no longer has that block's state.
        """

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


def anchor_call(*, old_size: int, new_size: int, root: str, proof: Sequence[bytes], shard: int = 1) -> Call:
    """Move the anchored root on, with the consistency proof between both sizes.

    The first root of a later shard has nothing to be consistent with; it names its shard instead.
    """
    if old_size == 0 and shard > 1:
        return Call("anchor_first", (shard, new_size, bytes.fromhex(root)))
    return Call("anchor", (old_size, new_size, bytes.fromhex(root), list(proof)))


def open_shard_call(*, number: int, log_key_hash: str) -> Call:
    """Freeze the present shard as it stands anchored and begin shard `number`; only the contract's admin may.

    Args:
        log_key_hash: 64 hex characters, SHA-256 of the new shard's vkey text.
    """
    return Call("open_shard", (number, bytes.fromhex(log_key_hash)))


def log_key_call(*, log_key_hash: str) -> Call:
    """Show a change of the log's key within a shard on chain; only the contract's admin may."""
    return Call("set_log_key", (bytes.fromhex(log_key_hash),))


def record_call(kind: str, payload: Mapping[str, Any]) -> Call:
    """The call for a direct record that anyone may carry; payloads as in `ledger.actions.chain_records`, and

    - void: `signer`, `digest` (64 hex), `signature`
    - meter_batch: `totals`, a list of [grant id, used]; all of them or none, at most 250
    """
    if kind == "grant":
        return Call(
            "grant_by_signature", (payload["grantor"], *_grant_terms(payload), bytes.fromhex(payload["signature"][2:]))
        )
    if kind == "void":
        signature = bytes.fromhex(payload["signature"][2:])
        return Call("void_by_signature", (payload["signer"], bytes.fromhex(payload["digest"]), signature))
    if kind == "meter_batch":
        ids = [bytes.fromhex(grant_id[2:]) for grant_id, _ in payload["totals"]]
        return Call("meter_batch", (ids, [used for _, used in payload["totals"]]))
    grant_id = bytes.fromhex(payload["grant_id"][2:])
    if kind == "revoke":
        return Call("revoke_by_signature", (grant_id, bytes.fromhex(payload["signature"][2:])))
    if kind == "meter":
        return Call("meter", (grant_id, payload["used"]))
    raise ValueError(f"no chain record of kind {kind!r}")


def own_call(kind: str, payload: Mapping[str, Any]) -> Call:
    """The call by which a provider's own account grants, revokes or voids: the sender stands for the signature.

    For chains that cannot recover an EIP-712 signer. Payloads are those of `record_call` without grantor,
    signer and signature.
    """
    if kind == "grant":
        return Call("grant", _grant_terms(payload))
    if kind == "revoke":
        return Call("revoke", (bytes.fromhex(payload["grant_id"][2:]),))
    if kind == "void":
        return Call("void", (bytes.fromhex(payload["digest"]),))
    raise ValueError(f"no own call of kind {kind!r}")


def _grant_terms(payload: Mapping[str, Any]) -> tuple[Any, ...]:
    terms = bytes.fromhex(payload["terms_digest"])
    return terms, payload["not_before"], payload["not_after"], payload["cap"]
