"""Canonical JSON: one value, one sequence of bytes (RFC 8785), and a strict reader for what others send."""

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
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


def canonicalize(obj: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value.

    Integers must lie within ±(2^53 − 1) and floats are refused: decimals travel as strings.

    Raises:
        VerificationError: `NOT_CANONICAL`, the value cannot be written so that all readers agree.
    Source: RFC 8785, JSON Canonicalization Scheme.
    """
    _check_value(obj, depth=0)
    try:
        return rfc8785.dumps(obj)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise VerificationError("NOT_CANONICAL", "the value has no canonical JSON form") from error


def digest(obj: Any) -> str:
    """SHA-256 of the canonical bytes, as 64 lower-case hex characters."""
    return hashlib.sha256(canonicalize(obj)).hexdigest()


def parse(data: bytes, *, max_bytes: int = 4 * 1024 * 1024) -> Any:
    """Read JSON strictly: UTF-8, no duplicate names, no NaN, no floats, integers within ±(2^53 − 1).

    Raises:
        VerificationError: `JSON_TOO_LARGE` or `JSON_INVALID`; the message never quotes the input.
    """
    if len(data) > max_bytes:
        raise VerificationError("JSON_TOO_LARGE", f"the document is larger than {max_bytes} bytes")
    _check_depth(data)
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
    _check_value(value, depth=0)
    return value


def parse_canonical(data: bytes, *, max_bytes: int = 4 * 1024 * 1024) -> Any:
    """Read JSON that must already be in canonical form, byte for byte."""
    value = parse(data, max_bytes=max_bytes)
    if canonicalize(value) != data:
        raise VerificationError("NOT_CANONICAL", "the document is not in canonical form")
    return value


def _check_depth(data: bytes) -> None:
    """Refuse deep nesting before the reader sees it: its recursion ends the process where the limit was raised."""
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


def _check_value(value: Any, *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise VerificationError("JSON_INVALID", f"the document nests deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise VerificationError("JSON_INVALID", "an integer is beyond 2^53 − 1; write it as a string")
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise VerificationError("NOT_CANONICAL", "member names must be strings")
            _check_value(item, depth=depth + 1)
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check_value(item, depth=depth + 1)
        return
    raise VerificationError("NOT_CANONICAL", "only integers, strings, booleans, null, lists and objects")
