"""A card as a linear form over one agency's columns, and the slots in which two parties add it up.

Paillier adds and multiplies by plain numbers, but compares nothing. So the agency does the comparing on its own rows,
in the clear: of a scorecard it is told where the cuts lie, and turns each feature into one column of 0 and 1 for each
cut, reached or not. What the points are is the bank's secret: a step at each cut. Of a linear model the agency is told
nothing; its columns are the values. A column about the spouse has another beside it, whether the spouse consents, and
is zero where not; so `absent` is points, too.

    cuts 12, 24, points -40, 0, 30, absent -20: months 18 is (1, 0); -40 + 40 * 1 + 30 * 0 = 0.
    with the spouse's consent p: (p, p * reached 12, p * reached 24); -20 + (-40 + 20) p + 40 ... + 30 ...

The sum z over a row, less the least that any row can have, lies in [0, 2^total): `total` is the card's shift and its
`reach`, the bits of whole points. Slots of a plaintext are MASK bits wider, so that a mask hides z up to 2^-80.
Pure Python but for `columns`.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from compute.engines.errors import EngineRefused
from compute.engines.paillier.packing import Packing
from compute.engines.scoring import consents
from compute.engines.scoring.cards import MAX_CUTS, MAX_SHIFT, SCORECARD, Card

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MASK_BITS = 80
MIN_REACH, MAX_REACH = 10, 16  # bits of points: 300 to 850 take ten
TRAINED_SHIFT = 30  # 12 binary places of a standardised value and 18 of a weight
_LARGEST, _BEYOND = 8 << 12, 21  # 16 columns of 15 bits and sign, and one bit to start in the middle
_MAX_CUT = 1 << 56  # a card allows no larger one
_MASK, _ROUNDING = b"hengshu/paired-scoring/mask/v1", b"hengshu/paired-scoring/rounding/v1"


@dataclass(frozen=True, slots=True)
class Shape:
    """What both parties know of one scoring.

    Args:
        columns: the agency's, in order; bounds: the declared least and largest value of each.
        cuts: of each column, empty for a linear model; shift, reach: see above.
        beyond: bits by which sums are longer than what counts of them; of a trained model's shares only.
    """

    columns: tuple[str, ...]
    bounds: tuple[tuple[int, int], ...]
    cuts: tuple[tuple[int, ...], ...]
    shift: int
    reach: int
    beyond: int = 0

    @property
    def total_bits(self) -> int:
        """Bits of one row's sum."""
        return self.shift + self.reach

    @property
    def mask_bits(self) -> int:
        """Bits of the mask on it."""
        return self.total_bits + self.beyond + MASK_BITS

    @property
    def width(self) -> int:
        """Bits of a slot: a sum and its mask."""
        return self.mask_bits + 1

    @property
    def largest(self) -> list[int]:
        """The largest absolute value of each column of the form, at least 1."""
        found = []
        for name, (low, high), cuts in zip(self.columns, self.bounds, self.cuts or self._no_cuts, strict=True):
            found += [1] * name.startswith(consents.SPOUSE)
            found += [1] * len(cuts) if self.cuts else [max(1, abs(low), abs(high))]
        return found

    @property
    def _no_cuts(self) -> tuple[tuple[int, ...], ...]:
        return ((),) * len(self.columns)

    def slots(self, plaintext_bits: int) -> int:
        """How many rows a plaintext holds."""
        return (plaintext_bits - 1) // self.width

    def packing(self, bound: int, *, plaintext_bits: int) -> Packing:
        """The slots for values up to `bound`; PackingOverflow where one value leaves a slot."""
        rows = ((1 << (self.width - 1)) - 1) // bound
        return Packing((bound,) * self.slots(plaintext_bits), rows)


@dataclass(frozen=True, slots=True)
class Form:
    """The bank's secret: sum = constant + coefficients x columns; `lowest` is taken off, so that none is below 0."""

    shape: Shape
    coefficients: tuple[int, ...]
    constant: int
    lowest: int

    @property
    def start(self) -> int:
        """What every row's sum begins with."""
        return self.constant - self.lowest

    def opened(self, number: int, *, mask: int) -> int:
        """The row's sum, rounded by the agency below one point, from what the agency's entry holds.

        Args:
            number: the masked sum modulo 2^total.
        """
        return (number - mask) % (1 << self.shape.total_bits) + self.lowest


def form(card: Card, *, columns: Sequence[str], bounds: Sequence[tuple[int, int]]) -> Form:
    """The linear form of a card's features that are the agency's, which come first.

    Raises:
        EngineRefused: VALUE_RANGE_TOO_WIDE for a card whose points reach further than MAX_REACH bits.
    """
    is_scorecard = card.kind == SCORECARD
    coefficients: list[int] = []
    low = high = constant = int(card.document["base"])
    for item, name, bound in zip(card.document["features"], columns, bounds, strict=False):
        is_spouse = name.startswith(consents.SPOUSE)
        first, steps, reached = _terms(item, bound, is_scorecard=is_scorecard)
        if is_spouse:
            coefficients.append(first - item["absent"])
            reached = [*reached, item["absent"]]
        coefficients += steps
        constant += item["absent"] if is_spouse else first
        low, high = low + min(reached), high + max(reached)
    shift = int(card.document["shift"])
    lowest = low >> shift << shift
    reach = max(MIN_REACH, (high - lowest + (1 << shift) - 1).bit_length() - shift)
    if reach > MAX_REACH:
        raise EngineRefused(
            "VALUE_RANGE_TOO_WIDE", "Points within the declared bounds reach too far; narrow the model or the bounds."
        )
    cuts = tuple(tuple(item["cuts"]) for item in card.document["features"][: len(columns)]) if is_scorecard else ()
    shape = Shape(tuple(columns), tuple(bounds), cuts, shift, reach)
    return Form(shape, tuple(coefficients), constant, lowest)


def trained_shape(columns: int) -> Shape:
    """The shape of a trained model over standardised columns: the same for every model, so nothing is told of it."""
    names, bound = tuple(str(place) for place in range(columns)), (-_LARGEST, _LARGEST)
    return Shape(names, (bound,) * columns, (), TRAINED_SHIFT, MAX_REACH, _BEYOND)


def trained_form(weights: Sequence[int], *, factor: int) -> Form:
    """The form of the bank's shares of a trained model: -factor x share, modulo 2^total like everything after it.

    A share is as long as the ring, so sums go beyond 2^total, up and down; they start in the middle of the slot, at a
    multiple of 2^total. What is opened is read as a number of either sign.
    """
    shape = trained_shape(len(weights))
    half = 1 << (shape.total_bits - 1)
    return Form(shape, tuple(trained_coefficients(weights, factor=factor)), 1 << shape.total_bits + _BEYOND - 1, -half)


def trained_coefficients(weights: Sequence[int], *, factor: int) -> list[int]:
    """What either party's shares of the weights are multiplied by, modulo 2^total."""
    return [-factor * weight % (1 << TRAINED_SHIFT + MAX_REACH) for weight in weights]


def own_points(card: Card, values: Sequence[int], *, skip: int) -> int:
    """What the bank's own columns contribute, in the clear; its features come after the agency's `skip`."""
    found = 0
    for item, value in zip(card.document["features"][skip:], values, strict=True):
        first, steps, _ = _terms(item, (value, value), is_scorecard=card.kind == SCORECARD)
        if card.kind == SCORECARD:
            found += first + sum(step for step, cut in zip(steps, item["cuts"], strict=True) if value >= cut)
        else:
            found += steps[0] * value
    return found


def told(shape: Shape) -> dict[str, Any]:
    """What the bank tells the agency of its card."""
    return {"shift": shape.shift, "reach": shape.reach, "cuts": [list(one) for one in shape.cuts]}


def read_told(value: Mapping[str, Any], *, columns: Sequence[str], bounds: Sequence[tuple[int, int]]) -> Shape:
    """The shape at the agency, from what it was told; EngineRefused JOB_DIFFERS for anything out of bounds."""
    cuts = value.get("cuts")
    numbers = (value.get("shift"), value.get("reach"))
    if (
        not all(isinstance(one, int) and not isinstance(one, bool) for one in numbers)
        or not isinstance(cuts, list)
        or len(cuts) not in (0, len(columns))
        or not all(_is_cuts(one) for one in cuts)
        or not 0 <= value["shift"] <= MAX_SHIFT
        or not MIN_REACH <= value["reach"] <= MAX_REACH
    ):
        raise EngineRefused("JOB_DIFFERS", "The bank's greeting cannot be read; check the versions.")
    return Shape(
        tuple(columns), tuple(bounds), tuple(tuple(one) for one in cuts), int(value["shift"]), int(value["reach"])
    )


def columns(shape: Shape, values: "NDArray[np.int64]", usable: "NDArray[np.bool_]") -> list["NDArray[np.int64]"]:
    """The agency's columns of the form. Shapes: values, usable (columns, rows); each result (rows,).

    A row that is not usable in a column that is not about the spouse counts as the declared value nearest to zero: its
    sum is opened by nobody and must only stay within its slot.
    """
    import numpy as np

    found = []
    for place, name in enumerate(shape.columns):
        low, high = shape.bounds[place]
        is_spouse, allowed = name.startswith(consents.SPOUSE), usable[place].astype(np.int64)
        value = np.where(usable[place], values[place], min(max(0, low), high))
        if is_spouse:
            found.append(allowed)
        weight = allowed if is_spouse else np.ones_like(allowed)
        if shape.cuts:
            found += [(value >= cut).astype(np.int64) * weight for cut in shape.cuts[place]]
        else:
            found.append(value * weight)
    return found


def masks(seed: bytes, batch: int, *, shape: Shape, slots: int) -> list[int]:
    """The masks of one plaintext's slots, from a seed that only the bank has."""
    size = -(-shape.mask_bits // 8)
    drawn = hashlib.shake_256(_MASK + seed + batch.to_bytes(8, "big")).digest(size * slots)
    cut = 8 * size - shape.mask_bits
    return [int.from_bytes(drawn[place : place + size], "big") >> cut for place in range(0, len(drawn), size)]


def rounding(seed: bytes, *, card: str, person: str, values: Sequence[int], bits: int) -> int:
    """What the agency adds below one point: uniform, and the same whenever the same row meets the same card.

    A fresh one each time would be averaged away by asking often; one that stays when the row changes would show by how
    much it changed.

    Args:
        seed: a secret of the agency's node; card: the model's commitment; bits: the card's shift.
    """
    text = b"\x00".join([card.encode(), person.encode(), *(str(value).encode() for value in values)])
    return int.from_bytes(hmac.digest(seed, _ROUNDING + text, "sha256")[:8], "big") & ((1 << bits) - 1)


def _terms(item: Mapping[str, Any], bound: tuple[int, int], *, is_scorecard: bool) -> tuple[int, list[int], list[int]]:
    """A feature's points at the start, the step of each column, and the points between which it can lie."""
    if not is_scorecard:
        return 0, [item["weight"]], [item["weight"] * end for end in bound]
    points = item["points"]
    return points[0], [after - before for before, after in pairwise(points)], list(points)


def _is_cuts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_CUTS
        and all(isinstance(cut, int) and not isinstance(cut, bool) and abs(cut) <= _MAX_CUT for cut in value)
        and sorted(set(value)) == value
    )
