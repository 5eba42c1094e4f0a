"""Primes p with p = 3 (mod 4) whose p - 1 is known to be 2 times large primes.

Why: the owner of a key draws its noise as powers of a generator of a whole group of p - 1 elements (`noise.Owner`),
and that an element generates the group can only be checked with the factors of p - 1 in hand. Others draw short
powers of a square, which must lie in no small subgroup: with factors of p - 1 of 250 bits and more there is none but
{1, -1}.

How: p = 2abcd + 1 is tried for products of four primes out of a drawn pool until p is prime. That takes some three
hundred products and no hunt for safe primes (p = 2a + 1), which is ten times as long and gives nothing more here.
"""

import secrets
from functools import cache

import gmpy2
from gmpy2 import mpz

FACTORS = 4
_POOL = 32  # 35,960 products of four, one in eight of the right size, one in 355 of these prime at 1,024 bits
_ROUNDS = 40  # BPSW and 16 rounds of Miller and Rabin: a composite passes with probability below 2^-80
_TRIAL_LIMIT = 2_000

_random = secrets.SystemRandom()


def draw(bits: int) -> tuple[mpz, tuple[mpz, ...]]:
    """A random prime of exactly `bits` bits, its two highest set; returns it and all prime factors of p - 1."""
    while True:
        pool = [_prime(bits // FACTORS) for _ in range(_POOL)]
        for _ in range(20 * bits):
            chosen = _random.sample(pool, FACTORS)
            found = 2 * chosen[0] * chosen[1] * chosen[2] * chosen[3] + 1
            if found >> (bits - 2) == 3 and len(set(chosen)) == FACTORS and is_prime(found):
                return found, (mpz(2), *chosen)


def is_prime(number: mpz) -> bool:
    """Whether a number is prime, but for a negligible probability; cheap for most that are not."""
    limit = _TRIAL_LIMIT
    if number > limit * limit and gmpy2.gcd(number, small_primes()) != 1:
        return False
    return bool(gmpy2.is_prime(number, _ROUNDS))


def order_is_full(element: mpz, *, prime: mpz, factors: tuple[mpz, ...]) -> bool:
    """Whether an element generates the whole multiplicative group modulo a prime.

    Args:
        factors: every prime factor of prime - 1.
    """
    return all(gmpy2.powmod(element, (prime - 1) // factor, prime) != 1 for factor in factors)


@cache
def small_primes() -> mpz:
    """The product of all primes below 2,000."""
    return gmpy2.primorial(_TRIAL_LIMIT)


def _prime(bits: int) -> mpz:
    while True:
        found = mpz(secrets.randbits(bits) | 3 << (bits - 2) | 1)
        if is_prime(found):
            return found
