"""Checkpoints: a signed statement of a log's size and root.

    origin
    size in decimal
    base64 root

Source: C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint. Extension lines are read and kept.
"""

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import merkle, notes
from ledger.proofs.errors import VerificationError

_SIZE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: `root` is the hash over its first `size` leaves."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse(text: str | bytes) -> Checkpoint:
    """Read the text of a checkpoint, alone or inside its signed note; no signature is checked.

    Raises:
        VerificationError: `CHECKPOINT_INVALID`.
    """
    try:
        whole = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise VerificationError("CHECKPOINT_INVALID", "a checkpoint is UTF-8") from None
    body = notes.parse(whole.encode()).text if "\n\n" in whole else whole
    lines = body.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise VerificationError("CHECKPOINT_INVALID", "a checkpoint is origin, size and root, a line each")
    origin, size, encoded = lines[:3]
    if not _SIZE.fullmatch(size):
        raise VerificationError("CHECKPOINT_INVALID", "the size is a decimal number without leading zeros")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != merkle.HASH_BYTES or base64.b64encode(root).decode() != encoded:
        raise VerificationError("CHECKPOINT_INVALID", "the root is 32 bytes in base64")
    return Checkpoint(origin=origin, size=int(size), root=root, extensions=tuple(lines[3:-1]))


def format_text(checkpoint: Checkpoint) -> str:
    """The text that is signed."""
    lines = (
        checkpoint.origin,
        str(checkpoint.size),
        base64.b64encode(checkpoint.root).decode(),
        *checkpoint.extensions,
    )
    text = "".join(f"{line}\n" for line in lines)
    if parse(text) != checkpoint:
        raise VerificationError("CHECKPOINT_INVALID", "the checkpoint cannot be written")
    return text


def sign(checkpoint: Checkpoint, *, key: Ed25519PrivateKey) -> str:
    """The signed note of a checkpoint; the key's name is the log's origin."""
    return notes.sign(format_text(checkpoint), name=checkpoint.origin, key=key)


def verify(note_bytes: bytes, *, keys: Collection[str], origin: str) -> Checkpoint:
    """Check a checkpoint's signature and that it speaks of the log named `origin`.

    Raises:
        VerificationError: as `notes.verify`, `CHECKPOINT_INVALID`, or `ORIGIN_UNKNOWN`.
    """
    checkpoint = parse(notes.verify(note_bytes, keys=keys).text)
    if checkpoint.origin != origin:
        raise VerificationError("ORIGIN_UNKNOWN", "the checkpoint speaks of another log")
    return checkpoint
