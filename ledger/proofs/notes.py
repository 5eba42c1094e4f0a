"""Signed notes: a short text and Ed25519 signatures, each by a named key.

    text, ends with a newline
    (empty line)
    — name base64(4 bytes key id, signature)

Source: C2SP signed-note, https://c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.proofs.errors import VerificationError

ED25519 = 0x01
MAX_BYTES = 64 * 1024
MAX_SIGNATURES = 100
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note whose form is right; `verify` is what makes its text trustworthy."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key, as a vkey string carries it."""

    name: str
    key_id: bytes
    public_key: Ed25519PublicKey


def key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    """The first 4 bytes of SHA-256 over name, newline, algorithm byte and raw key."""
    return hashlib.sha256(name.encode() + b"\n" + _typed(public_key)).digest()[:4]


def vkey(name: str, public_key: Ed25519PublicKey) -> str:
    """The verifier key string `name+hex key id+base64(algorithm byte, key)`."""
    _check_name(name)
    return f"{name}+{key_id(name, public_key).hex()}+{base64.b64encode(_typed(public_key)).decode()}"


def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey string.

    Raises:
        VerificationError: `KEY_INVALID`, not an Ed25519 vkey, or its key id is not that of its key.
    """
    name, _, rest = text.partition("+")
    hexadecimal, _, encoded = rest.partition("+")
    _check_name(name)
    raw = _b64decode(encoded, code="KEY_INVALID")
    if len(raw) != 33 or raw[0] != ED25519:
        raise VerificationError("KEY_INVALID", "not an Ed25519 verifier key")
    public_key = Ed25519PublicKey.from_public_bytes(raw[1:])
    if hexadecimal != key_id(name, public_key).hex():
        raise VerificationError("KEY_INVALID", "the key id does not belong to the key")
    return VerifierKey(name=name, key_id=bytes.fromhex(hexadecimal), public_key=public_key)


def sign(text: str, *, name: str, key: Ed25519PrivateKey) -> str:
    """Write a note with one signature. Ed25519 is deterministic: the same text gives the same note."""
    _check_text(text)
    _check_name(name)
    value = base64.b64encode(key_id(name, key.public_key()) + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {value}\n"


def parse(note_bytes: bytes) -> Note:
    """Read a note's form; no signature is checked.

    Raises:
        VerificationError: `NOTE_INVALID`.
    """
    if len(note_bytes) > MAX_BYTES:
        raise VerificationError("NOTE_INVALID", f"a note has at most {MAX_BYTES} bytes")
    try:
        whole = note_bytes.decode("utf-8")
    except UnicodeDecodeError:
        raise VerificationError("NOTE_INVALID", "a note is UTF-8") from None
    body, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise VerificationError("NOTE_INVALID", "a note is a text, an empty line and signature lines")
    text = body + "\n"
    _check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise VerificationError("NOTE_INVALID", f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text=text, signatures=tuple(_parse_signature(line) for line in lines))


def verify(note_bytes: bytes, *, keys: Collection[str]) -> Note:
    """Check that at least one of `keys` has signed, and that no signature by one of them is wrong.

    Signatures by other keys are ignored, as the specification asks.

    Args:
        keys: vkey strings.
    Raises:
        VerificationError: `NOTE_INVALID`, `KEY_INVALID`, `SIGNATURE_INVALID` a listed key's signature
            does not match, `SIGNATURE_MISSING` none of the keys has signed.
    """
    note = parse(note_bytes)
    known = {(key.name, key.key_id): key for key in map(parse_vkey, keys)}
    signed = False
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        try:
            key.public_key.verify(signature.value, note.text.encode())
        except InvalidSignature:
            raise VerificationError("SIGNATURE_INVALID", "a signature does not match the note") from None
        signed = True
    if not signed:
        raise VerificationError("SIGNATURE_MISSING", "none of the trusted keys has signed the note")
    return note


def _parse_signature(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise VerificationError("NOTE_INVALID", "a signature line is a dash, a name and a signature")
    _check_name(name, code="NOTE_INVALID")
    raw = _b64decode(encoded, code="NOTE_INVALID")
    if len(raw) < 5:
        raise VerificationError("NOTE_INVALID", "a signature is a key id and at least one more byte")
    return Signature(name=name, key_id=raw[:4], value=raw[4:])


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise VerificationError("NOTE_INVALID", "a note's text ends with a newline and has no control characters")


def _check_name(name: str, *, code: str = "KEY_INVALID") -> None:
    if not name or "+" in name or any(c.isspace() for c in name):
        raise VerificationError(code, "a key name has no spaces and no plus sign")


def _typed(public_key: Ed25519PublicKey) -> bytes:
    return bytes([ED25519]) + public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _b64decode(text: str, *, code: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError(code, "not standard base64") from None
    if base64.b64encode(raw).decode() != text:
        raise VerificationError(code, "not the only base64 form of its bytes")
    return raw
