"""What the chain holds, proven without asking any node: header, account proof, storage proofs.

Evidence is a document: `{"header": "0x…", "account_proof": ["0x…"], "storage": [{"slot", "value",
"proof"}]}`. Hex is in small letters, slots have 64 digits, values are written without leading zeros, so
that the same evidence has one form. The proofs lead from the stored value to the header's state root.
Who vouches for the header is another question: the seals of the policy's validators, or a block hash
that the verifier has from somewhere else. A header that neither vouches for proves nothing by itself;
`Block.is_sealed` and `Block.hash` tell the caller which it is.

Sources: EIP-1186 (`eth_getProof`); Ethereum yellow paper, section 4.1 and appendix D.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.proofs import grants, headers, layout, rlp, trie
from ledger.proofs.errors import VerificationError
from ledger.proofs.headers import Header, header
from ledger.proofs.typed_data import keccak256, to_bytes

__all__ = [
    "Account",
    "Block",
    "ChainPolicy",
    "Header",
    "Held",
    "check_grant",
    "check_grant_in_force",
    "check_not_voided",
    "check_root",
    "header",
    "read",
    "verify_account_proof",
    "verify_storage_proof",
]

MAX_SLOTS = 64
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_SLOT = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


class ChainPolicy(Protocol):
    """What is believed of a chain; `ledger.proofs.policies.Chain` is one."""

    @property
    def contract_address(self) -> str: ...
    @property
    def code_hash(self) -> str | None:
        """Keccak-256 of the contract's code as 0x text; empty or None where any code will do."""

    @property
    def validators(self) -> Sequence[str]:
        """Addresses of those who seal blocks; empty where the chain has no such seals."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account in a block's state; hashes as 0x text, balance in wei."""

    nonce: int
    balance: int
    storage_root: str
    code_hash: str


@dataclass(frozen=True, slots=True)
class Block:
    """The block that evidence speaks of.

    Args:
        timestamp: in the chain's own unit, Unix seconds on Besu, geth and anvil.
        is_sealed: whether two thirds of the policy's validators sealed it. Otherwise `hash` must be
            compared with a source of the verifier's own.
    """

    number: int
    hash: str
    timestamp: int
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Evidence whose every proof has been checked.

    Args:
        values: by slot, 0x text of 32 bytes; 0 is proven unset.
    """

    block: Block
    account: Account
    values: Mapping[str, int]

    def value(self, slot: str) -> int:
        """What the contract holds in a slot; VerificationError `CHAIN_PROOF_INCOMPLETE` if not in the evidence."""
        if slot not in self.values:
            raise VerificationError(
                "CHAIN_PROOF_INCOMPLETE", "the evidence does not speak of this; ask for evidence of the right slots"
            )
        return self.values[slot]


def verify_account_proof(header_rlp: bytes | str, *, address: str, proof: Sequence[bytes | str]) -> Account | None:
    """The account at an address in the header's state; None where the proof shows that there is none.

    Raises:
        VerificationError: `HEADER_INVALID`, `CHAIN_PROOF_INVALID`.
    """
    return _account(header(_bytes(header_rlp)).state_root, address, proof)


def verify_storage_proof(
    header_rlp: bytes | str,
    *,
    address: str,
    account_proof: Sequence[bytes | str],
    slot: int | bytes | str,
    proof: Sequence[bytes | str],
) -> int:
    """What a contract holds in a storage slot in the header's state; 0 is proven unset.

    Raises:
        VerificationError: `HEADER_INVALID`, `CHAIN_PROOF_INVALID`, `CHAIN_CONTRACT_ABSENT`.
    """
    account = verify_account_proof(header_rlp, address=address, proof=account_proof)
    if account is None:
        raise _absent()
    return _storage(account.storage_root, slot, proof)


def read(evidence: Mapping[str, Any], *, chain: ChainPolicy, block_hash: str | None = None) -> Held:
    """Check everything that a piece of evidence claims of the policy's contract.

    Args:
        block_hash: the hash that the block must have, where the verifier knows it; 0x text.
    Raises:
        VerificationError: `CHAIN_PROOF_INVALID`, `HEADER_INVALID`, `BLOCK_DIFFERS`, `SEALS_MISSING`,
            `SEALS_INVALID`, `VALIDATORS_DIFFER`, `CHAIN_CONTRACT_ABSENT`, `CODE_DIFFERS`.
    """
    if not isinstance(evidence, Mapping) or set(evidence) != {"header", "account_proof", "storage"}:
        raise _invalid("evidence has the members header, account_proof and storage")
    header_rlp = _bytes(evidence["header"])
    read_header = (
        headers.check_seals(header_rlp, validators=chain.validators) if chain.validators else header(header_rlp)
    )
    block = Block(read_header.number, read_header.hash, read_header.timestamp, is_sealed=bool(chain.validators))
    if block_hash is not None and block.hash != block_hash.lower():
        raise VerificationError("BLOCK_DIFFERS", "the evidence is of another block than the one asked for")
    account = _account(read_header.state_root, chain.contract_address, _list(evidence["account_proof"]))
    if account is None:
        raise _absent()
    if chain.code_hash and account.code_hash != chain.code_hash.lower():
        raise VerificationError(
            "CODE_DIFFERS", "the contract at the policy's address has other code than the policy says"
        )
    storage = _list(evidence["storage"])
    if len(storage) > MAX_SLOTS:
        raise _invalid(f"more than {MAX_SLOTS} storage slots")
    values: dict[str, int] = {}
    for entry in storage:
        slot, value = _claimed(account, entry)
        if slot in values:
            raise _invalid("a storage slot stands twice")
        values[slot] = value
    return Held(block, account, values)


def check_root(
    evidence: Mapping[str, Any],
    *,
    chain: ChainPolicy,
    shard: int,
    size: int,
    root: str,
    block_hash: str | None = None,
) -> Block:
    """Check that the contract holds this root for this size of this shard; the block that says so.

    Args:
        root: 64 hex digits.
    Raises:
        VerificationError: `CHAIN_ROOT_ABSENT`, nothing anchored at that size; `CHAIN_ROOT_DIFFERS`;
            or what `read` raises.
    """
    held = read(evidence, chain=chain, block_hash=block_hash)
    anchored = held.value(layout.root_in(shard, size))
    if anchored == 0:
        raise VerificationError("CHAIN_ROOT_ABSENT", "the contract holds no root of this size in this block")
    if anchored.to_bytes(32, "big").hex() != root.lower():
        raise VerificationError("CHAIN_ROOT_DIFFERS", "the contract holds another root of this size")
    return held.block


def check_grant_in_force(
    evidence: Mapping[str, Any],
    *,
    chain: ChainPolicy,
    grant_id: str,
    signer: str,
    terms_digest: str,
    block_hash: str | None = None,
) -> Block:
    """Check that a grant stands, is not revoked and its terms are not withdrawn, as of the block returned.

    Whether its window is open is the reader's to judge, not the chain's.

    Raises:
        VerificationError: `GRANT_ABSENT`, `GRANT_REVOKED`, `STATEMENT_VOIDED`, or what `read` raises.
    """
    if grants.grant_id(grantor=signer, terms_digest=terms_digest) != grant_id.lower():
        raise VerificationError("GRANT_ABSENT", "the grant's id is not that of this grantor and these terms")
    held = read(evidence, chain=chain, block_hash=block_hash)
    check_grant(held, signer=signer, terms_digest=terms_digest)
    return held.block


def check_grant(held: Held, *, signer: str, terms_digest: str) -> None:
    """Like `check_grant_in_force`, on evidence that has been read already."""
    grant_id = grants.grant_id(grantor=signer, terms_digest=terms_digest)
    grantor = held.value(layout.grant(grant_id, "grantor"))
    terms = held.value(layout.grant(grant_id, "terms_digest"))
    if grantor == 0:
        raise VerificationError("GRANT_ABSENT", "the contract holds no such grant in this block")
    if grantor != int(signer, 16) or terms != int(terms_digest, 16):
        raise VerificationError("GRANT_ABSENT", "the contract holds another grant under this id")
    if held.value(layout.grant(grant_id, "revoked_at")) != 0:
        raise VerificationError("GRANT_REVOKED", "the grant had been revoked by this block")
    _check_not_voided(held, signer=signer, digest=terms_digest)


def check_not_voided(
    evidence: Mapping[str, Any], *, chain: ChainPolicy, signer: str, digest: str, block_hash: str | None = None
) -> Block:
    """Check that a signer has not withdrawn a statement, as of the block returned.

    Raises:
        VerificationError: `STATEMENT_VOIDED`, or what `read` raises.
    """
    held = read(evidence, chain=chain, block_hash=block_hash)
    _check_not_voided(held, signer=signer, digest=digest)
    return held.block


def _check_not_voided(held: Held, *, signer: str, digest: str) -> None:
    if held.value(layout.voided(signer, digest)) != 0:
        raise VerificationError("STATEMENT_VOIDED", "the signer had withdrawn the statement by this block")


def _claimed(account: Account, entry: Any) -> tuple[str, int]:
    if not isinstance(entry, Mapping) or set(entry) != {"slot", "value", "proof"}:
        raise _invalid("a storage entry has the members slot, value and proof")
    slot, value = entry["slot"], entry["value"]
    if not isinstance(slot, str) or not _SLOT.fullmatch(slot):
        raise _invalid("a slot is written as 0x and 64 small hex digits")
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _invalid("a value is written as 0x and small hex digits without leading zeros")
    held = _storage(account.storage_root, slot, _list(entry["proof"]))
    if held != int(value, 16):
        raise _invalid("a storage proof leads to another value than the one claimed")
    return slot, held


def _account(state_root: str, address: str, proof: Sequence[bytes | str]) -> Account | None:
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise _invalid("an address is written as 0x and 40 hex digits")
    encoded = trie.verify(to_bytes(state_root), keccak256(to_bytes(address)), [_bytes(node) for node in proof])
    if encoded is None:
        return None
    try:
        members = rlp.decode_list(encoded)
        nonce, balance, storage_root, code_hash = members if len(members) == 4 else [b""] * 4
        return Account(
            nonce=rlp.integer(nonce, bits=64),
            balance=rlp.integer(balance),
            storage_root="0x" + rlp.fixed(storage_root, 32).hex(),
            code_hash="0x" + rlp.fixed(code_hash, 32).hex(),
        )
    except VerificationError as error:
        raise _invalid(f"the account in the state cannot be read: {error.message}") from error


def _storage(storage_root: str, slot: int | bytes | str, proof: Sequence[bytes | str]) -> int:
    key = slot.to_bytes(32, "big") if isinstance(slot, int) and 0 <= slot < 1 << 256 else slot
    raw = _bytes(key) if isinstance(key, bytes | str) else b""
    if len(raw) != 32:
        raise _invalid("a storage slot has 32 bytes")
    encoded = trie.verify(to_bytes(storage_root), keccak256(raw), [_bytes(node) for node in proof])
    if encoded is None:
        return 0
    try:
        return rlp.integer(rlp.decode(encoded))  # anvil keeps a written zero as a leaf; other chains remove it
    except VerificationError as error:
        raise _invalid(f"the value in the storage cannot be read: {error.message}") from error


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _invalid("bytes are written as 0x and small hex digits")
    return bytes.fromhex(value[2:])


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _invalid("proofs and storage are lists")
    return list(value)


def _absent() -> VerificationError:
    return VerificationError("CHAIN_CONTRACT_ABSENT", "there is nothing at the contract's address in this block")


def _invalid(message: str) -> VerificationError:
    return VerificationError("CHAIN_PROOF_INVALID", message)
