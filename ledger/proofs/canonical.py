"""Canonical JSON: one value, one sequence of bytes (RFC 8785), and a strict reader for what others send.

`canonicalize` is the standard as it stands, numbers with fractions included. Whatever is signed, logged or
hashed here goes through `encode`, which is narrower: integers only, so that no two languages can differ.
"""

import hashlib
import json
import re
from typing import Any, NoReturn

import rfc8785

from ledger.proofs.errors import VerificationError

MAX_SAFE_INTEGER = 2**53 - 1
_MAX_DEPTH = 64
# A text, or the rest of the document where it is not closed: so every byte is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


def canonicalize(obj: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value.

    Floats are written as ECMAScript writes them; NaN and infinity have no form. Integers must lie within
    ±(2^53 − 1): beyond, a reader that knows only doubles would see another number.

    Raises:
        VerificationError: `NOT_CANONICAL` or `JSON_INVALID`, the value cannot be written so that all
            readers agree.
    Source: RFC 8785, JSON Canonicalization Scheme.
    """
    return _dump(obj, is_plain=_check_value(obj, depth=0, floats=True))


def encode(obj: Any) -> bytes:
    """The canonical bytes of a value that is signed, logged or hashed: floats are refused, decimals are strings.

    Raises:
        VerificationError: as `canonicalize`.
    """
    return _dump(obj, is_plain=_check_value(obj, depth=0, floats=False))


def digest(obj: Any) -> str:
    """SHA-256 of the bytes that `encode` gives, as 64 lower-case hex characters."""
    return hashlib.sha256(encode(obj)).hexdigest()


def parse(data: bytes, *, max_bytes: int = 4 * 1024 * 1024) -> Any:
    """Read JSON strictly: UTF-8, whole characters, no duplicate names, no floats, integers within ±(2^53 − 1).

    Raises:
        VerificationError: `JSON_TOO_LARGE` or `JSON_INVALID`; the message never quotes the input.
    """
    return _parse(data, max_bytes=max_bytes)[0]


def parse_canonical(data: bytes, *, max_bytes: int = 4 * 1024 * 1024) -> Any:
    """Read JSON that must already be in canonical form, byte for byte."""
    value, is_plain = _parse(data, max_bytes=max_bytes)
    if _dump(value, is_plain=is_plain) != data:
        raise VerificationError("NOT_CANONICAL", "the document is not in canonical form")
    return value


def _parse(data: bytes, *, max_bytes: int) -> tuple[Any, bool]:
    if len(data) > max_bytes:
        raise VerificationError("JSON_TOO_LARGE", f"the document is larger than {max_bytes} bytes")
    check_depth(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_refuse_constant,
        )
    except VerificationError:
        raise
    except (ValueError, RecursionError) as error:
        raise VerificationError("JSON_INVALID", "the document is not strict JSON in UTF-8") from error
    return value, _check_value(value, depth=0, floats=False)


def check_depth(data: bytes) -> None:
    """Refuse deep nesting before the reader sees it: its recursion ends the process where the limit was raised.

    Raises:
        VerificationError: `JSON_INVALID`.
    """
    if data.count(b"[") + data.count(b"{") <= _MAX_DEPTH:
        return
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH + 1:
            raise VerificationError("JSON_INVALID", f"the document nests deeper than {_MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise VerificationError("JSON_INVALID", "an object names the same member twice")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise VerificationError("JSON_INVALID", "only integers, strings, booleans and null are allowed")


def _dump(obj: Any, *, is_plain: bool) -> bytes:
    """The bytes of a checked value.

    Python's own writer, which is ten times as fast, differs from the standard in fractions and in the order
    of member names beyond ASCII; what has neither is plain.
    """
    if is_plain:
        return json.dumps(obj, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    try:
        return rfc8785.dumps(obj)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise VerificationError("NOT_CANONICAL", "the value has no canonical JSON form") from error


def _check_value(value: Any, *, depth: int, floats: bool) -> bool:
    """Check a value and all that is in it; says whether it is plain."""
    if depth > _MAX_DEPTH:
        raise VerificationError("JSON_INVALID", f"the document nests deeper than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        return _check_text(value)
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise VerificationError("JSON_INVALID", "an integer is beyond 2^53 − 1; write it as a string")
        return type(value) is int
    is_plain = True
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise VerificationError("NOT_CANONICAL", "member names must be strings")
            if type(name) is not str or not name.isascii():
                _check_text(name)
                is_plain = False
            if type(item) is not str or not item.isascii():  # most members are plain texts
                is_plain &= _check_value(item, depth=depth + 1, floats=floats)
        return is_plain
    if isinstance(value, list | tuple):
        for item in value:
            if type(item) is not str or not item.isascii():
                is_plain &= _check_value(item, depth=depth + 1, floats=floats)
        return is_plain
    if not (floats and isinstance(value, float)):
        raise VerificationError("NOT_CANONICAL", "only integers, strings, booleans, null, lists and objects")
    return False


def _check_text(text: str) -> bool:
    """Refuse half a surrogate pair: it has no UTF-8, and readers replace it differently."""
    if not text.isascii() and _HALF.search(text):
        raise VerificationError("JSON_INVALID", "a text holds half a character; write it as a whole one")
    return type(text) is str
