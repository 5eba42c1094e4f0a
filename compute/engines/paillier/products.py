"""Weighted sums: the product of many ciphertexts, each to the power of its plain weight, by buckets.

One exponentiation per ciphertext costs the weight's length in squarings, again and again. Pippenger's way shares
them: take the weights digit by digit, highest first; multiply all ciphertexts with the same digit d into bucket d;
the product of bucket d to the power of d over all d is two multiplications a bucket, from the top down; then square
the result for the next digit. For 10,000 weights of 31 bits, digits of 9 bits: 4 multiplications a ciphertext instead
of 46, and 3 * 511 * 2 for the buckets.

Source: Pippenger, On the Evaluation of Powers and Monomials, SIAM Journal on Computing 9(2), 1980.
"""

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

from compute.engines.paillier.keys import PublicKey

_MAX_WIDTH = 16


def weighted(public: PublicKey, ciphertexts: Sequence[mpz], weights: Sequence[int]) -> mpz:
    """An encryption of the sum of weight times plaintext; weights of any sign and length.

    The noise of the result follows from the inputs': give it fresh one (`vectors.hide_origin`) before it goes to the
    key's owner, who could otherwise try weights until the noise fits.
    """
    if len(ciphertexts) != len(weights):
        raise ValueError("as many weights as ciphertexts")
    modulus = public.n_square
    positive = [(ciphertext, weight) for ciphertext, weight in zip(ciphertexts, weights, strict=True) if weight > 0]
    negative = [(ciphertext, -weight) for ciphertext, weight in zip(ciphertexts, weights, strict=True) if weight < 0]
    result = _product(positive, modulus)
    return result * gmpy2.invert(_product(negative, modulus), modulus) % modulus if negative else result


def one_by_one(public: PublicKey, ciphertexts: Sequence[mpz], weights: Sequence[int]) -> mpz:
    """The same by one exponentiation each: what `weighted` is measured against and tested with."""
    result, modulus = mpz(1), public.n_square
    for ciphertext, weight in zip(ciphertexts, weights, strict=True):
        result = result * gmpy2.powmod(ciphertext, weight, modulus) % modulus
    return result


def best_width(count: int, bits: int) -> int:
    """The digit width with the fewest multiplications."""

    def work(width: int) -> int:
        digits: int = -(-bits // width)
        return digits * (count + (2 << width)) + bits

    return min(range(1, _MAX_WIDTH + 1), key=work)


def _product(pairs: Sequence[tuple[mpz, int]], modulus: mpz) -> mpz:
    if not pairs:
        return mpz(1)
    bits = max(weight.bit_length() for _, weight in pairs)
    width = best_width(len(pairs), bits)
    mask, result = (1 << width) - 1, mpz(1)
    for place in range((bits - 1) // width * width, -1, -width):
        for _ in range(width):
            result = result * result % modulus
        result = result * _digit(pairs, place, mask, modulus) % modulus
    return result


def _digit(pairs: Sequence[tuple[mpz, int]], place: int, mask: int, modulus: mpz) -> mpz:
    """The product of ciphertext^digit for one digit of all weights."""
    buckets: dict[int, mpz] = {}
    for ciphertext, weight in pairs:
        if digit := weight >> place & mask:
            held = buckets.get(digit)
            buckets[digit] = ciphertext if held is None else held * ciphertext % modulus
    result = running = mpz(1)
    for digit in range(max(buckets, default=0), 0, -1):
        if (held := buckets.get(digit)) is not None:
            running = running * held % modulus
        result = result * running % modulus
    return result
