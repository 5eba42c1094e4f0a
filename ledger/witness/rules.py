"""The rules of add-checkpoint, without a store, a clock or a socket.

    body: `old SIZE`, up to 63 proof lines, an empty line, the checkpoint with its signatures

| what is wrong | answer |
|---|---|
| not such a body; the old size is larger than the checkpoint's | 400 |
| the origin is unknown | 404 |
| no known key of that origin has signed, or a known key's signature is wrong | 403 |
| the old size is not the one cosigned last | 409 and that size, `text/x.tlog.size` |
| size 0 but not the empty tree's root; a proof from size 0; a wrong proof; same size, other root | 422 |

Source: C2SP tlog-witness, section "add-checkpoint" (https://c2sp.org/tlog-witness, 6 July 2026). Until then
the same size with another root was a 409 without a size; `client` understands both.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.proofs import checkpoints, merkle, notes
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.errors import VerificationError

MAX_PROOF_LINES = 63
MAX_BODY_BYTES = 72 * 1024  # a note of 64 KiB (18 ML-DSA-44 lines), 63 proof lines of 45 bytes, the old size
STATUS_TYPE = "hengshu/witness-status/v1"
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"

_OLD = re.compile(r"old (0|[1-9]\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the witness says: HTTP status, content type, body."""

    status: int
    content_type: str
    body: bytes


class Refusal(Exception):
    """The witness does not cosign; `answer` is what it says."""

    def __init__(self, status: int, text: str, *, content_type: str = TEXT_TYPE) -> None:
        super().__init__(text)
        self.answer = Answer(status, content_type, f"{text}\n".encode())


@dataclass(frozen=True, slots=True)
class Submission:
    """A well-formed body; `note` is the checkpoint with its signatures, none of them checked."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint

    @property
    def text(self) -> str:
        """The checkpoint without signatures: what is cosigned."""
        return checkpoints.format_text(self.checkpoint)


@dataclass(frozen=True, slots=True)
class Held:
    """The last checkpoint that the witness cosigned for a log; before the first one all is empty.

    Args:
        note: the checkpoint with the log's and the witness's signatures.
        at: POSIX time in seconds that the cosignature states.
    """

    size: int = 0
    root: bytes = merkle.EMPTY_ROOT
    note: str = ""
    at: int = 0


class Kind(StrEnum):
    """Why a checkpoint signed by the log is kept as evidence."""

    SPLIT_VIEW = "split_view"  # two signed roots for one size: the two notes convict the log
    EMPTY_ROOT = "empty_root"  # size 0 with a root that no empty tree has: the note alone convicts the log
    UNPROVEN = "unproven"  # a signed successor with a proof that does not hold: the log owes a proof


def parse(body: bytes) -> Submission:
    """Read a body; Refusal 400 when it is not one."""
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(400, "the body is too large")
    head, separator, note_bytes = body.partition(b"\n\n")
    if not separator:
        raise Refusal(400, "an empty line is missing behind the proof")
    lines = head.decode("ascii", errors="replace").split("\n")
    old = _OLD.fullmatch(lines[0])
    if old is None or int(old[1]) > 2**63 - 1:
        raise Refusal(400, "the first line is `old` and the old size")
    if len(lines) - 1 > MAX_PROOF_LINES:
        raise Refusal(400, f"a proof has at most {MAX_PROOF_LINES} lines")
    try:
        note = note_bytes.decode()
        checkpoint = checkpoints.parse(notes.parse(note).text)
    except (UnicodeDecodeError, VerificationError):
        raise Refusal(400, "the checkpoint is not a signed note of origin, size and root") from None
    return Submission(int(old[1]), tuple(_hash(line) for line in lines[1:]), note, checkpoint)


def format_body(*, old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body a log sends; `note` is its signed checkpoint."""
    lines = (f"{base64.b64encode(value).decode()}\n" for value in proof)
    return f"old {old_size}\n{''.join(lines)}\n{note}".encode()


def check_signature(submission: Submission, *, logs: Mapping[str, Collection[str]]) -> None:
    """Refusal 404 for an unknown origin, 403 without a right signature by one of its keys.

    Args:
        logs: the vkeys trusted for each origin.
    """
    keys = logs.get(submission.checkpoint.origin)
    if not keys:
        raise Refusal(404, "this witness does not know the log")
    try:
        checkpoints.verify(submission.note.encode(), keys=keys, origin=submission.checkpoint.origin)
    except VerificationError:
        raise Refusal(403, "no right signature by a known key of the log") from None


def check_successor(submission: Submission, *, held: Held) -> None:
    """Refusal 400, 409 or 422 unless the checkpoint follows from the one held.

    The signature must have been checked.
    """
    shown = submission.checkpoint
    if submission.old_size > shown.size:
        raise Refusal(400, "the old size is larger than the checkpoint's")
    if submission.old_size != held.size:
        raise Refusal(409, str(held.size), content_type=SIZE_TYPE)
    if shown.size == 0 and shown.root != merkle.EMPTY_ROOT:
        raise Refusal(422, "a tree of size 0 has another root")
    if submission.old_size == 0:
        if submission.proof:
            raise Refusal(422, "nothing is to be proved from size 0")
        return
    try:
        merkle.verify_consistency(
            old_size=held.size,
            new_size=shown.size,
            old_root=held.root,
            new_root=shown.root,
            proof=submission.proof,
        )
    except VerificationError:
        raise Refusal(422, "the checkpoint is not proved to follow from the one cosigned last") from None


def evidence(submission: Submission, *, held: Held) -> Kind | None:
    """What a checkpoint with a right signature shows about its log, whatever old size was sent with it."""
    shown = submission.checkpoint
    if shown.size == 0 and shown.root != merkle.EMPTY_ROOT:
        return Kind.EMPTY_ROOT
    if not held.note:
        return None
    if shown.size == held.size and shown.root != held.root:
        return Kind.SPLIT_VIEW
    if submission.old_size == held.size < shown.size:
        try:
            check_successor(submission, held=held)
        except Refusal:
            return Kind.UNPROVEN
    return None


def _hash(line: str) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != merkle.HASH_BYTES or base64.b64encode(value).decode() != line:
        raise Refusal(400, "a proof line is 32 bytes in base64")
    return value
