"""An archive as one file: a tar in which everything but names and bytes is fixed, so the same files give the same tar.

Form: POSIX ustar, plain files only, mode 0644, owner 0, time 0, in the order of their names, ended by two blocks
of zeros. Stock tools read it. Whoever reads it here refuses every other form.
"""

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from ledger.proofs.errors import VerificationError

BLOCK = 512
_END = b"\0" * (2 * BLOCK)
_CHUNK = 1 << 20


def write(target: BinaryIO, files: Iterable[tuple[str, Path]]) -> None:
    """Write files, given by name and place, one behind the other."""
    for name, path in sorted(files):
        size = path.stat().st_size
        target.write(_header(name, size))
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        target.write(b"\0" * (-size % BLOCK))
    target.write(_END)


def index(source: BinaryIO) -> dict[str, tuple[int, int]]:
    """Where each file begins and how long it is.

    Raises:
        VerificationError: `TAR_INVALID`, any byte that `write` would not have written.
    """
    found: dict[str, tuple[int, int]] = {}
    last, end = "", source.seek(0, 2)
    source.seek(0)
    while True:
        header = source.read(BLOCK)
        if header == b"\0" * BLOCK:
            break
        name, size = _read_header(header)
        start = source.tell()
        _check(name > last and start + size <= end)
        found[name] = (start, size)
        last = name
        source.seek(start + size)
        padding = -size % BLOCK
        _check(source.read(padding) == b"\0" * padding)
    _check(source.read() == b"\0" * BLOCK)
    return found


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


def _read_header(header: bytes) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        _check(_header(info.name, info.size) == header)
    except (tarfile.HeaderError, ValueError):
        _check(False)
    return info.name, info.size


def _check(holds: bool) -> None:
    if not holds:
        raise VerificationError("TAR_INVALID", "the file is not a tar in the archive's own form")
