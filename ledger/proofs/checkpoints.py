"""Checkpoints as signed notes: a log's statement of its size and root, under the log's own keys.

Source: C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint.
"""

from collections.abc import Collection, Iterable

from ledger.proofs import notes, signature_types, tree_heads
from ledger.proofs.errors import VerificationError
from ledger.proofs.signature_types import PrivateKey, VerifierKey
from ledger.proofs.tree_heads import Checkpoint, format_text

__all__ = ["Checkpoint", "format_text", "parse", "parse_vkey", "sign", "verify"]

_LOG_TYPES = frozenset({signature_types.ED25519, signature_types.ML_DSA_44})


def parse(text: str | bytes) -> Checkpoint:
    """Read the text of a checkpoint, alone or inside its signed note; no signature is checked.

    Raises:
        VerificationError: `CHECKPOINT_INVALID`, or `NOTE_INVALID` for the signatures below it.
    """
    try:
        whole = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise VerificationError("CHECKPOINT_INVALID", "a checkpoint is UTF-8") from None
    return tree_heads.parse(notes.parse(whole).text if "\n\n" in whole else whole)


def parse_vkey(text: str) -> VerifierKey:
    """Read a log's vkey; VerificationError `KEY_INVALID` also for a key that only cosigns."""
    key = notes.parse_vkey(text)
    if key.algorithm not in _LOG_TYPES:
        raise VerificationError("KEY_INVALID", "a log's key has signature type 0x01 or 0x06")
    return key


def sign(checkpoint: Checkpoint, *, key: PrivateKey, extra_keys: Iterable[PrivateKey] = (), at: int = 0) -> str:
    """The signed note of a checkpoint; the name of every key is the log's origin.

    Args:
        extra_keys: further keys of the log, a line each: an ML-DSA-44 key adds a line that outlives Ed25519.
            Those lines are not deterministic.
        at: POSIX time stated by ML-DSA-44 lines, in seconds; 0 states none.
    """
    text = format_text(checkpoint)
    signed = notes.sign(text, name=checkpoint.origin, key=key, at=at)
    lines = [notes.signature_line(text, name=checkpoint.origin, key=extra, at=at) for extra in extra_keys]
    return notes.add_signatures(signed, lines)


def verify(note_bytes: bytes, *, keys: Collection[str], origin: str) -> Checkpoint:
    """Check a checkpoint's signatures and that it speaks of the log named `origin`.

    Args:
        keys: vkey strings of the log, Ed25519 or ML-DSA-44; one that has signed is enough.
    Raises:
        VerificationError: as `notes.verify`, `CHECKPOINT_INVALID`, or `ORIGIN_UNKNOWN`.
    """
    for text in keys:
        parse_vkey(text)
    checkpoint = tree_heads.parse(notes.verify(note_bytes, keys=keys).text)
    if checkpoint.origin != origin:
        raise VerificationError("ORIGIN_UNKNOWN", "the checkpoint speaks of another log")
    return checkpoint
