"""Closed shapes of documents: every member known, every type exact, every size bounded.

A shape is a function `(value, path) -> None` that raises DocumentInvalid with the member's path, such
as `terms.money.split[1].basis_points`. Messages never quote the value.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from ledger.proofs import multibase
from ledger.proofs.canonical import MAX_SAFE_INTEGER
from ledger.proofs.errors import VerificationError

Shape = Callable[[Any, str], None]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


class DocumentInvalid(DomainError):
    """A document does not have the closed shape of its type and version."""

    code = "DOCUMENT_INVALID"
    status = 400

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}.", fields={path: problem})
        self.path = path


def refuse(path: str, problem: str) -> DocumentInvalid:
    """The error for one member; `raise refuse(path, "…")`."""
    return DocumentInvalid(path, problem)


def text(low: int = 1, high: int = 400) -> Shape:
    """A string of `low` to `high` characters without control characters."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise refuse(path, "must be a string")
        if not low <= len(value) <= high:
            raise refuse(path, f"must have {low} to {high} characters")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise refuse(path, "must not contain control characters")

    return check


def pattern(expression: str, meaning: str, *, high: int = 1024) -> Shape:
    """A string of at most `high` characters that matches the whole expression; `meaning` says what is expected."""
    compiled = re.compile(expression, re.ASCII)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or len(value) > high or compiled.fullmatch(value) is None:
            raise refuse(path, f"must be {meaning}")

    return check


def choice(*allowed: str) -> Shape:
    """One of the named words."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise refuse(path, f"must be one of {', '.join(allowed)}")

    return check


def integer(low: int = 0, high: int = MAX_SAFE_INTEGER) -> Shape:
    """An integer (never a boolean) between `low` and `high`."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise refuse(path, "must be an integer")
        if not low <= value <= high:
            raise refuse(path, f"must lie between {low} and {high}")

    return check


def boolean(value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise refuse(path, "must be true or false")


def time(value: Any, path: str) -> None:
    """UTC with seconds, `2026-11-21T05:30:00Z`, and a real moment."""
    try:
        parse_time(value)
    except (TypeError, ValueError):
        raise refuse(path, "must be UTC with seconds, such as 2026-11-21T05:30:00Z") from None


def urn(kind: str) -> Shape:
    """A reference of the given kind, `urn:hengshu:contract:01J…`."""

    def check(value: Any, path: str) -> None:
        try:
            identifiers.parse_urn(value, kind=kind)
        except ValueError:
            raise refuse(path, f"must be a urn:hengshu:{kind} reference") from None

    return check


def document_key(value: Any, path: str) -> None:
    """The did:key of an Ed25519 key."""
    try:
        multibase.public_key(value if isinstance(value, str) else "")
    except VerificationError:
        raise refuse(path, "must be an Ed25519 did:key") from None


def optional(shape: Shape) -> Shape:
    """Null, or the shape."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            shape(value, path)

    return check


def list_of(shape: Shape, *, low: int = 0, high: int = 64, distinct: bool = False) -> Shape:
    """A list of `low` to `high` items; `distinct` forbids a repeated item."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise refuse(path, "must be a list")
        if not low <= len(value) <= high:
            raise refuse(path, f"must have {low} to {high} items")
        for index, item in enumerate(value):
            shape(item, f"{path}[{index}]")
        if distinct and any(item in value[:index] for index, item in enumerate(value)):
            raise refuse(path, "must not repeat an item")

    return check


def map_of(shape: Shape, *, names: Shape, high: int = 64) -> Shape:
    """An object with free member names of one shape."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise refuse(path, "must be an object")
        if len(value) > high:
            raise refuse(path, f"must have at most {high} members")
        for name, item in value.items():
            names(name, f"{path}.<name>")
            shape(item, f"{path}.{name}")

    return check


def members(shapes: Mapping[str, Shape], *, optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with exactly these members, and any of the optional ones; those are left out, never null."""
    known = {**shapes, **(optional or {})}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise refuse(path, "must be an object")
        dot = f"{path}." if path else ""
        for name in shapes:
            if name not in value:
                raise refuse(dot + name, "is missing")
        if not set(value) <= set(known):
            raise refuse(path or "document", "has a member that this version does not know")
        for name in value:
            known[name](value[name], dot + name)

    return check


def anything(value: Any, path: str) -> None:
    """Whatever strict JSON allows; its own type checks it elsewhere."""


def parse_time(value: str) -> datetime:
    """Read `2026-11-21T05:30:00Z`; ValueError (or TypeError) for anything else."""
    if not _TIME.fullmatch(value):
        raise ValueError("not UTC with seconds")
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def write_time(moment: datetime) -> str:
    """Write an aware moment as `2026-11-21T05:30:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


HEX64 = pattern(r"[0-9a-f]{64}", "64 lower-case hex characters")
HEX32 = pattern(r"[0-9a-f]{32}", "32 lower-case hex characters")
BYTES32 = pattern(r"0x[0-9a-f]{64}", "0x and 64 lower-case hex characters")
ADDRESS = pattern(r"0x[0-9a-fA-F]{40}", "an Ethereum address")
SEALING_KEY = pattern(r"[A-Za-z0-9_-]{43}", "an X25519 key in unpadded base64url")
SLUG = pattern(r"[a-z][a-z0-9_]{0,63}", "a lower-case word with digits and underscores")
ENGINE = pattern(r"[a-z][a-z0-9_]{0,62}/[0-9]{1,3}", "an engine id such as additive_sharing/1")
CODE = pattern(r"[A-Z][A-Z0-9_]{1,63}", "an upper-snake-case code")
COLUMN = pattern(r"[a-z][a-z0-9_]{0,62}", "a lower-case column name")
