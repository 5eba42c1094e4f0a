"""Many powers of one base: a table of its powers by digits, so that an exponentiation is only multiplications.

With digits of w bits an exponent of L bits has L/w digits; row i of the table holds base^(d * 2^(w*i)) for every
digit d. A power is the product of one entry of each row: 4 digits of 8 bits for 32 bits, no squaring. A wider digit
means fewer multiplications and a table that doubles with each bit, so the width follows the number of powers wanted.

Source: Brickell, Gordon, McCurley and Wilson, Fast Exponentiation with Precomputation, EUROCRYPT 1992.
"""

from gmpy2 import mpz

MAX_TABLE_BYTES = 64 * 1024 * 1024
_OBJECT_BYTES = 56  # a Python object, its slot in the list, and what GMP rounds up
_MAX_WIDTH = 14


class Powers:
    """Powers of one base modulo one number.

    Args:
        exponent_bits: no exponent is longer.
        draws: how many powers are wanted; it decides the width of a digit.
    """

    def __init__(self, base: mpz, modulus: mpz, *, exponent_bits: int, draws: int) -> None:
        self._modulus = modulus
        self._limit = 1 << exponent_bits
        self.width = best_width(modulus.bit_length(), exponent_bits=exponent_bits, draws=draws)
        self._rows: list[list[mpz]] = []
        for _ in range(-(-exponent_bits // self.width)):
            row = [mpz(1), base]
            for _ in range(2, 1 << self.width):
                row.append(row[-1] * base % modulus)
            self._rows.append(row)
            base = row[-1] * base % modulus

    def power(self, exponent: int) -> mpz:
        """The base to the power of `exponent`, which is not negative."""
        if not 0 <= exponent < self._limit:
            raise OverflowError("the table was made for shorter exponents")
        modulus, width, mask = self._modulus, self.width, (1 << self.width) - 1
        result = mpz(1)
        for row in self._rows:
            if digit := exponent & mask:
                result = result * row[digit] % modulus
            exponent >>= width
        return result


def best_width(modulus_bits: int, *, exponent_bits: int, draws: int) -> int:
    """The digit width with the fewest multiplications, table included, that the memory allows."""

    def work(width: int) -> int:
        rows: int = -(-exponent_bits // width)
        return rows * (draws + (1 << width))

    def size(width: int) -> int:
        entries: int = -(-exponent_bits // width) * (1 << width)
        return entries * (modulus_bits // 8 + _OBJECT_BYTES)

    fitting = [width for width in range(1, _MAX_WIDTH + 1) if size(width) <= MAX_TABLE_BYTES]
    return min(fitting, key=work)
