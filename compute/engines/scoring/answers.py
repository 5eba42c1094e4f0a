"""One applicant's answer as one number of the ring, and the result document that the bank reads.

Bits 0 to 9 the score, four times five bits the reasons (31 minus the feature's place, 0 for none), bit 30 whether any
agency's record of the applicant is disputed, bits 31 and 32 what happened. Whoever is not scored has zeros below bit
31. Nothing else is computed into the answer, so nothing else can be read out of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.engines.errors import PartInvalid
from compute.engines.scoring.cards import HIGHEST, LOWEST, MAX_FEATURES, REASONS
from ledger.proofs import canonical

RESULT_TYPE = "credit_scores/v2"
SCORED, NO_RECORD, DENIED = "scored", "no_record", "denied_consent"
STATUSES = (SCORED, NO_RECORD, DENIED)
SCORE_BITS, REASON_BITS, DISPUTED_BIT, STATUS_BIT = 10, 5, 30, 31
REASON_ZERO = 31  # the first feature's reason; 31 - place


@dataclass(frozen=True, slots=True)
class CreditScores:
    """The result: one answer for each row of the bank's table, in its order; rows by number, no identifier."""

    version: str
    rows: tuple[Mapping[str, Any], ...]

    def describe(self) -> dict[str, Any]:
        """The result document of schema credit_scores/v2."""
        counts = {status: sum(row["status"] == status for row in self.rows) for status in STATUSES}
        return {
            "type": RESULT_TYPE,
            "model_version": self.version,
            "counts": counts,
            "rows": [dict(row) for row in self.rows],
        }

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


def unpack(number: int, *, row: int, features: Sequence[str]) -> dict[str, Any]:
    """One answer; PartInvalid for a number that the circuit cannot have made."""
    status, rest = number >> STATUS_BIT, number & ((1 << STATUS_BIT) - 1)
    score, codes = rest & ((1 << SCORE_BITS) - 1), (rest & ((1 << DISPUTED_BIT) - 1)) >> SCORE_BITS
    places = [
        REASON_ZERO - code
        for shift in range(0, REASONS * REASON_BITS, REASON_BITS)
        if (code := (codes >> shift) & ((1 << REASON_BITS) - 1))
    ]
    is_scored = status == STATUSES.index(SCORED)
    if not 0 <= status < len(STATUSES) or (rest and not is_scored) or any(place >= len(features) for place in places):
        raise PartInvalid("An answer is not one; report the run to the exchange.")
    if is_scored and not LOWEST <= score <= HIGHEST:
        raise PartInvalid("A score is outside its range; report the run to the exchange.")
    found: dict[str, Any] = {"row": row, "status": STATUSES[status], "score": None, "reasons": [], "disputed": False}
    if is_scored:
        reasons = [features[place] for place in places]
        found |= {"score": score, "reasons": reasons, "disputed": bool(rest >> DISPUTED_BIT)}
    return found


assert REASON_ZERO - MAX_FEATURES >= 1  # noqa: S101 - of two constants: no feature's reason is 0
