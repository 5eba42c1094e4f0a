"""Where an archive's files are read from: a directory, or one tar."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ledger.archive import tar
from ledger.proofs.errors import VerificationError


class Store(Protocol):
    """Files by their paths. A file that is not there is VerificationError `FILE_MISSING`."""

    def paths(self) -> set[str]: ...

    def read(self, path: str) -> bytes: ...

    def lines(self, path: str) -> Iterator[bytes]: ...


class Directory:
    """An archive as it was exported."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def paths(self) -> set[str]:
        """Every name below, a link or a special file included: nothing goes unseen."""
        found = set()
        for directory, directories, names in os.walk(self._root):
            links = [name for name in directories if (Path(directory) / name).is_symlink()]
            found |= {str((Path(directory) / name).relative_to(self._root)) for name in (*names, *links)}
        return found

    def read(self, path: str) -> bytes:
        place = self._root / path
        if place.is_symlink() or not place.is_file():
            raise _missing()
        return place.read_bytes()

    def lines(self, path: str) -> Iterator[bytes]:
        place = self._root / path
        if place.is_symlink() or not place.is_file():
            raise _missing()
        with place.open("rb") as file:
            yield from file


class Tar:
    """An archive in one file; VerificationError `TAR_INVALID` for any other form than ours."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with file.open("rb") as source:
            self._index = tar.index(source)

    def paths(self) -> set[str]:
        return set(self._index)

    def read(self, path: str) -> bytes:
        if path not in self._index:
            raise _missing()
        start, size = self._index[path]
        with self._file.open("rb") as source:
            source.seek(start)
            return source.read(size)

    def lines(self, path: str) -> Iterator[bytes]:
        if path not in self._index:
            raise _missing()
        start, left = self._index[path]
        with self._file.open("rb") as source:
            source.seek(start)
            while left and (line := source.readline(left)):
                left -= len(line)
                yield line


def open_store(path: Path) -> Store:
    """The archive at a path; OSError where there is none."""
    return Directory(path) if path.is_dir() else Tar(path)


def _missing() -> VerificationError:
    return VerificationError("FILE_MISSING", "a file of the archive is missing or is no plain file")
