"""Records whose subject has objected, as an agency keeps them until it has answered (征信业管理条例 art. 25).

The regulation asks that a disputed record be marked where it is used. So a mark is a property of a row, like a consent:
each run reads the marks, makes one bit a row, and the circuit tells the bank whether *any* agency's record of a scored
applicant is disputed. The agency does not learn who is asked, and the bank not whose record it is.

One file for each objection in the node's kept directory, `disputes/<reference>`, which holds the canonical id and
nothing else. A person may object twice; the record stays marked until both are answered. Marks count from the next run
on, without a new version of the dataset.
"""

import re
import secrets
from pathlib import Path

from compute.engines import identifiers, keeping

FOLDER = "disputes"
_REFERENCE = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)


def mark(kept: Path, identifier: str, *, objection: str) -> None:
    """Mark a person's record; it counts from the next run on. Idempotent: one mark for each objection.

    Args:
        kept: the engines' common directory at this node; objection: the objection's reference, 26 characters.
    """
    path = _path(kept, objection)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = path.with_name(f".{objection}.{secrets.token_hex(8)}")
    keeping.write(whole, identifiers.canonical(identifier).encode())
    whole.replace(path)


def clear(kept: Path, *, objection: str) -> None:
    """Take the mark of one objection away; others of the same person stay. Idempotent."""
    _path(kept, objection).unlink(missing_ok=True)


def marked(kept: Path | None) -> frozenset[str]:
    """Canonical ids whose record is disputed now."""
    if kept is None or not (kept / FOLDER).is_dir():
        return frozenset()
    paths = [path for path in (kept / FOLDER).iterdir() if _REFERENCE.fullmatch(path.name)]
    return frozenset(path.read_text(encoding="utf-8") for path in paths)


def _path(kept: Path, objection: str) -> Path:
    if not _REFERENCE.fullmatch(objection):
        raise ValueError("not an objection's reference")
    return kept / FOLDER / objection
