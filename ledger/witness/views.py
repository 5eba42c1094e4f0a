"""Several views of one log, side by side: do two checkpoints that it signed contradict each other?

A witness, a visitor and a mirror each hold a signed checkpoint. Whoever puts them together sees a split
view at once where the sizes are equal; where they are not, the log owes a consistency proof.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.proofs import checkpoints, merkle, notes
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.errors import VerificationError

Prover = Callable[[str, int, int], Sequence[bytes] | None]


class Contradiction(StrEnum):
    """What two views show."""

    SPLIT_VIEW = "split_view"  # one size, two roots: both notes convict the log
    INCONSISTENT = "inconsistent"  # no proof joins the smaller to the larger: the log must give one


@dataclass(frozen=True, slots=True)
class Finding:
    """Two signed checkpoints of one log that do not go together; `older` is the smaller."""

    origin: str
    kind: Contradiction
    older: str
    newer: str


def compare(
    signed: Iterable[str | bytes], *, logs: Mapping[str, Collection[str]], prove: Prover | None = None
) -> list[Finding]:
    """Find checkpoints that contradict each other; an empty list is the good answer.

    Notes of unknown logs, or without a right signature by the log, prove nothing and are passed over.

    Args:
        signed: checkpoints as witnesses and visitors hold them, with the log's signature.
        logs: the vkeys of each origin.
        prove: asks the log for the consistency proof (origin, old size, new size); None when it gives none.
            Without it only equal sizes are compared.
    """
    findings: list[Finding] = []
    seen: dict[str, dict[int, dict[bytes, str]]] = {}
    for note in signed:
        verified = _verified(note, logs=logs)
        if verified is not None:
            text, found = verified
            seen.setdefault(found.origin, {}).setdefault(found.size, {}).setdefault(found.root, text)
    for origin, by_size in seen.items():
        for size in sorted(by_size):
            first, *others = by_size[size].values()
            findings += [Finding(origin, Contradiction.SPLIT_VIEW, first, other) for other in others]
        if prove is not None:
            findings += _unjoined(origin, by_size, prove)
    return findings


def _unjoined(origin: str, by_size: Mapping[int, Mapping[bytes, str]], prove: Prover) -> list[Finding]:
    # Neighbours are enough: consistency with the next larger size carries over to every size beyond.
    sizes = sorted(size for size in by_size if size > 0)
    findings = []
    for old_size, new_size in itertools.pairwise(sizes):
        proof = prove(origin, old_size, new_size)
        for old_root, older in by_size[old_size].items():
            for new_root, newer in by_size[new_size].items():
                if proof is None or not _joins(old_size, new_size, old_root, new_root, proof):
                    findings.append(Finding(origin, Contradiction.INCONSISTENT, older, newer))
    return findings


def _joins(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    try:
        merkle.verify_consistency(
            old_size=old_size, new_size=new_size, old_root=old_root, new_root=new_root, proof=proof
        )
    except VerificationError:
        return False
    return True


def _verified(note: str | bytes, *, logs: Mapping[str, Collection[str]]) -> tuple[str, Checkpoint] | None:
    try:
        text = note.decode() if isinstance(note, bytes) else note
        found = checkpoints.parse(notes.parse(text).text)
        checkpoints.verify(text.encode(), keys=logs.get(found.origin, ()), origin=found.origin)
    except (VerificationError, UnicodeError):
        return None
    return text, found
