"""Proofs of logging as files: a leaf's index, its inclusion path and the checkpoint, with all signatures.

    c2sp.org/tlog-proof@v1
    extra BASE64            (may be absent)
    index NUMBER
    BASE64                  (one line for each hash, the leaf's sibling first)
    (empty line)
    checkpoint

Source: C2SP tlog-proof, https://c2sp.org/tlog-proof.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from ledger.proofs import merkle, notes, tree_heads
from ledger.proofs.errors import VerificationError
from ledger.proofs.tlog_policy import LogPolicy
from ledger.proofs.tree_heads import Checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_STEPS = 63
MAX_EXTRA_BYTES = 1_000_000
MAX_BYTES = notes.MAX_BYTES + 2 * MAX_EXTRA_BYTES

_INDEX = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof whose form is right; `verify` is what makes it trustworthy. Nothing ever vouches for `extra`."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None


def parse(data: bytes | str) -> TlogProof:
    """Read a proof's form; nothing is verified.

    Raises:
        VerificationError: `PROOF_INVALID`; `NOTE_INVALID` or `CHECKPOINT_INVALID` for its last part.
    """
    if len(data) > MAX_BYTES:
        raise VerificationError("PROOF_INVALID", f"a proof has at most {MAX_BYTES} bytes")
    try:
        whole = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        raise VerificationError("PROOF_INVALID", "a proof is UTF-8") from None
    head, separator, checkpoint = whole.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != HEADER:
        raise VerificationError("PROOF_INVALID", f"a proof begins with {HEADER} and ends with a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _decode(lines.pop(0).removeprefix("extra "))
    index = lines.pop(0).removeprefix("index ") if lines and lines[0].startswith("index ") else ""
    if not _INDEX.fullmatch(index) or int(index) >= tree_heads.MAX_SIZE:
        raise VerificationError("PROOF_INVALID", "the index is a decimal number without leading zeros")
    path = tuple(_decode(line) for line in lines)
    if len(path) > MAX_STEPS or any(len(step) != merkle.HASH_BYTES for step in path):
        raise VerificationError("PROOF_INVALID", f"a path is at most {MAX_STEPS} hashes of 32 bytes in base64")
    tree_heads.parse(notes.parse(checkpoint).text)
    return TlogProof(index=int(index), path=path, checkpoint=checkpoint, extra=extra)


def format_text(proof: TlogProof) -> str:
    """The proof's file; VerificationError as `parse` for one that would not read back the same."""
    lines = [HEADER]
    if proof.extra is not None:
        lines.append(f"extra {base64.b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(step).decode() for step in proof.path]
    text = "\n".join(lines) + "\n\n" + proof.checkpoint
    if parse(text) != proof:
        raise VerificationError("PROOF_INVALID", "the proof cannot be written")
    return text


def verify(proof: TlogProof, *, leaf_hash: bytes, policy: LogPolicy) -> Checkpoint:
    """Check that the leaf stands at the proof's index in a log that the policy trusts.

    Args:
        leaf_hash: computed by the caller from the leaf's own bytes, never taken from the proof.
    Raises:
        VerificationError: as `LogPolicy.check`, or `INCLUSION_INVALID`.
    """
    checkpoint = policy.check(proof.checkpoint)
    merkle.verify_inclusion(
        index=proof.index,
        size=checkpoint.size,
        leaf_hash=leaf_hash,
        path=proof.path,
        root=checkpoint.root,
    )
    return checkpoint


def _decode(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError("PROOF_INVALID", "a line is not standard base64") from None
    if base64.b64encode(raw).decode() != line:
        raise VerificationError("PROOF_INVALID", "a line is not the only base64 form of its bytes")
    return raw
