"""Additive secret sharing of whole numbers modulo 2^128.

A number is split into n shares, n - 1 of them drawn uniformly; any n - 1 shares are uniform and
independent of the number, all n add up to it. 128 bits rather than 64, so that a sum of squares over a
whole population cannot wrap for any range a dataset may declare; shares are made of aggregates, not of
rows, so that the width costs nothing.

Source: Benaloh, Secret Sharing Homomorphisms, CRYPTO 1986.
"""

from collections.abc import Callable, Sequence

WIDTH_BYTES = 16
MODULUS = 1 << (8 * WIDTH_BYTES)
LIMIT = MODULUS >> 1  # totals lie in [-LIMIT, LIMIT)

RandomBytes = Callable[[int], bytes]


def split(numbers: Sequence[int], *, parties: int, random_bytes: RandomBytes) -> list[list[int]]:
    """Split each number into `parties` shares; returns one vector for each party.

    Args:
        numbers: each in [-2^127, 2^127).
        random_bytes: a source fit for keys, such as `secrets.token_bytes`.
    """
    if any(not -LIMIT <= number < LIMIT for number in numbers):
        raise OverflowError("a number is outside [-2^127, 2^127)")
    drawn = [unpack(random_bytes(WIDTH_BYTES * len(numbers))) for _ in range(parties - 1)]
    last = [(number - sum(column)) % MODULUS for number, *column in zip(numbers, *drawn, strict=True)]
    return [*drawn, last]


def add(vectors: Sequence[Sequence[int]]) -> list[int]:
    """Add vectors of shares element by element."""
    return [sum(column) % MODULUS for column in zip(*vectors, strict=True)]


def join(vectors: Sequence[Sequence[int]]) -> list[int]:
    """The numbers behind all shares, signed."""
    return [total - MODULUS if total >= LIMIT else total for total in add(vectors)]


def pack(vector: Sequence[int]) -> bytes:
    """A vector as bytes, 16 for each share, little end first."""
    return b"".join(share.to_bytes(WIDTH_BYTES, "little") for share in vector)


def unpack(data: bytes) -> list[int]:
    """Read what `pack` wrote; ValueError for a torn vector."""
    if len(data) % WIDTH_BYTES:
        raise ValueError("not a whole number of shares")
    return [int.from_bytes(data[place : place + WIDTH_BYTES], "little") for place in range(0, len(data), WIDTH_BYTES)]
