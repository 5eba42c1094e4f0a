"""Keys: phe's own types, with gmpy2 numbers beside them, and checks on what a peer sends.

A pair is made for one job and dies with the run's process. The only module that imports phe, which is licensed under
the GPL, version 3.
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gmpy2
import phe.paillier
from gmpy2 import mpz

from compute.engines.errors import PartInvalid
from compute.engines.paillier import primes

MIN_BITS = 2048  # 112 bits of security (NIST SP 800-57 part 1, table 2)
DEFAULT_BITS = 3072  # 128 bits: what is encrypted today should still be secret after 2030
MAX_BITS = 8192


@dataclass(frozen=True)
class PublicKey:
    """What encrypts: the modulus and a base of short noise.

    Args:
        n: the product of two primes.
        base: h^n modulo n^2 for h = -x^2 with x at random: its powers are noise (Damgard, Jurik and Nielsen, 2010).
    """

    n: mpz
    base: mpz

    @cached_property
    def n_square(self) -> mpz:
        """Ciphertexts are numbers modulo this."""
        return self.n * self.n

    @cached_property
    def phe(self) -> Any:
        """The same key as `phe.paillier.PaillierPublicKey`."""
        return phe.paillier.PaillierPublicKey(int(self.n))

    @property
    def bits(self) -> int:
        """The length of n."""
        return int(self.n.bit_length())

    @property
    def plaintext_bits(self) -> int:
        """Signed plaintexts of this many bits, sign included, never meet the modulus."""
        return self.bits - 1

    @property
    def ciphertext_bytes(self) -> int:
        """The length of one ciphertext, written."""
        return (2 * self.bits + 7) // 8

    def to_bytes(self) -> bytes:
        """The key for a peer: n, then the base."""
        width = self.ciphertext_bytes
        return int(self.n).to_bytes(width // 2, "big") + int(self.base).to_bytes(width, "big")


@dataclass(frozen=True)
class OwnerKey:
    """What decrypts: the primes, and the prime factors of p - 1 and q - 1. Never leaves the process of its run."""

    public: PublicKey
    p: mpz = field(repr=False)
    q: mpz = field(repr=False)
    p_factors: tuple[mpz, ...] = field(repr=False)
    q_factors: tuple[mpz, ...] = field(repr=False)

    @cached_property
    def phe(self) -> Any:
        """The same key as `phe.paillier.PaillierPrivateKey`."""
        return phe.paillier.PaillierPrivateKey(self.public.phe, int(self.p), int(self.q))

    def decrypt(self, ciphertext: mpz) -> int:
        """The plaintext, in [0, n)."""
        return int(self.phe.raw_decrypt(int(ciphertext)))

    def decrypt_signed(self, ciphertext: mpz) -> int:
        """The plaintext, in (-n/2, n/2)."""
        return signed(self.decrypt(ciphertext), int(self.public.n))


def generate(bits: int = DEFAULT_BITS, *, small_for_tests: bool = False) -> OwnerKey:
    """Make a key pair.

    Args:
        bits: the length of n, even, at least 2,048.
        small_for_tests: allow shorter keys, which protect nothing.
    """
    if not (small_for_tests or MIN_BITS <= bits <= MAX_BITS) or bits % 16:
        raise ValueError(f"a key has {MIN_BITS} to {MAX_BITS} bits, a multiple of 16")
    p, p_factors = primes.draw(bits // 2)
    while True:
        q, q_factors = primes.draw(bits // 2)
        if not set(p_factors[1:]) & set(q_factors) and abs(p - q) >> (bits // 2 - 100 if bits > 400 else 1):
            break
    n = p * q
    x = mpz(secrets.randbelow(int(n) - 2) + 2)
    base = gmpy2.powmod(-x * x % n, n, n * n)
    return OwnerKey(PublicKey(n, base), p, q, p_factors, q_factors)


def read_public(data: bytes, *, bits: int = DEFAULT_BITS, small_for_tests: bool = False) -> PublicKey:
    """Read a peer's key.

    Checked: its exact length, that n is odd, composite, no perfect power and free of small factors, and that the
    base is a unit modulo n^2. Not checked: that n has two prime factors; a peer that follows the protocol made it so.

    Raises:
        PartInvalid: it is no such key.
    """
    if not (small_for_tests or bits >= MIN_BITS):
        raise ValueError(f"keys below {MIN_BITS} bits protect nothing")
    half = bits // 8
    n, base = mpz(int.from_bytes(data[:half], "big")), mpz(int.from_bytes(data[half:], "big"))
    if (
        len(data) != 3 * half
        or n.bit_length() != bits
        or gmpy2.gcd(n, primes.small_primes()) != 1
        or primes.is_prime(n)
        or gmpy2.is_power(n)
        or not 1 < base < n * n
        or gmpy2.gcd(base, n) != 1
    ):
        raise PartInvalid("A peer's key cannot be used; the run is void.")
    return PublicKey(n, base)


def signed(number: int, modulus: int) -> int:
    """A residue as the number nearest to zero."""
    number %= modulus
    return number - modulus if 2 * number > modulus else number
