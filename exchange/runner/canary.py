"""The canary sweep: values planted in every node's table must appear nowhere in the exchange.

Looked for in plain text, in the encodings data travels in, and as the bare hashes that would let
anyone enumerate an identifier (MD5, SHA-1, SHA-256, SM3).
"""

import base64
import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes

_HASHES = ("md5", "sha1", "sha256")


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a planted value was found; never prints the value."""

    path: Path
    form: str


def forms(value: str) -> Iterator[tuple[str, bytes]]:
    """The shapes in which a leaked value could lie in a file, with a name for each."""
    raw = value.encode()
    yield "text", raw
    yield "utf-16", value.encode("utf-16-le")
    yield "json escape", value.encode("unicode_escape") if not value.isascii() else raw
    yield "hex", raw.hex().encode()
    for offset in range(3):  # base64 of a value inside a longer text, at each alignment
        text = base64.b64encode(b"\0" * offset + raw)
        start, end = (offset * 4 + 2) // 3, len(text) - (4 if (offset + len(raw)) % 3 else 0)
        yield f"base64+{offset}", text[start:end]
    for name in _HASHES:
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()
        yield f"{name} bytes", digest
        yield f"{name} hex", digest.hex().encode()
    sm3 = hashes.Hash(hashes.SM3())
    sm3.update(raw)
    digest = sm3.finalize()
    yield "sm3 bytes", digest
    yield "sm3 hex", digest.hex().encode()


def sweep(values: Iterable[str], *, roots: Sequence[Path], leave_out: Sequence[Path]) -> list[Hit]:
    """Search every file below `roots`, except below `leave_out`, for every form of every value."""
    needles = {needle: name for value in values for name, needle in forms(value) if len(needle) >= 6}
    hits = []
    for path in _files(roots, {path.resolve() for path in leave_out}):
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    continue
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    hits += [Hit(path, name) for needle, name in needles.items() if content.find(needle) >= 0]
        except (FileNotFoundError, PermissionError, ValueError):
            continue  # a temporary file that went away, or a socket
    return hits


def count_files(*, roots: Sequence[Path], leave_out: Sequence[Path]) -> int:
    """How many files a sweep looks at: a sweep that sees nothing proves nothing."""
    return sum(1 for _ in _files(roots, {path.resolve() for path in leave_out}))


def _files(roots: Sequence[Path], leave_out: set[Path]) -> Iterator[Path]:
    for root in roots:
        for folder, subfolders, names in os.walk(root):
            here = Path(folder)
            subfolders[:] = [name for name in subfolders if (here / name).resolve() not in leave_out]
            for name in names:
                path = here / name
                if path.is_file() and not path.is_symlink():
                    yield path
