"""Signed documents: canonical JSON with Data Integrity proofs `eddsa-jcs-2022`.

A document is a JSON object with a `type`. A proof covers every member except `proof`, so several
parties sign the same bytes and their proofs lie side by side (a proof set).

Source: W3C Data Integrity EdDSA Cryptosuites v1.0, section 3.3 (eddsa-jcs-2022).
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import canonical, multibase
from ledger.proofs.errors import VerificationError

CRYPTOSUITE = "eddsa-jcs-2022"
_MEMBERS = {"type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

Document = dict[str, Any]


def unsigned(document: Mapping[str, Any]) -> Document:
    """The document without its proofs: what is signed, and what digests are taken of."""
    return {name: value for name, value in document.items() if name != "proof"}


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical bytes of the unsigned document, 64 hex characters."""
    return canonical.digest(unsigned(document))


def sign(document: Mapping[str, Any], *, key: Ed25519PrivateKey, created: str) -> Document:
    """Return the document with one more proof; signing twice with one key replaces its proof.

    Args:
        created: UTC time with seconds, `2026-11-21T05:30:00Z`.
    """
    if not _TIME.fullmatch(created):
        raise ValueError("created must be UTC with seconds, such as 2026-11-21T05:30:00Z")
    did = multibase.did_key(key.public_key())
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": CRYPTOSUITE,
        "created": created,
        "verificationMethod": f"{did}#{did.removeprefix('did:key:')}",
        "proofPurpose": "assertionMethod",
    }
    body = hashlib.sha256(canonical.encode(unsigned(document))).digest()
    signature = key.sign(_signed_bytes(body, options))
    others = [proof for proof in proofs(document) if signer(proof) != did]
    return {**unsigned(document), "proof": [*others, {**options, "proofValue": multibase.encode(signature)}]}


def proofs(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The proofs of a document, checked for form only."""
    found = document.get("proof", [])
    if not isinstance(found, list) or not all(
        isinstance(proof, dict) and set(proof) == _MEMBERS and all(isinstance(v, str) for v in proof.values())
        for proof in found
    ):
        raise VerificationError("PROOF_INVALID", "`proof` must be a list of DataIntegrityProof objects")
    return found


def signer(proof: Mapping[str, str]) -> str:
    """The did:key that a proof names; VerificationError when it does not name itself consistently."""
    did, _, fragment = proof["verificationMethod"].partition("#")
    if did.removeprefix("did:key:") != fragment:
        raise VerificationError("PROOF_INVALID", "the verification method is not a did:key")
    return did


def verify(document: Mapping[str, Any], *, signers: Collection[str]) -> None:
    """Check that every did:key in `signers` has signed this document.

    Proofs by others must be well formed and valid too: an invalid proof is never ignored.

    Raises:
        VerificationError: `SIGNATURE_MISSING` a signer has no proof; `SIGNATURE_INVALID` a proof
            does not match the bytes; `PROOF_INVALID` a proof is malformed or repeated.
    """
    found = set()
    body = hashlib.sha256(canonical.encode(unsigned(document))).digest()
    for proof in proofs(document):
        if (
            proof["type"] != "DataIntegrityProof"
            or proof["cryptosuite"] != CRYPTOSUITE
            or proof["proofPurpose"] != "assertionMethod"
            or not _TIME.fullmatch(proof["created"])
        ):
            raise VerificationError("PROOF_INVALID", f"only {CRYPTOSUITE} assertion proofs are accepted")
        did = signer(proof)
        if did in found:
            raise VerificationError("PROOF_INVALID", "the same key has signed twice")
        options = {name: value for name, value in proof.items() if name != "proofValue"}
        signature = multibase.decode(proof["proofValue"])
        if multibase.encode(signature) != proof["proofValue"]:
            raise VerificationError("PROOF_INVALID", "the proof value is not in its only form")
        try:
            multibase.public_key(did).verify(signature, _signed_bytes(body, options))
        except InvalidSignature:
            raise VerificationError("SIGNATURE_INVALID", "a signature does not match the document") from None
        found.add(did)
    if not signers:
        raise VerificationError("SIGNATURE_MISSING", "no signer was asked for")
    if set(signers) - found:
        raise VerificationError("SIGNATURE_MISSING", "a required party has not signed the document")


def expect_type(document: Any, kind: str) -> None:
    """Check that a parsed value is an object of the given type and version; fail closed otherwise."""
    if not isinstance(document, dict) or document.get("type") != kind:
        raise VerificationError("TYPE_UNKNOWN", f"expected a document of type {kind}")


def _signed_bytes(body: bytes, options: Mapping[str, str]) -> bytes:
    return hashlib.sha256(canonical.encode(dict(options))).digest() + body
