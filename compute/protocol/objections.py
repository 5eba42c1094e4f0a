"""Objections of data subjects: what a person sends to one agency about one listed run, and what the agency answers.

A person who has opened a notice (`compute.protocol.notices`) objects to one of its providers. The *objection* says who
the person is, what is disputed, and to which card the answer goes; it is sealed to that provider's key from the notice.
It is filed with the notice's token, which the exchange checks and the provider is not told: who has it could object to
the others in the person's place. The *answer* is signed by the provider's document key and sealed to the card. Whoever
carries both sees run, provider, times and one of two lengths; neither the person nor a word of what is disputed.

Sealing is HPKE base mode over bytes of a fixed size (2,048 or 16,384 with padding), with the suite of notices, because
a browser seals and opens them, too. `info` binds an objection to the token's digest and the provider, and an answer to
its objection: neither opens in another's place.

What this does not show: that the person is whom the objection names. The exchange says that somebody named a token of
this run, no more. An agency marks the record at once, for a mark harms little, and makes sure of the person before it
changes a record or tells anything about it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from compute.protocol import documents, notices, sealing, shapes
from compute.protocol.shapes import HEX64, DocumentInvalid, refuse
from exchange.kernel import identifiers
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError

OBJECTION, ANSWER = "hengshu/objection/v1", "hengshu/objection-answer/v1"
SUITE = notices.SUITE
CORRECTED, UPHELD = "corrected", "upheld"
OUTCOMES = (CORRECTED, UPHELD)
BUCKETS = (2_048, 16_384)  # bytes that are sealed: a text of two thousand Chinese characters and its frame fit twice
OVERHEAD = 48  # an ephemeral key and the tag
SEALED_SIZES = tuple(bucket + OVERHEAD for bucket in BUCKETS)
MAX_TEXT = 2_000

Document = dict[str, Any]

_HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_LENGTH = 4


def _free_text(value: Any, path: str) -> None:
    """A person's words: line breaks are theirs, other control characters are not."""
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= len(value) <= MAX_TEXT:
        raise refuse(path, f"must be a text of 1 to {MAX_TEXT} characters")
    if any(ord(character) < 32 and character not in "\n\r\t" for character in value):
        raise refuse(path, "must not contain control characters")


_OBJECTION = shapes.members(
    {
        "computation": shapes.urn("computation"),
        "organization": shapes.urn("org"),
        "identifier": shapes.text(1, 200),
        "disputed": _free_text,
        "answer_key": HEX64,
        "created": shapes.time,
    }
)
_ANSWER = shapes.members(
    {
        "objection": shapes.urn("objection"),
        "organization": shapes.urn("org"),
        "outcome": shapes.choice(*OUTCOMES),
        "text": _free_text,
        "created": shapes.time,
    }
)


# --- the person ---------------------------------------------------------------------------------------------


def objection(
    *, computation: str, organization: str, identifier: str, disputed: str, answer_key: str, created: datetime
) -> Document:
    """One objection, checked.

    Args:
        computation: URN of the listed run; organization: URN of the provider that is objected to.
        identifier: as the provider's table names the person; disputed: in the person's own words.
        answer_key: the public half of the person's card, 64 hex digits.
    Raises:
        DocumentInvalid: with the member that is wrong.
    """
    document = {
        "type": OBJECTION,
        "computation": computation,
        "organization": organization,
        "identifier": identifier,
        "disputed": disputed,
        "answer_key": answer_key,
        "created": shapes.write_time(created),
    }
    _check_objection(document)
    return document


def seal_objection(document: Mapping[str, Any], *, token: bytes, recipient: str) -> bytes:
    """Seal to the provider's sealing key (unpadded base64url); one of SEALED_SIZES long."""
    info = _objection_info(token=notices.token_digest(token), organization=document["organization"])
    return _seal(document, key=sealing.public_key(recipient), info=info)


def open_answer(
    sealed: bytes, *, objection: str, token: bytes, card: Mapping[str, Any], signers: list[str]
) -> Document:
    """The provider's answer, once its signature holds.

    Args:
        objection: its URN; signers: document keys that may have signed, from the notice.
    Raises:
        VerificationError: SEAL_INVALID, or what is wrong with the signature.
        DocumentInvalid: what was sealed is no answer.
    """
    info = _answer_info(objection=objection, token=notices.token_digest(token))
    document = _open(sealed, key=notices.card_key(dict(card)), info=info)
    check_answer(document)
    if document["objection"] != objection:
        raise refuse("objection", "must be the one that was asked about")
    statements.verify(document, signers=signers)
    return document


# --- the provider -------------------------------------------------------------------------------------------


def open_objection(
    sealed: bytes, *, token_digest: str, computation: str, organization: str, key: X25519PrivateKey
) -> Document:
    """What a person objects to.

    Args:
        token_digest, computation: as the exchange says; organization: one's own URN; key: one's own sealing key.
    Raises:
        VerificationError: SEAL_INVALID, not sealed to this key, for this run and provider.
        DocumentInvalid: what was sealed is no objection, or is about another run than it was filed for.
    """
    document = _open(sealed, key=key, info=_objection_info(token=token_digest, organization=organization))
    _check_objection(document)
    if (document["organization"], document["computation"]) != (organization, computation):
        raise refuse("objection", "must be to this organisation and about the run that it was filed for")
    return document


def answer(*, objection: str, organization: str, outcome: str, text: str, created: datetime) -> Document:
    """The unsigned answer to one objection, checked; DocumentInvalid otherwise."""
    document = {
        "type": ANSWER,
        "objection": objection,
        "organization": organization,
        "outcome": outcome,
        "text": text,
        "created": shapes.write_time(created),
    }
    check_answer(document)
    return document


def check_answer(document: Any) -> None:
    """Check the shape of an answer, signed or not."""
    documents.check_object(document, ANSWER, _ANSWER)


def seal_answer(document: Mapping[str, Any], *, to: str, token_digest: str) -> bytes:
    """Seal a signed answer to the person's card, 64 hex digits; one of SEALED_SIZES long."""
    info = _answer_info(objection=document["objection"], token=token_digest)
    try:
        return _seal(document, key=X25519PublicKey.from_public_bytes(bytes.fromhex(to)), info=info)
    except ValueError:  # a point of low order
        raise refuse("answer_key", "must be a key that can be sealed to") from None


# --- whoever carries them -----------------------------------------------------------------------------------


def check_sealed(sealed: bytes) -> None:
    """What can be said of sealed bytes from outside: their length; DocumentInvalid."""
    if len(sealed) not in SEALED_SIZES:
        raise refuse("sealed", f"must have {' or '.join(str(size) for size in SEALED_SIZES)} bytes")


def make_urn(ref: str) -> str:
    """The name of an objection outside the database."""
    return identifiers.make_urn("objection", ref)


# --- inside -------------------------------------------------------------------------------------------------


def _check_objection(document: Any) -> None:
    documents.check_object(document, OBJECTION, _OBJECTION)
    if not notices.is_key(document["answer_key"]):
        raise refuse("answer_key", "must be the public key of a notice card")


def _objection_info(*, token: str, organization: str) -> bytes:
    return canonical.encode(
        {"type": "hengshu/sealed-objection/v1", "suite": SUITE, "token_digest": token, "organization": organization}
    )


def _answer_info(*, objection: str, token: str) -> bytes:
    return canonical.encode(
        {"type": "hengshu/sealed-objection-answer/v1", "suite": SUITE, "token_digest": token, "objection": objection}
    )


def _seal(document: Mapping[str, Any], *, key: X25519PublicKey, info: bytes) -> bytes:
    data = canonical.encode(dict(document))
    size = next((bucket for bucket in BUCKETS if len(data) + _LENGTH <= bucket), None)
    if size is None:
        raise refuse("disputed" if document["type"] == OBJECTION else "text", "must be shorter")
    return _HPKE.encrypt((len(data).to_bytes(_LENGTH, "big") + data).ljust(size, b"\0"), key, info)


def _open(sealed: bytes, *, key: X25519PrivateKey, info: bytes) -> Document:
    check_sealed(sealed)
    try:
        plain = _HPKE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError):
        raise VerificationError("SEAL_INVALID", "this was not sealed to this key, or for another objection") from None
    length = int.from_bytes(plain[:_LENGTH], "big")
    if length > len(plain) - _LENGTH or any(plain[_LENGTH + length :]):
        raise DocumentInvalid("sealed", "is not framed as an objection or answer")
    return documents.parse(plain[_LENGTH : _LENGTH + length], max_bytes=max(BUCKETS))
