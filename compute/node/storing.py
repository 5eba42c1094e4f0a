"""Writing a dataset version as column files; the layout and the commitment are `compute/engines/columns.py`'s."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from compute.engines import columns
from compute.node import cells
from ledger.proofs import canonical

Packer = Callable[[Sequence[str]], bytes]


class Writer:
    """Takes rows of canonical cells, or whole packed chunks, and leaves column files in a directory.

    Memory: one chunk, which is at most `columns.CHUNK_ROWS` rows and about `columns.CHUNK_TEXT_BYTES` of text.

    Args:
        described: the columns as `Schema.describe` gives them.
        salt: 32 random bytes of this version; keeps its digests from being guessed.
    """

    def __init__(self, directory: Path, described: Sequence[Mapping[str, Any]], *, salt: bytes) -> None:
        self._directory = directory
        self._salt = salt
        self._names = [str(column["name"]) for column in described]
        self._keys = [columns.column_key(salt, name) for name in self._names]
        self._packers = [_packer(column) for column in described]
        self._texts = [place for place, column in enumerate(described) if column["type"] == "text"]
        self._files = [_create(directory / columns.file_name(place)) for place in range(len(described))]
        self._chunks: list[list[columns.Chunk]] = [[] for _ in described]
        self._rows: list[Sequence[str]] = []
        self._text_size = 0
        self._written = 0

    @property
    def count(self) -> int:
        """Rows taken so far, those that wait for their chunk included."""
        return self._written + len(self._rows)

    def add(self, row: Sequence[str]) -> None:
        """Take one row of canonical cells, in schema order."""
        self._rows.append(row)
        self._text_size += sum(len(row[place]) for place in self._texts)
        if len(self._rows) >= columns.CHUNK_ROWS or self._text_size >= columns.CHUNK_TEXT_BYTES:
            self._flush()

    def add_chunk(self, rows: int, packed: Sequence[bytes]) -> None:
        """Take one chunk whose columns are packed already; rows before it are written first."""
        self._flush()
        if not 1 <= rows <= columns.CHUNK_ROWS:
            raise ValueError("a chunk has 1 to CHUNK_ROWS rows")
        for place, data in enumerate(packed):
            number = len(self._chunks[place])
            found = columns.digest(self._keys[place], number, rows, data)
            self._chunks[place].append(columns.Chunk(rows, len(data), found))
            self._files[place].write(data)
        self._written += rows

    def finish(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """Write schema.json and commitment.json, all on disk for good; returns the description with its commitment.

        Args:
            described: the whole description without `commitment`; its rows are those that were added.
        """
        self._flush()
        self.close()
        chunks = dict(zip(self._names, self._chunks, strict=True))
        commitment = columns.root(described, chunks, self._salt)
        description = {**described, "commitment": commitment}
        write(self._directory / columns.SCHEMA_FILE, canonical.encode(description))
        write(self._directory / columns.COMMITMENT_FILE, columns.manifest(self._salt, chunks, commitment))
        return description

    def close(self) -> None:
        """Close the column files; may be called again."""
        for file in self._files:
            if not file.closed:
                _sync(file)
                file.close()

    def _flush(self) -> None:
        rows, self._rows, self._text_size = self._rows, [], 0
        if rows:
            by_column = zip(*rows, strict=True)
            self.add_chunk(len(rows), [pack(cells) for pack, cells in zip(self._packers, by_column, strict=True)])


def write(path: Path, data: bytes) -> None:
    """Write one small file, for the owner to read only, on disk for good."""
    with _create(path) as file:
        file.write(data)
        _sync(file)


def _packer(column: Mapping[str, Any]) -> Packer:
    size = columns.width(column)
    if column["type"] == "text":
        return lambda found: columns.pack_text([cell.encode() for cell in found])
    if column["type"] == "category":
        places = {value: place for place, value in enumerate(column["values"])}
        return lambda found: columns.pack_numbers(map(places.__getitem__, found), size)
    return lambda found: columns.pack_numbers(map(cells.scaled, found), size)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
