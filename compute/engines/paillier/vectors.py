"""Many ciphertexts: encrypting, adding, and what crosses a connection."""

from collections.abc import Iterable, Sequence

import gmpy2
from gmpy2 import mpz

from compute.engines.errors import PartInvalid
from compute.engines.paillier.keys import OwnerKey, PublicKey
from compute.engines.paillier.noise import Full, Noise, Owner


def encrypt(plaintexts: Iterable[int], noise: Noise) -> list[mpz]:
    """Encrypt whole numbers in (-n/2, n/2): (1 + n)^m is 1 + mn modulo n^2, so the noise is all the work."""
    n, modulus = noise.public.n, noise.public.n_square
    return [(1 + plaintext * n) * noise.draw() % modulus for plaintext in plaintexts]


def total(public: PublicKey, ciphertexts: Iterable[mpz]) -> mpz:
    """An encryption of the sum; of nothing, the trivial encryption of zero."""
    result, modulus = mpz(1), public.n_square
    for ciphertext in ciphertexts:
        result = result * ciphertext % modulus
    return result


def add_plain(public: PublicKey, ciphertext: mpz, number: int) -> mpz:
    """An encryption of the sum with a number in the clear; the noise stays what it was."""
    return ciphertext * (1 + number * public.n) % public.n_square


def hide_origin(public: PublicKey, ciphertext: mpz) -> mpz:
    """The same plaintext under fresh full noise, so that not even the owner sees what it was made of."""
    return ciphertext * Full(public).draw() % public.n_square


def write(public: PublicKey, ciphertexts: Iterable[mpz]) -> bytes:
    """Ciphertexts as bytes, all of one length, big end first."""
    width = public.ciphertext_bytes
    return b"".join(int(ciphertext).to_bytes(width, "big") for ciphertext in ciphertexts)


def read(public: PublicKey, data: bytes, *, count: int) -> list[mpz]:
    """Read exactly `count` ciphertexts that somebody else wrote.

    Raises:
        PartInvalid: another number of them, or one that is no unit modulo n^2.
    """
    width = public.ciphertext_bytes
    if len(data) != count * width:
        raise PartInvalid("Ciphertexts are missing or torn; the run is void.")
    found = [mpz(int.from_bytes(data[place : place + width], "big")) for place in range(0, len(data), width)]
    check(public, found)
    return found


def check(public: PublicKey, ciphertexts: Sequence[mpz]) -> None:
    """Raise PartInvalid unless every number lies in (0, n^2) and is coprime to n: one gcd for all of them."""
    n, product = public.n, mpz(1)
    if any(not 0 < ciphertext < public.n_square for ciphertext in ciphertexts):
        raise PartInvalid("A number is no ciphertext under the key of this job; the run is void.")
    for ciphertext in ciphertexts:
        product = product * (ciphertext % n) % n
    if gmpy2.gcd(product, n) != 1:
        raise PartInvalid("A number is no ciphertext under the key of this job; the run is void.")


class Encryptor:
    """Encrypts chunks for the key's owner; made in each process of `cores.Crew`."""

    def __init__(self, owner: OwnerKey, draws: int) -> None:
        self._noise = Owner(owner, draws=draws)

    def __call__(self, plaintexts: Sequence[int]) -> bytes:
        """The written ciphertexts of one chunk."""
        return write(self._noise.public, encrypt(plaintexts, self._noise))
