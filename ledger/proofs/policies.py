"""Trust policies: whose keys a member believes. Kept by the member, not fetched anew at every check.

`hengshu/trust-policy/v1` is served at `/.well-known/hengshu-policy.json`; a member compares it once, by a
second way, and keeps the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.proofs import canonical, multibase, notes
from ledger.proofs.errors import VerificationError

TYPE = "hengshu/trust-policy/v1"
_MEMBERS = {"type", "exchange_document_key", "log_origin", "log_key", "chain"}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain and the contract in which the log's roots are anchored."""

    chain_id: int
    contract_address: str


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a verifier takes as given.

    Args:
        exchange_document_key: did:key that signs jobs and receipt bundles.
        log_origin: the log's name.
        log_key: vkey string of the log's checkpoints.
        chain: None where the log is not anchored.
    """

    exchange_document_key: str
    log_origin: str
    log_key: str
    chain: Chain | None = None

    def __post_init__(self) -> None:
        multibase.public_key(self.exchange_document_key)
        if notes.parse_vkey(self.log_key).name != self.log_origin:
            raise VerificationError("POLICY_INVALID", "the log key is named otherwise than the log")

    def document(self) -> dict[str, Any]:
        """The policy as it is served and kept."""
        return {
            "type": TYPE,
            "exchange_document_key": self.exchange_document_key,
            "log_origin": self.log_origin,
            "log_key": self.log_key,
            "chain": self.chain and {"chain_id": self.chain.chain_id, "contract_address": self.chain.contract_address},
        }


def parse(document: bytes | Mapping[str, Any]) -> TrustPolicy:
    """Read a trust policy strictly.

    Raises:
        VerificationError: `POLICY_INVALID`, `KEY_INVALID`, or what strict JSON raises.
    """
    value = canonical.parse(document) if isinstance(document, bytes) else document
    if not isinstance(value, Mapping) or set(value) != _MEMBERS or value["type"] != TYPE:
        raise VerificationError("POLICY_INVALID", f"not a document of type {TYPE}")
    if not all(isinstance(value[name], str) for name in ("exchange_document_key", "log_origin", "log_key")):
        raise VerificationError("POLICY_INVALID", "keys and origin are texts")
    return TrustPolicy(
        exchange_document_key=value["exchange_document_key"],
        log_origin=value["log_origin"],
        log_key=value["log_key"],
        chain=_parse_chain(value["chain"]),
    )


def _parse_chain(value: Any) -> Chain | None:
    if value is None:
        return None
    if (
        not isinstance(value, Mapping)
        or set(value) != {"chain_id", "contract_address"}
        or isinstance(value["chain_id"], bool)
        or not isinstance(value["chain_id"], int)
        or not isinstance(value["contract_address"], str)
        or not _ADDRESS.fullmatch(value["contract_address"])
    ):
        raise VerificationError("POLICY_INVALID", "the chain is a chain id and a contract address")
    return Chain(chain_id=value["chain_id"], contract_address=value["contract_address"])
