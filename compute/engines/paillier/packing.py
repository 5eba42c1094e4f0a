"""Many numbers in one plaintext, each in a slot so wide that no sum of the declared number of rows leaves it.

A slot for values within [-bound, bound] that are added up `rows` times has the bits of rows * bound and one for the
sign. Bound 100 and 1,000 rows: 100,000 has 17 bits, so slots have 18. The numbers 5 and -3 in two such slots are
5 + (-3) * 2^18; adding plaintexts adds slot by slot, and a slot is read as the number nearest to zero, lowest first,
its sign handed on. Pure Python: buyers open results with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class PackingOverflow(OverflowError):
    """A number is beyond the declared bound of its slot, or the slots do not fit the plaintext."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Slots from the lowest bits up.

    Args:
        bounds: the largest absolute value that may be packed into each slot.
        rows: how many plaintexts may be added up, weights included.
    """

    bounds: tuple[int, ...]
    rows: int

    @property
    def widths(self) -> list[int]:
        """Bits of each slot."""
        return [(bound * self.rows).bit_length() + 1 for bound in self.bounds]

    @property
    def bits(self) -> int:
        """Bits of a whole plaintext, sign included."""
        return sum(self.widths) + 1

    def check_fits(self, plaintext_bits: int) -> None:
        """Raise PackingOverflow where the slots are wider than a plaintext may be."""
        if self.bits > plaintext_bits:
            raise PackingOverflow("the slots do not fit one plaintext")

    def pack(self, numbers: Sequence[int]) -> int:
        """Put numbers into the slots, at most as many as there are; the others are zero.

        Raises:
            PackingOverflow: one of them is beyond its bound; the text does not repeat it.
        """
        packed = place = 0
        for number, bound, width in zip(numbers, self.bounds, self.widths, strict=False):
            if not -bound <= number <= bound:
                raise PackingOverflow("a number is beyond its declared bound")
            packed += number << place
            place += width
        if len(numbers) > len(self.bounds):
            raise PackingOverflow("there are more numbers than slots")
        return packed

    def unpack(self, packed: int) -> list[int]:
        """The numbers in the slots.

        Raises:
            PackingOverflow: this is no sum of at most `rows` packed plaintexts.
        """
        numbers = []
        for bound, width in zip(self.bounds, self.widths, strict=True):
            number = packed & ((1 << width) - 1)
            if number >> (width - 1):
                number -= 1 << width
            if abs(number) > bound * self.rows:
                raise PackingOverflow("a slot holds more than its rows could add up to")
            numbers.append(number)
            packed = (packed - number) >> width
        if packed:
            raise PackingOverflow("something is left above the slots")
        return numbers


def uniform(*, bound: int, rows: int, plaintext_bits: int) -> Packing:
    """As many equal slots as a plaintext holds."""
    width = (bound * rows).bit_length() + 1
    slots = (plaintext_bits - 1) // width
    if not slots:
        raise PackingOverflow("not one slot fits the plaintext")
    return Packing((bound,) * slots, rows)


def pack_all(numbers: Iterable[int], packing: Packing) -> list[int]:
    """Plaintexts that hold all numbers in order, the last one filled up with zeros."""
    listed, slots = list(numbers), len(packing.bounds)
    return [packing.pack(listed[place : place + slots]) for place in range(0, len(listed), slots)]
