"""A delimited file (CSV and its kin), as `tables.py` reads it; positions are lines."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar

from compute.node import tables
from compute.node.cells import bad
from compute.node.schemas import Schema
from compute.node.sources.base import Source


class DelimitedFile(Source):
    """One file with a header line."""

    unit: ClassVar[str] = "line"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._size = 0

    def rows(self, schema: Schema) -> Iterator[tuple[int, Sequence[str]]]:
        """See Source.rows."""
        try:
            file = self._path.open("rb")
        except OSError:
            raise no_file(self._path) from None
        with file:
            self._file, self._size = file, self._path.stat().st_size
            yield from tables.rows(file, schema)
            self._file = None

    def progress(self) -> tuple[int, int]:
        """Bytes read, and of the whole file."""
        return (self._file.tell() if self._file else self._size), self._size


def no_file(path: Path) -> Exception:
    """The refusal of a path that holds no file."""
    return bad("NO_FILE", f"there is no file {path}", f"没有文件 {path}")
