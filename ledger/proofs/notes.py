"""Signed notes: a short text and signatures, each by a named key.

    text, ends with a newline
    (empty line)
    — name base64(4 bytes key id, signature)

The kinds of signature are in `signature_types`; lines of any other kind are ignored.

Source: C2SP signed-note, https://c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ledger.proofs import signature_types
from ledger.proofs.errors import VerificationError
from ledger.proofs.signature_types import ED25519, PrivateKey, PublicKey, VerifierKey

__all__ = ["ED25519", "Note", "Signature", "VerifierKey", "add_signatures", "parse", "sign", "verify", "vkey"]

MAX_BYTES = 1_000_000  # a hundred ML-DSA-44 lines are 330 kB
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


def key_id(name: str, public_key: PublicKey, *, algorithm: int | None = None) -> bytes:
    """The first 4 bytes of SHA-256 over name, newline, type byte and raw key."""
    return hashlib.sha256(name.encode() + b"\n" + _typed(public_key, algorithm)).digest()[:4]


def vkey(name: str, public_key: PublicKey, *, algorithm: int | None = None) -> str:
    """The verifier key string `name+hex key id+base64(type byte, key)`.

    Args:
        algorithm: the signature type; unless told 0x01 for Ed25519 and 0x06 for ML-DSA-44.
    """
    _check_name(name)
    encoded = base64.b64encode(_typed(public_key, algorithm)).decode()
    return f"{name}+{key_id(name, public_key, algorithm=algorithm).hex()}+{encoded}"


@lru_cache(maxsize=1024)
def parse_vkey(text: str) -> VerifierKey:
    """Read a vkey string of type 0x01, 0x04 or 0x06.

    Raises:
        VerificationError: `KEY_INVALID`, of another form or type, or its key id is not that of its key.
    """
    name, _, rest = text.partition("+")
    hexadecimal, _, encoded = rest.partition("+")
    _check_name(name)
    raw = _b64decode(encoded, code="KEY_INVALID")
    if not raw:
        raise VerificationError("KEY_INVALID", "a verifier key is a name, a key id and a key")
    algorithm = raw[0]
    public_key = signature_types.public_key(algorithm, raw[1:])
    if hexadecimal != key_id(name, public_key, algorithm=algorithm).hex():
        raise VerificationError("KEY_INVALID", "the key id does not belong to the key")
    return VerifierKey(name, bytes.fromhex(hexadecimal), algorithm, public_key)


def sign(text: str, *, name: str, key: PrivateKey, at: int = 0) -> str:
    """Write a note with one signature. Ed25519 is deterministic: the same text gives the same note.

    Args:
        at: POSIX time stated in an ML-DSA-44 signature, in seconds; 0 states none. Ed25519 has no time.
    """
    _check_text(text)
    return f"{text}\n{signature_line(text, name=name, key=key, at=at)}\n"


def signature_line(text: str, *, name: str, key: PrivateKey, at: int = 0, algorithm: int | None = None) -> str:
    """One signature line over a text, without its newline.

    Raises:
        VerificationError: `KEY_INVALID`, the name cannot be a key's; `CHECKPOINT_INVALID`, types 0x04 and
            0x06 sign checkpoints only.
    """
    _check_text(text)
    _check_name(name)
    kind = signature_types.note_algorithm(key) if algorithm is None else algorithm
    timed = at if kind in signature_types.COSIGNATURES else None
    value = signature_types.sign(kind, name=name, text=text, key=key, at=timed)
    return format_line(Signature(name, key_id(name, key.public_key(), algorithm=kind), value))


def format_line(signature: Signature) -> str:
    """A signature as its line, without the newline."""
    return f"{_DASH}{signature.name} {base64.b64encode(signature.key_id + signature.value).decode()}"


def add_signatures(note: str, lines: Iterable[str]) -> str:
    """Put signature lines behind a note's own; a key that has signed already keeps its first line.

    Args:
        lines: signature lines, with or without their newline.
    Raises:
        VerificationError: `NOTE_INVALID`, note or line malformed, or more than 100 signatures.
    """
    parsed = parse(note)
    seen = {(signature.name, signature.key_id) for signature in parsed.signatures}
    added = []
    for line in lines:
        signature = parse_line(line.removesuffix("\n"))
        if (signature.name, signature.key_id) not in seen:
            seen.add((signature.name, signature.key_id))
            added.append(format_line(signature) + "\n")
    joined = note + "".join(added)
    parse(joined)
    return joined


def parse(note_bytes: bytes | str) -> Note:
    """Read a note's form; no signature is checked.

    Raises:
        VerificationError: `NOTE_INVALID`.
    """
    whole = _decode(note_bytes)
    body, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise VerificationError("NOTE_INVALID", "a note is a text, an empty line and signature lines")
    text = body + "\n"
    _check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise VerificationError("NOTE_INVALID", f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text=text, signatures=tuple(parse_line(line) for line in lines))


def parse_line(line: str) -> Signature:
    """Read one signature line, without its newline; VerificationError `NOTE_INVALID`."""
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise VerificationError("NOTE_INVALID", "a signature line is a dash, a name and a signature")
    _check_name(name, code="NOTE_INVALID")
    raw = _b64decode(encoded, code="NOTE_INVALID")
    if len(raw) < 5:
        raise VerificationError("NOTE_INVALID", "a signature is a key id and at least one more byte")
    return Signature(name=name, key_id=raw[:4], value=raw[4:])


def verify(note_bytes: bytes | str, *, keys: Collection[str]) -> Note:
    """Check that at least one of `keys` has signed, and that no signature by one of them is wrong.

    Signatures by other keys are ignored, as the specification asks.

    Args:
        keys: vkey strings.
    Raises:
        VerificationError: `NOTE_INVALID`, `KEY_INVALID`, `SIGNATURE_INVALID` a listed key's signature
            does not match, `SIGNATURE_MISSING` none of the keys has signed.
    """
    note = parse(note_bytes)
    if not list(known_signatures(note, keys=keys)):
        raise VerificationError("SIGNATURE_MISSING", "none of the trusted keys has signed the note")
    return note


def known_signatures(note: Note, *, keys: Collection[str]) -> Iterator[tuple[VerifierKey, int | None]]:
    """The listed keys that have signed, in the order of the lines, each with the time its signature states.

    Raises:
        VerificationError: `KEY_INVALID`, or `SIGNATURE_INVALID`, a listed key's signature does not match.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in map(parse_vkey, keys):
        held = known.setdefault((key.name, key.key_id), key)
        if held.raw != key.raw or held.algorithm != key.algorithm:
            raise VerificationError("KEY_INVALID", "two different keys have one name and one key id")
    for signature in note.signatures:
        found = known.get((signature.name, signature.key_id))
        if found is not None:
            yield found, found.check(note.text, signature.value)


def _decode(note_bytes: bytes | str) -> str:
    if len(note_bytes) > MAX_BYTES:
        raise VerificationError("NOTE_INVALID", f"a note has at most {MAX_BYTES} bytes")
    try:
        data = note_bytes.encode() if isinstance(note_bytes, str) else note_bytes
        return data.decode("utf-8")
    except UnicodeError:
        raise VerificationError("NOTE_INVALID", "a note is UTF-8") from None


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise VerificationError("NOTE_INVALID", "a note's text ends with a newline and has no control characters")
    _decode(text)


def _check_name(name: str, *, code: str = "KEY_INVALID") -> None:
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise VerificationError(code, "a key name has no spaces, no control characters and no plus sign")


def _typed(public_key: PublicKey, algorithm: int | None) -> bytes:
    kind = signature_types.note_algorithm(public_key) if algorithm is None else algorithm
    return bytes([kind]) + signature_types.raw_key(public_key)


def _b64decode(text: str, *, code: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError(code, "not standard base64") from None
    if base64.b64encode(raw).decode() != text:
        raise VerificationError(code, "not the only base64 form of its bytes")
    return raw
