"""Cosignatures: a witness says that it saw this checkpoint, consistent with all it saw before, at this time.

Ed25519 keys sign `cosignature/v1` (type 0x04), ML-DSA-44 keys the present form (type 0x06).

Source: C2SP tlog-cosignature, https://c2sp.org/tlog-cosignature.
"""

from collections.abc import Collection
from dataclasses import dataclass

from ledger.proofs import notes, signature_types, tree_heads
from ledger.proofs.errors import VerificationError
from ledger.proofs.signature_types import PrivateKey, PublicKey, VerifierKey


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that holds; `at` is the POSIX time it states, in seconds."""

    name: str
    key_id: bytes
    at: int


def vkey(name: str, public_key: PublicKey) -> str:
    """The verifier key string of a witness."""
    return notes.vkey(name, public_key, algorithm=signature_types.cosignature_algorithm(public_key))


def parse_vkey(text: str) -> VerifierKey:
    """Read a witness's vkey; VerificationError `KEY_INVALID` also for a key that signs plain notes."""
    key = notes.parse_vkey(text)
    if key.algorithm not in signature_types.COSIGNATURES:
        raise VerificationError("KEY_INVALID", "a witness's key has signature type 0x04 or 0x06")
    return key


def sign(checkpoint_text: str, *, name: str, key: PrivateKey, at: int) -> str:
    """Cosign a checkpoint's text: one signature line, without its newline.

    Args:
        checkpoint_text: the checkpoint's lines, each with its newline, without signatures.
        name: the witness's name, as in its vkey.
        at: POSIX time in seconds.
    Raises:
        VerificationError: `CHECKPOINT_INVALID`, `KEY_INVALID` the name cannot be a key's,
            `SIGNATURE_INVALID` the time is out of range.
    """
    tree_heads.parse(checkpoint_text)
    algorithm = signature_types.cosignature_algorithm(key)
    return notes.signature_line(checkpoint_text, name=name, key=key, at=at, algorithm=algorithm)


def verify(note_bytes: bytes | str, *, keys: Collection[str]) -> list[Cosignature]:
    """Which of the listed witnesses have cosigned the checkpoint: one each, the latest they state.

    An empty list is an answer, not an error; whether it is enough is for a policy to say.

    Args:
        keys: vkey strings of witnesses.
    Raises:
        VerificationError: `NOTE_INVALID`, `CHECKPOINT_INVALID`, `KEY_INVALID`, or `SIGNATURE_INVALID`, a
            listed key's signature does not match.
    """
    for text in keys:
        parse_vkey(text)
    note = notes.parse(note_bytes)
    tree_heads.parse(note.text)
    found: dict[tuple[str, bytes], Cosignature] = {}
    for key, at in notes.known_signatures(note, keys=keys):
        place = (key.name, key.key_id)
        if at is not None and (place not in found or found[place].at < at):
            found[place] = Cosignature(name=key.name, key_id=key.key_id, at=at)
    return list(found.values())
