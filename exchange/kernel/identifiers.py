"""References that leave the database: ULIDs, URNs, and numbers that carry a check character."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALNUM36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS = "10X98765432"
_URN = re.compile(r"urn:hengshu:(?P<kind>[a-z]+):(?P<ref>[0-9A-HJKMNP-TV-Z]{26})", re.ASCII)


def new_ulid(
    *,
    milliseconds: int | None = None,
    randomness: Callable[[int], bytes] = secrets.token_bytes,
) -> str:
    """Make a ULID: 48 bits of Unix time in milliseconds, then 80 random bits, in 26 characters.

    Source: the ULID specification, https://github.com/ulid/spec.
    """
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    return _spell((moment << 80) | int.from_bytes(randomness(10), "big"))


def ulid_of(text: str) -> str:
    """A reference in the form of a ULID that follows from a text: the first 128 bits of its SHA-256."""
    return _spell(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def _spell(value: int) -> str:
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -5, -5))


def make_urn(kind: str, ref: str) -> str:
    """Name a thing outside the database, for example `urn:hengshu:contract:01J…`."""
    urn = f"urn:hengshu:{kind}:{ref}"
    if not _URN.fullmatch(urn):
        raise ValueError(f"not a reference of kind {kind!r}")
    return urn


def parse_urn(urn: str, *, kind: str) -> str:
    """Return the ULID inside a URN of the given kind; ValueError for anything else."""
    match = _URN.fullmatch(urn) if isinstance(urn, str) else None
    if match is None or match["kind"] != kind:
        raise ValueError(f"not a urn:hengshu:{kind} reference")
    return match["ref"]


def check_character(text: str) -> str:
    """The ISO/IEC 7064 MOD 37,36 check character of letters and digits (hyphens are skipped)."""
    product = 36
    for character in text.replace("-", ""):
        product = (product + _ALNUM36.index(character)) % 36 or 36
        product = product * 2 % 37
    return _ALNUM36[(37 - product) % 36]


def number(prefix: str, *, exchange: str, year_month: str, serial: int) -> str:
    """A business number such as `DPC-HS-202611-000001K`: prefix, exchange, month, serial, check.

    Raises:
        ValueError: the serial does not fit six digits.
    """
    if not 0 < serial < 1_000_000:
        raise ValueError("serial must be between 1 and 999999 within a month")
    body = f"{prefix}-{exchange}-{year_month}-{serial:06d}"
    return body + check_character(body)


def number_is_valid(value: str) -> bool:
    """Whether the last character of a business number is the right check character."""
    return (
        re.fullmatch(r"[A-Z]{2,4}-[A-Z]{2}-\d{6}-\d{6}[0-9A-Z]", value, re.ASCII) is not None
        and check_character(value[:-1]) == value[-1]
    )


def uscc_check_character(first_17: str) -> str:
    """The check character of a unified social credit code (GB 32100-2015)."""
    total = sum(_USCC_ALPHABET.index(c) * w for c, w in zip(first_17, _USCC_WEIGHTS, strict=True))
    return _USCC_ALPHABET[(31 - total % 31) % 31]


def uscc_is_valid(value: str) -> bool:
    """Whether a unified social credit code has its form and check character (GB 32100-2015)."""
    if len(value) != 18 or any(character not in _USCC_ALPHABET for character in value):
        return False
    return uscc_check_character(value[:17]) == value[17]


def resident_check_character(first_17: str) -> str:
    """The check character of an 18-character resident identity number (GB 11643-1999)."""
    total = sum(int(digit) * w for digit, w in zip(first_17, _RESIDENT_WEIGHTS, strict=True))
    return _RESIDENT_CHECKS[total % 11]


def resident_id_is_valid(value: str) -> bool:
    """Whether an identity number has 17 digits and the right check character (upper-case X)."""
    if re.fullmatch(r"\d{17}[\dX]", value, re.ASCII) is None:
        return False
    return resident_check_character(value[:17]) == value[17]
