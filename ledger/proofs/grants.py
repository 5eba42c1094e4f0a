"""What a provider signs for the chain: grants, their revocation, and the id a grant stands under.

Pure. The words are those of `ledger/chain/ExchangeLedger.vy`; `tests/unit/ledger/test_chain_grants.py`
holds both to the same digests.
"""

from collections.abc import Mapping
from typing import Any

import coincurve

from ledger.proofs import typed_data
from ledger.proofs.typed_data import Types

GRANT_TYPES: Types = {
    "Grant": (
        ("grantor", "address"),
        ("termsDigest", "bytes32"),
        ("notBefore", "uint64"),
        ("notAfter", "uint64"),
        ("cap", "uint64"),
    )
}
REVOKE_TYPES: Types = {"Revoke": (("id", "bytes32"),)}
VOID_TYPES: Types = {"Void": (("signer", "address"), ("digest", "bytes32"))}


def domain(*, chain_id: int, contract_address: str) -> dict[str, Any]:
    """The EIP-712 domain of one ledger contract on one chain."""
    return {
        "name": "HengshuExchangeLedger",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": typed_data.checksum_address(contract_address),
    }


def grant_id(*, grantor: str, terms_digest: str) -> str:
    """keccak256(abi.encode(grantor, termsDigest)) as 0x text.

    Args:
        terms_digest: 64 hex characters, with or without 0x.
    """
    address = typed_data.to_bytes(grantor).rjust(32, b"\0")
    return "0x" + typed_data.keccak256(address + _bytes32(terms_digest)).hex()


def grant_digest(
    *,
    chain_id: int,
    contract_address: str,
    grantor: str,
    terms_digest: str,
    not_before: int,
    not_after: int,
    cap: int,
) -> bytes:
    """What a grantor signs for `grant_by_signature`; times are Unix seconds, cap is in the meter's unit."""
    message = {
        "grantor": grantor,
        "termsDigest": _bytes32(terms_digest),
        "notBefore": not_before,
        "notAfter": not_after,
        "cap": cap,
    }
    return typed_data.digest(
        domain(chain_id=chain_id, contract_address=contract_address), GRANT_TYPES, "Grant", message
    )


def revoke_digest(*, chain_id: int, contract_address: str, grant: str) -> bytes:
    """What a grantor signs for `revoke_by_signature`; `grant` is the grant's id."""
    place = domain(chain_id=chain_id, contract_address=contract_address)
    return typed_data.digest(place, REVOKE_TYPES, "Revoke", {"id": _bytes32(grant)})


def void_digest(*, chain_id: int, contract_address: str, signer: str, statement_digest: str) -> bytes:
    """What a signer signs for `void_by_signature`: withdraw one statement that only stood in the log."""
    place = domain(chain_id=chain_id, contract_address=contract_address)
    return typed_data.digest(place, VOID_TYPES, "Void", {"signer": signer, "digest": _bytes32(statement_digest)})


def sign_grant(
    *,
    key: coincurve.PrivateKey,
    chain_id: int,
    contract_address: str,
    terms_digest: str,
    not_before: int,
    not_after: int,
    cap: int,
) -> dict[str, Any]:
    """A signed grant as the exchange takes it: every field of the message, the place, and the signature."""
    grantor = typed_data.checksum_address(typed_data.keccak256(key.public_key.format(compressed=False)[1:])[-20:])
    fields: dict[str, Any] = {
        "chain_id": chain_id,
        "contract_address": typed_data.checksum_address(contract_address),
        "grantor": grantor,
        "terms_digest": _bytes32(terms_digest).hex(),
        "not_before": not_before,
        "not_after": not_after,
        "cap": cap,
    }
    return {**fields, "signature": typed_data.sign(grant_digest(**fields), key=key)}


def sign_void(
    *, key: coincurve.PrivateKey, chain_id: int, contract_address: str, statement_digest: str
) -> dict[str, str]:
    """A signed void as the exchange takes it: signer, digest (64 hex characters) and signature."""
    signer = typed_data.checksum_address(typed_data.keccak256(key.public_key.format(compressed=False)[1:])[-20:])
    digest = void_digest(
        chain_id=chain_id, contract_address=contract_address, signer=signer, statement_digest=statement_digest
    )
    return {
        "signer": signer,
        "digest": _bytes32(statement_digest).hex(),
        "signature": typed_data.sign(digest, key=key),
    }


def verify_grant(grant: Mapping[str, Any], *, grantor: str) -> None:
    """Check a signed grant (the fields of `sign_grant`) against the address that must have made it.

    Raises:
        VerificationError: `SIGNATURE_INVALID` or `TYPED_DATA_INVALID`.
    """
    fields = {name: grant[name] for name in _GRANT_FIELDS}
    typed_data.verify(grant_digest(**{**fields, "grantor": grantor}), grant["signature"], signer=grantor)


_GRANT_FIELDS = ("chain_id", "contract_address", "grantor", "terms_digest", "not_before", "not_after", "cap")


def _bytes32(text: str) -> bytes:
    return typed_data.to_bytes(text if text.startswith("0x") else "0x" + text)
