"""The random factor of a ciphertext, an n-th residue modulo n^2, in four qualities.

`Full`: r^n for r uniform modulo n. Anybody can draw it; a full exponentiation each (milliseconds). Uniform over all
    n-th residues. What goes back to the key's owner gets this noise, because the owner could tell shorter ones apart.
`Owner`: the same uniform distribution, drawn by the key's owner out of tables: modulo p^2 the n-th residues are a
    cyclic group of p - 1 elements, so a generator to a uniform power is a uniform residue; likewise modulo q^2, and
    the two halves are put together. No assumption beyond Paillier's own (decisional composite residuosity).
`Wide`: as uniform as `Full` up to 2^-80, for anybody, out of a table: for y with Jacobi symbol -1 the powers of y^n and
    -1 together are all n-th residues, if the key is of our form (`primes`); so +-y^(n*e), e 80 bits longer than n.
`Short`: h^(n*r) for a random r, out of a table, for those who are not the owner. By default r has half the bits of n,
    which is as safe as factoring is hard; `exponent_bits` down to 256 is faster and rests on a stronger assumption.
    See docs/subsystems/paillier.md and ADR 28.

Every draw comes from the operating system's generator through `secrets`.

Source: Damgard, Jurik and Nielsen 2010 (h = -x^2, exponents of half the length); Goldreich and Rosen, On the Security
of Modular Exponentiation, Journal of Cryptology 16(2), 2003 (why half is enough).
"""

import secrets
from typing import Protocol

import gmpy2
from gmpy2 import mpz

from compute.engines.paillier.fixed_base import Powers
from compute.engines.paillier.keys import OwnerKey, PublicKey
from compute.engines.paillier.primes import order_is_full

MIN_EXPONENT_BITS = 256  # kangaroos need 2^128 steps
DEFAULT_DRAWS = 10_000
_WIDER = 80  # bits that an exponent is longer than the group's order: uniform up to 2^-80


class Noise(Protocol):
    """A source of noise for one public key."""

    public: PublicKey

    def draw(self) -> mpz:
        """A fresh random n-th residue modulo n^2."""


class Full:
    """Uniform n-th residues for anybody, one long exponentiation each."""

    def __init__(self, public: PublicKey) -> None:
        self.public = public

    def draw(self) -> mpz:
        """See Noise.draw."""
        n = self.public.n
        while True:
            root = mpz(secrets.randbelow(int(n)))
            if gmpy2.gcd(root, n) == 1:
                return gmpy2.powmod(root, n, self.public.n_square)


class Owner:
    """Uniform n-th residues for the key's owner, out of two tables of half the size."""

    def __init__(self, owner: OwnerKey, *, draws: int = DEFAULT_DRAWS) -> None:
        self.public = owner.public
        self._p, self._q = int(owner.p), int(owner.q)
        self._p_powers = _group(owner.p, owner.p_factors, draws=draws)
        self._q_powers = _group(owner.q, owner.q_factors, draws=draws)
        self._p_square, self._q_square = owner.p * owner.p, owner.q * owner.q
        self._q_inverse = gmpy2.invert(self._q_square, self._p_square)

    def draw(self) -> mpz:
        """See Noise.draw."""
        at_p = self._p_powers.power(secrets.randbelow(self._p - 1))
        at_q = self._q_powers.power(secrets.randbelow(self._q - 1))
        return at_q + self._q_square * ((at_p - at_q) * self._q_inverse % self._p_square)


class Wide:
    """Uniform n-th residues for anybody, out of one table; for what goes back to a semi-honest owner.

    With p = q = 3 (mod 4) the residues are four cosets of the squares: those of 1, -1, y and -y for any y of Jacobi
    symbol -1. A random y^2 generates all squares but with probability below 2^-240 (p - 1 is twice four large primes),
    so y to a wide exponent reaches the cosets of 1 and y, and a random sign the others. A key of another form could
    leave residues out, and its owner see something of where a ciphertext came from: not against an owner that lies.
    """

    def __init__(self, public: PublicKey, *, draws: int = DEFAULT_DRAWS) -> None:
        self.public = public
        self._exponent_bits = public.bits + _WIDER
        while True:
            root = mpz(secrets.randbelow(int(public.n)))
            if gmpy2.jacobi(root, public.n) == -1:
                break
        base = gmpy2.powmod(root, public.n, public.n_square)
        self._powers = Powers(base, public.n_square, exponent_bits=self._exponent_bits, draws=draws)

    def draw(self) -> mpz:
        """See Noise.draw."""
        found = self._powers.power(secrets.randbits(self._exponent_bits))
        return self.public.n_square - found if secrets.randbits(1) else found


class Short:
    """Powers of the public base for those who do not own the key.

    Args:
        exponent_bits: None for half the bits of n; not below 256 otherwise.
        draws: how many are wanted, which decides the size of the table.
        small_for_tests: allow shorter exponents, which protect nothing.
    """

    def __init__(
        self,
        public: PublicKey,
        *,
        exponent_bits: int | None = None,
        draws: int = DEFAULT_DRAWS,
        small_for_tests: bool = False,
    ) -> None:
        self.public = public
        self.exponent_bits = exponent_bits or (public.bits + 1) // 2
        if self.exponent_bits < MIN_EXPONENT_BITS and not small_for_tests:
            raise ValueError(f"exponents of noise have at least {MIN_EXPONENT_BITS} bits")
        self._powers = Powers(public.base, public.n_square, exponent_bits=self.exponent_bits, draws=draws)

    def draw(self) -> mpz:
        """See Noise.draw."""
        return self._powers.power(secrets.randbits(self.exponent_bits))


def _group(prime: mpz, factors: tuple[mpz, ...], *, draws: int) -> Powers:
    """Powers of a generator of the n-th residues modulo prime^2, which are the p - 1 elements x^p."""
    element = mpz(2)
    while not order_is_full(element, prime=prime, factors=factors):
        element += 1
    square = prime * prime
    return Powers(gmpy2.powmod(element, prime, square), square, exponent_bits=prime.bit_length(), draws=draws)
