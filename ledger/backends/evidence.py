"""Evidence from a chain that offers it: `eth_getProof`, and the header rebuilt from the block's JSON.

Nothing is handed out unchecked: the rebuilt header must have the block's hash, and every proof must
hold against it, so that what is kept today can be verified by somebody else in ten years.
Source: Ethereum execution APIs (`eth_getBlockByNumber`, `eth_getProof`); EIP-1186.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.backends.base import ChainRefused, ChainUnreachable
from ledger.proofs import chain, rlp
from ledger.proofs.errors import VerificationError

Ask = Callable[[str, list[Any]], Any]

# What JSON-RPC servers answer to a method they do not have: the standard's code, Besu's, Hardhat's.
METHOD_MISSING = frozenset({-32601, -32604, -32004})
_BYTES = frozenset(
    {
        "parentHash",
        "sha3Uncles",
        "miner",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "logsBloom",
        "extraData",
        "mixHash",
        "nonce",
        "withdrawalsRoot",
        "parentBeaconBlockRoot",
        "requestsHash",
        "blockAccessListHash",
    }
)
_ALWAYS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
_ADDED = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
)


@dataclass(frozen=True, slots=True)
class _AnyCode:
    """A policy that believes whatever stands at an address; the reader of the evidence has a real one."""

    contract_address: str
    code_hash: str | None = None
    validators: Sequence[str] = ()


def header_rlp(block: Mapping[str, Any]) -> bytes:
    """The encoded header of a block that JSON-RPC describes.

    Raises:
        ChainRefused: reason `HEADER_UNKNOWN`, the fields given do not make up the block's hash.
    """
    try:
        names = list(_ALWAYS)
        for name in _ADDED:
            if block.get(name) is None:
                break
            names.append(name)
        encoded = rlp.encode([_member(name, block[name]) for name in names])
        is_whole = chain.header(encoded).hash == block["hash"]
    except (VerificationError, KeyError, TypeError, ValueError, AttributeError):
        is_whole = False
    if not is_whole:
        raise ChainRefused(
            "The chain's block headers have fields that this exchange does not know, so nothing can be proven from "
            "them offline. Read the chain through another node, or ask for a release that knows them.",
            reason="HEADER_UNKNOWN",
        )
    return encoded


def collect(ask: Ask, address: str, *, slots: Sequence[str], block: str) -> dict[str, Any] | None:
    """Evidence of what a contract holds in these slots; None where the chain has no `eth_getProof`.

    Args:
        ask: calls a JSON-RPC method; LookupError where the chain does not know the method.
        block: `latest`, a number as 0x text, or a block's hash.
    """
    by_hash = len(block) == 66
    try:
        described = ask("eth_getBlockByHash" if by_hash else "eth_getBlockByNumber", [block, False])
        if not isinstance(described, Mapping):
            raise ChainRefused("The chain does not have this block; ask for a later one.", reason="BLOCK_UNKNOWN")
        proof = ask("eth_getProof", [address, list(slots), described.get("number")])
    except LookupError:
        return None
    encoded = header_rlp(described)
    try:
        evidence = {
            "header": "0x" + encoded.hex(),
            "account_proof": [str(node).lower() for node in proof["accountProof"]],
            "storage": [_entry(slot, entry) for slot, entry in zip(slots, proof["storageProof"], strict=True)],
        }
        chain.read(evidence, chain=_AnyCode(address), block_hash=described["hash"])
    except (VerificationError, KeyError, TypeError, ValueError) as error:
        raise ChainUnreachable(
            "The chain's proofs do not hold against its own block; it may have moved between two questions. Ask again."
        ) from error
    return evidence


def _entry(slot: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "slot": slot,
        "value": hex(int(entry["value"], 16)),
        "proof": [str(node).lower() for node in entry["proof"]],
    }


def _member(name: str, value: str) -> bytes | int:
    return bytes.fromhex(value.removeprefix("0x")) if name in _BYTES else int(value, 16)
