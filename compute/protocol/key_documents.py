"""How keys change hands and end: rotations signed by old and new, revocations signed by who may withdraw.

`hengshu/key-rotation/v1` names every key that changes, with old and new value, and carries the new key card.
Ed25519 keys (`document`, `log`, `witness`) sign it as a proof set, old and new; a chain key (`chain`) signs the
same facts as EIP-712, old and new; a sealing key (`sealing`, X25519) cannot sign, so the document keys vouch.

`hengshu/key-revocation/v1` names the keys that are withdrawn, why, and by whose key: one of those withdrawn,
another key of the same organisation, or the exchange's.

Pure: who an organisation is and which keys are in force is for the caller to know.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import coincurve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from compute.protocol import documents, shapes
from compute.protocol.keyfiles import KeyFile
from compute.protocol.keyfiles import chain_address as address_of
from compute.protocol.shapes import refuse
from ledger.proofs import cosignatures, multibase, notes, statements, typed_data
from ledger.proofs.errors import VerificationError

Document = dict[str, Any]

ROTATION = "hengshu/key-rotation/v1"
REVOCATION = "hengshu/key-revocation/v1"
MAX_KEYS = 8


class Purpose(StrEnum):
    """What a key is for."""

    DOCUMENT = "document"
    CHAIN = "chain"
    SEALING = "sealing"
    LOG = "log"
    WITNESS = "witness"


class Reason(StrEnum):
    """Why a key is withdrawn."""

    COMPROMISED = "compromised"  # somebody else may have it
    LOST = "lost"
    CEASED = "ceased"  # its owner has left or has no use for it


_CARD = {
    Purpose.DOCUMENT: "document_key",
    Purpose.CHAIN: "chain_address",
    Purpose.SEALING: "sealing_key",
}
_DOMAIN = {"name": "HengshuKeys", "version": "1"}
_ROTATION_TYPES: typed_data.Types = {
    "KeyRotation": (("organization", "string"), ("old", "address"), ("new", "address"), ("nonce", "string")),
}
_REVOCATION_TYPES: typed_data.Types = {
    "KeyRevocation": (("organization", "string"), ("keys", "string[]"), ("reason", "string"), ("nonce", "string")),
}
_SIGNATURE = shapes.pattern(r"0x[0-9a-f]{130}", "a 65-byte signature as 0x and lower-case hex")
_KEY_TEXT = shapes.text(1, 2500)
_ROTATION_SHAPE = shapes.members(
    {
        "organization": shapes.pattern(r"urn:hengshu:(org|witness):[0-9A-HJKMNP-TV-Z]{26}", "an organisation"),
        "keys": shapes.list_of(
            shapes.members(
                {
                    "purpose": shapes.choice(*Purpose),
                    "old": _KEY_TEXT,
                    "new": _KEY_TEXT,
                    "signatures": shapes.optional(shapes.members({"old": _SIGNATURE, "new": _SIGNATURE})),
                }
            ),
            low=1,
            high=MAX_KEYS,
        ),
        "card": shapes.optional(shapes.anything),
        "created": shapes.time,
        "nonce": shapes.HEX32,
    }
)
_REVOCATION_SHAPE = shapes.members(
    {
        "organization": shapes.pattern(r"urn:hengshu:(org|witness):[0-9A-HJKMNP-TV-Z]{26}", "an organisation"),
        "keys": shapes.list_of(
            shapes.members({"purpose": shapes.choice(*Purpose), "key": _KEY_TEXT}), low=1, high=MAX_KEYS, distinct=True
        ),
        "reason": shapes.choice(*Reason),
        "revoked_by": _KEY_TEXT,
        "signature": shapes.optional(_SIGNATURE),
        "created": shapes.time,
        "nonce": shapes.HEX32,
    }
)


def key_digest(key_text: str) -> str:
    """SHA-256 of a key's text, 64 hex characters: the name under which a key is voided on chain.

    A chain address counts in lower case, so that both its spellings are one key.
    """
    text = key_text.lower() if key_text.startswith("0x") else key_text
    return hashlib.sha256(text.encode()).hexdigest()


# --- rotation -----------------------------------------------------------------------------------------------


def rotate(*, organization: str, old: KeyFile, new: KeyFile, created: datetime, nonce: str | None = None) -> Document:
    """The signed rotation from one key file to another; keys that both files share are left out.

    Raises:
        DocumentInvalid: nothing changes.
    """
    at, nonce = shapes.write_time(created), nonce or secrets.token_hex(16)
    pairs = (
        (Purpose.DOCUMENT, old.document_key, new.document_key),
        (Purpose.CHAIN, old.chain_address, new.chain_address),
        (Purpose.SEALING, old.sealing_key, new.sealing_key),
    )
    keys = [_pair(purpose, before, after) for purpose, before, after in pairs if before != after]
    for item in keys:
        if item["purpose"] == Purpose.CHAIN:
            digest = _rotation_digest(organization, item, nonce=nonce)
            item["signatures"] = {
                "old": typed_data.sign(digest, key=old.chain),
                "new": typed_data.sign(digest, key=new.chain),
            }
    document = {
        "type": ROTATION,
        "organization": organization,
        "keys": keys,
        "card": new.card(created=at),
        "created": at,
        "nonce": nonce,
    }
    signed = statements.sign(document, key=old.document, created=at)
    if old.document_key != new.document_key:
        signed = statements.sign(signed, key=new.document, created=at)
    verify_rotation(signed)
    return signed


def rotate_ed25519(
    *,
    purpose: Purpose,
    organization: str,
    old: tuple[str, Ed25519PrivateKey],
    new: tuple[str, Ed25519PrivateKey],
    created: datetime,
    nonce: str | None = None,
) -> Document:
    """The signed rotation of a log's or a witness's key; each key as its vkey and its private half."""
    at = shapes.write_time(created)
    document = {
        "type": ROTATION,
        "organization": organization,
        "keys": [_pair(purpose, old[0], new[0])],
        "card": None,
        "created": at,
        "nonce": nonce or secrets.token_hex(16),
    }
    signed = statements.sign(statements.sign(document, key=old[1], created=at), key=new[1], created=at)
    verify_rotation(signed)
    return signed


def verify_rotation(document: Any) -> None:
    """Check a rotation in itself: its form, and that every key that can sign has signed, old and new.

    That the old keys are in force, and whose they are, is the caller's question.

    Raises:
        DocumentInvalid: not a rotation of this version, or one that contradicts itself.
        VerificationError: `SIGNATURE_MISSING`, `SIGNATURE_INVALID`, `PROOF_INVALID`.
    """
    documents.check_object(document, ROTATION, _ROTATION_SHAPE)
    keys: list[Document] = document["keys"]
    if len({item["purpose"] for item in keys}) != len(keys):
        raise refuse("keys", "must not name a purpose twice")
    signers = set()
    for index, item in enumerate(keys):
        place, purpose = f"keys[{index}]", Purpose(item["purpose"])
        for name in ("old", "new"):
            check_key(purpose, item[name], f"{place}.{name}")
        if item["old"].lower() == item["new"].lower():
            raise refuse(f"{place}.new", "must differ from the old key")
        if (item["signatures"] is not None) != (purpose is Purpose.CHAIN):
            raise refuse(f"{place}.signatures", "belongs to a chain key, and only to one")
        if purpose in (Purpose.DOCUMENT, Purpose.LOG, Purpose.WITNESS):
            signers |= {signing_did(purpose, item["old"]), signing_did(purpose, item["new"])}
        elif purpose is Purpose.CHAIN:
            digest = _rotation_digest(document["organization"], item, nonce=document["nonce"])
            for name in ("old", "new"):
                typed_data.verify(digest, item["signatures"][name], signer=item[name])
    if {Purpose(item["purpose"]) for item in keys} & set(_CARD):
        signers |= _card_signers(document, keys)
    elif document["card"] is not None:
        raise refuse("card", "belongs to the keys of an organisation")
    statements.verify(document, signers=signers)


def successor(document: Mapping[str, Any], key: str) -> str | None:
    """The key that a rotation puts in the place of one; None where it leaves that key alone."""
    return next((item["new"] for item in document["keys"] if item["old"] == key), None)


# --- revocation ---------------------------------------------------------------------------------------------


def revoke(
    *,
    organization: str,
    keys: Sequence[tuple[str, str]],
    reason: str,
    by: Ed25519PrivateKey | coincurve.PrivateKey,
    created: datetime,
    nonce: str | None = None,
) -> Document:
    """A signed revocation of keys, each as (purpose, text).

    Args:
        by: the key that withdraws them: Ed25519 signs a proof, secp256k1 signs EIP-712.
    """
    at = shapes.write_time(created)
    document: Document = {
        "type": REVOCATION,
        "organization": organization,
        "keys": [{"purpose": str(purpose), "key": key} for purpose, key in keys],
        "reason": reason,
        "revoked_by": "",
        "signature": None,
        "created": at,
        "nonce": nonce or secrets.token_hex(16),
    }
    if isinstance(by, coincurve.PrivateKey):
        document["revoked_by"] = address_of(by.public_key)
        document["signature"] = typed_data.sign(_revocation_digest(document), key=by)
    else:
        document["revoked_by"] = multibase.did_key(by.public_key())
        document = statements.sign(document, key=by, created=at)
    verify_revocation(document)
    return document


def verify_revocation(document: Any) -> None:
    """Check a revocation in itself: its form, and that the key it names as its author has signed it.

    Whether that key may withdraw the others is the caller's question; `revoked_by_itself` answers part of it.

    Raises:
        DocumentInvalid, VerificationError: as `verify_rotation`.
    """
    documents.check_object(document, REVOCATION, _REVOCATION_SHAPE)
    for index, item in enumerate(document["keys"]):
        check_key(Purpose(item["purpose"]), item["key"], f"keys[{index}].key")
    author = document["revoked_by"]
    if author.startswith("0x"):
        if document["signature"] is None or "proof" in document:
            raise VerificationError("SIGNATURE_MISSING", "a chain key withdraws by its own signature alone")
        typed_data.verify(_revocation_digest(document), document["signature"], signer=author)
        return
    if document["signature"] is not None:
        raise refuse("signature", "belongs to a chain key")
    statements.verify(document, signers=[author])


def revoked_by_itself(document: Mapping[str, Any]) -> bool:
    """Whether the author is one of the keys that are withdrawn: nobody else's word is needed for that."""
    author = document["revoked_by"].lower()
    return any(
        author == (signing_did(Purpose(item["purpose"]), item["key"]) or item["key"]).lower()
        for item in document["keys"]
        if item["purpose"] != Purpose.SEALING
    )


# --- keys as text -------------------------------------------------------------------------------------------


def check_key(purpose: Purpose, text: str, place: str) -> None:
    """Check that a text is a key of this kind; DocumentInvalid with its place otherwise."""
    try:
        if purpose is Purpose.DOCUMENT:
            shapes.document_key(text, place)
        elif purpose is Purpose.CHAIN:
            shapes.ADDRESS(text, place)
        elif purpose is Purpose.SEALING:
            shapes.SEALING_KEY(text, place)
        elif purpose is Purpose.WITNESS:
            cosignatures.parse_vkey(text)
        else:
            notes.parse_vkey(text)
    except VerificationError:
        raise refuse(place, f"is not a {purpose} key") from None


def signing_did(purpose: Purpose, text: str) -> str:
    """The did:key that signs documents for a key; empty for chain and sealing keys.

    Raises:
        VerificationError: `KEY_INVALID`, a log or witness key that is not Ed25519.
    """
    if purpose is Purpose.DOCUMENT:
        return text
    if purpose not in (Purpose.LOG, Purpose.WITNESS):
        return ""
    parsed = notes.parse_vkey(text) if purpose is Purpose.LOG else cosignatures.parse_vkey(text)
    if not isinstance(parsed.public_key, Ed25519PublicKey):
        raise VerificationError("KEY_INVALID", "only Ed25519 keys are handed over by a signed document")
    return multibase.did_key(parsed.public_key)


def _card_signers(document: Document, keys: Sequence[Document]) -> set[str]:
    """Who must sign for the card: its own document key, which also vouches for a sealing key."""
    card = document["card"]
    if card is None:
        raise refuse("card", "is missing")
    documents.check_key_card(card)
    statements.verify(card, signers=[card["document_key"]])
    for index, item in enumerate(keys):
        purpose = Purpose(item["purpose"])
        if purpose not in _CARD or card[_CARD[purpose]] != item["new"]:
            raise refuse(f"keys[{index}].new", "must be the key on the card")
    return {card["document_key"]}


def _pair(purpose: Purpose, old: str, new: str) -> Document:
    return {"purpose": str(purpose), "old": old, "new": new, "signatures": None}


def _rotation_digest(organization: str, item: Mapping[str, Any], *, nonce: str) -> bytes:
    message = {"organization": organization, "old": item["old"], "new": item["new"], "nonce": nonce}
    return typed_data.digest(_DOMAIN, _ROTATION_TYPES, "KeyRotation", message)


def _revocation_digest(document: Mapping[str, Any]) -> bytes:
    message = {
        "organization": document["organization"],
        "keys": [f"{item['purpose']} {item['key']}" for item in document["keys"]],
        "reason": document["reason"],
        "nonce": document["nonce"],
    }
    return typed_data.digest(_DOMAIN, _REVOCATION_TYPES, "KeyRevocation", message)
