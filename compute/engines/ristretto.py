"""The group ristretto255 (RFC 9496): points, scalars and hashing into the group, as strings of 32 bytes.

A group of prime order l = 2^252 + 27742317777372353535851937790883648493. Every point but the identity generates it, so
no cofactor needs care, and a point has exactly one encoding, so two points are equal when their bytes are.

The arithmetic is libsodium's, through rbcl: constant-time in the scalar and in the point. Hashing into the group is
RFC 9380's expand_message_xmd with SHA-512 and ristretto's own map of 64 uniform bytes (suite
ristretto255_XMD:SHA-512_R255MAP_RO_ of RFC 9380, appendix B). `domain` keeps uses of the group apart: hashes under
two domains are unrelated functions.

A single multiplication costs some 60 microseconds. Imported by engines inside `run` only: it loads a native library.
"""

import hashlib
from contextlib import suppress
from functools import reduce
from importlib import import_module
from pathlib import Path

from rbcl import rbcl as sodium

ORDER = 2**252 + 27742317777372353535851937790883648493
SIZE = 32  # bytes of a point and of a scalar
IDENTITY = bytes(SIZE)
_UNIFORM_BYTES = 64
_BLOCK = bytes(128)  # SHA-512's input block, as expand_message_xmd pads
_LONGEST_DOMAIN = 255

# rbcl unpacks its library into a temporary file at every import and leaves it there. It is mapped by now.
with suppress(OSError):
    Path(import_module("rbcl._sodium").lib_path).unlink()


class NotInGroup(ValueError):
    """Bytes that are no point but the identity, or no scalar but zero; the text never repeats them."""


def hash_to_group(data: bytes, *, domain: bytes) -> bytes:
    """The point of `data`: nobody knows its logarithm to any other point (hash_to_ristretto255, RFC 9380)."""
    return bytes(sodium.crypto_core_ristretto255_from_hash(expand(data, domain=domain)))


def hash_to_scalar(data: bytes, *, domain: bytes) -> bytes:
    """A scalar of `data`, uniform up to 2^-260 (HashToScalar of RFC 9497); zero is possible and never met."""
    return bytes(sodium.crypto_core_ristretto255_scalar_reduce(expand(data, domain=domain)))


def random_scalar() -> bytes:
    """A uniform scalar other than zero, from the operating system."""
    return bytes(sodium.crypto_core_ristretto255_scalar_random())


def multiply(scalar: bytes, point: bytes) -> bytes:
    """The point, `scalar` times.

    Raises:
        NotInGroup: the point is not a canonical encoding or is the identity, or the scalar is zero modulo the order.
    """
    try:
        return bytes(sodium.crypto_scalarmult_ristretto255(scalar, point))
    except (RuntimeError, ValueError, TypeError):
        raise NotInGroup("This is no point of the group, or the scalar is zero.") from None


def multiply_base(scalar: bytes) -> bytes:
    """The generator, `scalar` times: the public key of a private one.

    Raises:
        NotInGroup: the scalar is zero modulo the order.
    """
    try:
        return bytes(sodium.crypto_scalarmult_ristretto255_base(scalar))
    except (RuntimeError, ValueError, TypeError):
        raise NotInGroup("The scalar is zero.") from None


def invert(scalar: bytes) -> bytes:
    """The scalar that undoes this one: multiply(invert(s), multiply(s, p)) == p.

    Raises:
        NotInGroup: the scalar is zero or not canonical.
    """
    _check_scalar(scalar)
    return bytes(sodium.crypto_core_ristretto255_scalar_invert(scalar))


def is_valid(point: bytes) -> bool:
    """Whether these bytes are the canonical encoding of a point other than the identity."""
    return len(point) == SIZE and point != IDENTITY and bool(sodium.crypto_core_ristretto255_is_valid_point(point))


def is_scalar(scalar: bytes) -> bool:
    """Whether these bytes are a canonical scalar other than zero."""
    return len(scalar) == SIZE and 0 < int.from_bytes(scalar, "little") < ORDER


def add(*points: bytes) -> bytes:
    """The sum of one or more points; the identity as a sum is IDENTITY."""
    return bytes(reduce(sodium.crypto_core_ristretto255_add, points))


def multiply_scalars(one: bytes, other: bytes) -> bytes:
    """The product of two scalars."""
    return bytes(sodium.crypto_core_ristretto255_scalar_mul(one, other))


def subtract_scalars(one: bytes, other: bytes) -> bytes:
    """The difference of two scalars."""
    return bytes(sodium.crypto_core_ristretto255_scalar_sub(one, other))


def expand(data: bytes, *, domain: bytes) -> bytes:
    """64 uniform bytes of `data`: expand_message_xmd with SHA-512 (RFC 9380, section 5.3.1)."""
    if len(domain) > _LONGEST_DOMAIN:
        domain = hashlib.sha512(b"H2C-OVERSIZE-DST-" + domain).digest()
    suffix = domain + bytes([len(domain)])
    first = hashlib.sha512(_BLOCK + data + _UNIFORM_BYTES.to_bytes(2, "big") + b"\x00" + suffix).digest()
    return hashlib.sha512(first + b"\x01" + suffix).digest()


def _check_scalar(scalar: bytes) -> None:
    if not is_scalar(scalar):
        raise NotInGroup("This is no scalar other than zero.")
