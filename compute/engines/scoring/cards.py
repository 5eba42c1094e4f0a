"""Score cards and linear models as their owner keeps them: whole numbers, a version, and a commitment.

A card is one JSON document that never leaves its owner's node. The signed request names only its version and its
commitment, SHA-256 over the canonical document; 32 random bytes in the document hide what is in it.

    {"type": "hengshu/score-card/v1", "kind": "scorecard", "version": "2026-11", "salt": "<64 hex>", "base": 600,
     "shift": 0, "features": [{"column": "months", "cuts": [12, 24], "points": [-40, 0, 30], "absent": -20}, ...]}

A *scorecard* feature has n cuts and n + 1 points: 30 months give points[2] = 30, 12 months points[1] = 0. A *linear*
feature has one weight, its contribution is weight x value. Values are the declared scaled integers (12.50 at scale 2 is
1250), so cards are written in those units. The score is (base + sum of contributions) >> shift, held within 300 to 850:
whole numbers all the way, hence the same number wherever it is computed. A logistic model is linear in the log-odds
and so a linear card: score = offset - factor x log-odds.

`absent` is what a feature contributes when the agency knows nobody of that id. Reasons: the features that lost most
against the best they could have given, largest loss first, earlier features first among equals, at most four.

Source of the scale: N. Siddiqi, Credit Risk Scorecards, 2006 (points lost against the best attribute as reasons).
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from compute.engines.errors import EngineRefused
from ledger.proofs import canonical

CARD_TYPE = "hengshu/score-card/v1"
SCORECARD, LINEAR, TRAINED = "scorecard", "linear", "trained"
LOWEST, HIGHEST = 300, 850
MAX_FEATURES = 30  # a reason has five bits, 0 says none
MAX_CUTS = 15
MAX_SHIFT = 24
MAX_POINTS = 10_000
REASONS = 4
_BOUND = 1 << 54  # of every contribution: thirty of them, and five bits more for reasons, stay below 2^62
_NEVER = (1 << 56) - 1  # a cut that no declared value reaches: fills the unused ones


@dataclass(frozen=True, slots=True)
class Numbers:
    """A card as the numbers that enter the circuit, padded so that its shape tells nothing.

    Shapes: cuts, steps (features, cuts); first, absent, best (features,). A scorecard feature's points are `first` plus
    every step whose cut is reached; a linear feature's contribution is `first` times the value, without cuts.
    """

    cuts: list[list[int]]
    steps: list[list[int]]
    first: list[int]
    absent: list[int]
    best: list[int]
    base: int

    def flat(self) -> list[int]:
        """All numbers in one row, in the order that `circuits` takes them apart."""
        rows = [*self.cuts, *self.steps, self.first, self.absent, self.best, [self.base]]
        return [number for row in rows for number in row]


@dataclass(frozen=True, slots=True)
class Card:
    """One checked card."""

    document: Mapping[str, Any]

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a card; EngineRefused JOB_DIFFERS for anything that is not exactly one."""
        try:
            document = json.loads(data)
            found = cls(document)
            found._check()
        except (KeyError, TypeError, ValueError):
            raise EngineRefused("JOB_DIFFERS", "The model cannot be read; write it again and commit to it.") from None
        return found

    @property
    def kind(self) -> str:
        """`scorecard` or `linear`."""
        return str(self.document["kind"])

    @property
    def commitment(self) -> str:
        """SHA-256 of the canonical document, in hex."""
        return hashlib.sha256(canonical.encode(dict(self.document))).hexdigest()

    @property
    def columns(self) -> list[str]:
        """The columns in order of the features."""
        return [str(item["column"]) for item in self.document["features"]]

    def numbers(self, *, cuts: int, bounds: Sequence[tuple[int, int]]) -> Numbers:
        """The card as numbers for a circuit with `cuts` cuts a feature.

        Args:
            bounds: the declared least and largest value of each feature, in order.
        Raises:
            EngineRefused: VALUE_RANGE_TOO_WIDE when a contribution could leave the ring; COLUMN_UNKNOWN when the
                features are not as many as the bounds.
        """
        features = self.document["features"]
        if len(features) != len(bounds):
            raise EngineRefused(
                "COLUMN_UNKNOWN", "The model has other features than the request; commit to the right one."
            )
        if self.kind == SCORECARD and any(len(item["cuts"]) > cuts for item in features):
            raise EngineRefused("JOB_DIFFERS", "The model has more cuts than the request provides; raise its cuts.")
        if self.kind == SCORECARD:
            rows = [_scorecard(item, cuts) for item in features]
        else:
            rows = [_linear(item, low, high) for item, (low, high) in zip(features, bounds, strict=True)]
        found = Numbers(
            cuts=[row[0] for row in rows] if self.kind == SCORECARD else [],
            steps=[row[1] for row in rows] if self.kind == SCORECARD else [],
            first=[row[2] for row in rows],
            absent=[int(item["absent"]) for item in features],
            best=[row[3] for row in rows],
            base=int(self.document["base"]),
        )
        reach = [abs(row[4]) for row in rows] + [abs(number) for number in (*found.best, *found.absent, found.base)]
        if max(reach) >= _BOUND:
            raise EngineRefused(
                "VALUE_RANGE_TOO_WIDE", "A weight times its declared range is too wide; scale the model."
            )
        return found

    def _check(self) -> None:
        members = {"type", "kind", "version", "salt", "base", "shift", "features"}
        document = self.document
        if set(document) != members or document["type"] != CARD_TYPE or document["kind"] not in (SCORECARD, LINEAR):
            raise ValueError("not a card")
        if len(bytes.fromhex(document["salt"])) != 32 or not 1 <= len(document["version"]) <= 60:
            raise ValueError("no salt or no version")
        if not 1 <= len(document["features"]) <= MAX_FEATURES or not 0 <= _whole(document["shift"]) <= MAX_SHIFT:
            raise ValueError("too many features or too large a shift")
        _whole(document["base"])
        for item in document["features"]:
            (_check_scorecard if document["kind"] == SCORECARD else _check_linear)(item)


def scorecard(*, version: str, base: int, features: Sequence[Mapping[str, Any]], salt: str = "") -> dict[str, Any]:
    """A scorecard's document; each feature has column, cuts, points and absent."""
    return _document(SCORECARD, version, base, 0, features, salt)


def linear(
    *, version: str, base: int, shift: int, features: Sequence[Mapping[str, Any]], salt: str = ""
) -> dict[str, Any]:
    """A linear model's document; each feature has column, weight and absent; all in units of 2^-shift points."""
    return _document(LINEAR, version, base, shift, features, salt)


def _document(
    kind: str, version: str, base: int, shift: int, features: Sequence[Mapping[str, Any]], salt: str
) -> dict[str, Any]:
    document = {
        "type": CARD_TYPE,
        "kind": kind,
        "version": version,
        "salt": salt or secrets.token_hex(32),
        "base": base,
        "shift": shift,
        "features": [dict(item) for item in features],
    }
    return dict(Card.read(json.dumps(document).encode()).document)


def _scorecard(item: Mapping[str, Any], cuts: int) -> tuple[list[int], list[int], int, int, int]:
    """Cuts, steps, first, best and reach of one feature."""
    points, missing = [int(number) for number in item["points"]], cuts - len(item["cuts"])
    steps = [after - before for before, after in pairwise(points)]
    reach = max(abs(number) for number in points)
    return [*item["cuts"], *[_NEVER] * missing], [*steps, *[0] * missing], points[0], max(points), reach


def _linear(item: Mapping[str, Any], low: int, high: int) -> tuple[list[int], list[int], int, int, int]:
    ends = (item["weight"] * low, item["weight"] * high)
    return [], [], item["weight"], max(ends), max(abs(end) for end in ends)


def _check_scorecard(item: Mapping[str, Any]) -> None:
    if set(item) != {"column", "cuts", "points", "absent"} or not isinstance(item["column"], str):
        raise ValueError("not a feature")
    cuts, points = [_whole(one) for one in item["cuts"]], [_whole(one) for one in item["points"]]
    if len(points) != len(cuts) + 1 or len(cuts) > MAX_CUTS or sorted(set(cuts)) != cuts:
        raise ValueError("cuts ascend, and points are one more")
    if max(abs(one) for one in (*points, _whole(item["absent"]))) > MAX_POINTS:
        raise ValueError("too many points")


def _check_linear(item: Mapping[str, Any]) -> None:
    if set(item) != {"column", "weight", "absent"} or not isinstance(item["column"], str):
        raise ValueError("not a feature")
    _whole(item["weight"])
    _whole(item["absent"])


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _BOUND:
        raise ValueError("not a whole number within bounds")
    return value
