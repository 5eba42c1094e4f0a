"""Results that only one party holds: the requester's part carries the answer, every other part carries nothing.

A sealed part's size is seen by the exchange. So an answer is filled up to a size that follows from the request, and to
twice, four times … that size where it is larger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.engines.base import StageContext, read_parts, write_part
from compute.engines.errors import PartInvalid
from ledger.proofs import canonical

_FILLER = "padding"


@dataclass(frozen=True, slots=True)
class Answer:
    """One document of the operation's result type, as the requester's node has made it."""

    document: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """The document, with its `type`."""
        return dict(self.document)

    def to_bytes(self) -> bytes:
        """The document as canonical JSON."""
        return canonical.encode(dict(self.document))


def write(document: Mapping[str, Any], *, engine: str, context: StageContext, size: int) -> bytes:
    """The requester's part, `size` bytes or that doubled until it fits."""
    part = write_part(engine=engine, context=context, content={"answer": dict(document), _FILLER: ""})
    target = size
    while target < len(part):
        target *= 2
    return write_part(
        engine=engine, context=context, content={"answer": dict(document), _FILLER: "0" * (target - len(part))}
    )


def write_nothing(*, engine: str, context: StageContext) -> bytes:
    """The part of a party that has no share of the result."""
    return write_part(engine=engine, context=context, content={"answer": None})


def read(parts: Sequence[bytes], *, engine: str, job_digest: str, ranks: int, kind: str) -> Answer:
    """The answer out of the requester's part; PartInvalid when parts are missing or it holds none of this kind."""
    document = read_parts(parts, engine=engine, job_digest=job_digest, ranks=ranks)[0].get("answer")
    if not isinstance(document, dict) or document.get("type") != kind:
        raise PartInvalid("The requester's part holds no answer; fetch the result again.")
    return Answer(document)
