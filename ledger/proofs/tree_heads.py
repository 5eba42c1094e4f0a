"""The lines of a checkpoint: what a log says of itself, without any signature.

    origin
    size in decimal
    base64 root

Source: C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint. Extension lines are read and kept.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from ledger.proofs.errors import VerificationError

ROOT_BYTES = 32
MAX_SIZE = 2**63 - 1

_SIZE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: `root` is the hash over its first `size` leaves."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse(text: str) -> Checkpoint:
    """Read the text of a checkpoint, without its signatures.

    Raises:
        VerificationError: `CHECKPOINT_INVALID`.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise VerificationError("CHECKPOINT_INVALID", "a checkpoint is origin, size and root, a line each")
    if any(character < " " and character != "\n" for character in text):
        raise VerificationError("CHECKPOINT_INVALID", "a checkpoint has no control characters")
    origin, size, encoded = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise VerificationError("CHECKPOINT_INVALID", "the size is a decimal number without leading zeros")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != ROOT_BYTES or base64.b64encode(root).decode() != encoded:
        raise VerificationError("CHECKPOINT_INVALID", "the root is 32 bytes in base64")
    return Checkpoint(origin=origin, size=int(size), root=root, extensions=tuple(lines[3:-1]))


def format_text(checkpoint: Checkpoint) -> str:
    """The text that is signed; VerificationError `CHECKPOINT_INVALID` for what would not read back the same."""
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
