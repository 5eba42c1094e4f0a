"""A dataset version as column files, and the commitment that each chunk of them is checked against while it is read.

    datasets/<name>/<version>/schema.json      the description; `"storage": "columns/1"`
                              commitment.json  salt, rows of each chunk, size and digest of each column's chunks
                              000.column ...   one file for each column, its chunks one after the other

A chunk is at most 2^18 rows, the same rows in every column. Numbers are scaled little-endian integers of 1, 2, 4 or
8 bytes, as the declared bounds need; categories are their place in the declared list in 1 or 2 bytes; text is the
length of each cell in 4 bytes, then the cells in UTF-8. Widths follow from the schema alone, never from a row.

The commitment is the Merkle root over the description and one leaf for each column; a column's digest is itself the
Merkle root over its chunks:

    chunk  = SHA-256(key of the column || number of the chunk, 8 bytes || rows, 8 bytes || bytes)
    column = root(chunk 0, chunk 1, ...)        key of the column = HMAC-SHA-256(salt, column's name)
    root   = root({description, HMAC(salt, "")}, {column 0, digest}, {column 1, digest}, ...)

So a run hashes only the columns it uses, a chunk at a time, and a column of few possible values cannot be guessed
from its digest without the salt, which never leaves the node.

What is hashed is what is used: a chunk is read into memory of the reader's own, hashed there, and used from there.
A file that is exchanged between the node's check and the engine's use, or between two chunks, is noticed by the
chunk it comes in with. A mapping of the file would not do: it shows later writes to the file.

Pure Python: the node's daemon checks with this module and loads no numeric library. Source of the tree: RFC 9162.
"""

import hashlib
import hmac
import json
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from ledger.proofs import canonical, merkle

STORAGE = "columns/1"
COMMITMENT_TYPE = "hengshu/dataset-commitment/v2"
CHUNK_ROWS = 1 << 18  # two megabytes of eight-byte numbers: what is hashed is still in the cache when it is added up
CHUNK_TEXT_BYTES = 32 << 20  # a chunk ends early when its text columns together grow beyond this
SCHEMA_FILE, COMMITMENT_FILE = "schema.json", "commitment.json"
_LETTERS = {1: "b", 2: "h", 4: "i", 8: "q"}


class Damaged(ValueError):
    """The files are not those that were committed to."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of one column: how many rows and bytes it has, and its salted digest."""

    rows: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An opened version: its description and its manifest, which agree with each other and with `commitment`."""

    directory: Path
    description: Mapping[str, Any]
    salt: bytes
    chunks: Mapping[str, tuple[Chunk, ...]]
    commitment: str

    def read(self, column: str) -> Iterator[tuple[int, bytes]]:
        """Yield (rows, bytes) of each chunk of a column, each checked before it is given out.

        Memory: one chunk.

        Raises:
            Damaged: a chunk is not the one committed to.
        """
        place = next(i for i, item in enumerate(self.description["columns"]) if item["name"] == column)
        key = column_key(self.salt, column)
        try:
            with (self.directory / file_name(place)).open("rb", buffering=0) as file:
                for number, chunk in enumerate(self.chunks[column]):
                    data = _read_exactly(file.fileno(), chunk.size)
                    if not hmac.compare_digest(digest(key, number, chunk.rows, data), chunk.digest):
                        raise Damaged("a chunk is not the one committed to")
                    yield chunk.rows, data
                if os.read(file.fileno(), 1):
                    raise Damaged("a column is longer than committed to")
        except OSError:
            raise Damaged("a column cannot be read") from None

    def verify(self, columns: Iterable[str]) -> None:
        """Read and check these columns, a chunk at a time; Damaged where one differs."""
        for column in columns:
            for _ in self.read(column):
                pass


def is_stored(directory: Path) -> bool:
    """Whether a version's description says that it has column files; if not, it is a `data.csv` of the old form.

    A description is only worth what it was checked against: a run asks `pin`, with the commitment of its job.
    """
    return "storage" in json.loads((directory / SCHEMA_FILE).read_bytes())


def load(directory: Path, *, commitment: str | None = None) -> Stored:
    """Open a version: schema and manifest must give the root that the schema names, and `commitment` where given.

    Raises:
        Damaged: they do not, or cannot be read.
    """
    try:
        schema = json.loads((directory / SCHEMA_FILE).read_bytes())
        manifest = json.loads((directory / COMMITMENT_FILE).read_bytes())
        if schema["storage"] != STORAGE or manifest["type"] != COMMITMENT_TYPE:
            raise Damaged("the storage is of another version")
        salt, rows = bytes.fromhex(manifest["salt"]), [int(count) for count in manifest["chunks"]]
        chunks = {
            item["name"]: tuple(
                Chunk(count, int(size), bytes.fromhex(found))
                for count, (size, found) in zip(rows, item["chunks"], strict=True)
            )
            for item in manifest["columns"]
        }
        _check_sizes(schema, rows, chunks)
        found = root(schema, chunks, salt)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Damaged("the schema or the manifest cannot be read") from None
    if found != schema["commitment"] or commitment not in (None, found):
        raise Damaged("the manifest is not the one committed to")
    return Stored(directory, schema, salt, chunks, found)


def pin(directory: Path, target: Path, *, commitment: str | None) -> Path:
    """A run's own view of a version: its manifest, checked and copied, over the same column files.

    After this, whatever happens to the version's directory, a chunk that the run reads is the committed one or ends
    the run.

    Raises:
        Damaged: the version is not the one of `commitment`.
    """
    stored = load(directory, commitment=commitment)
    target.mkdir(mode=0o700)
    (target / SCHEMA_FILE).write_bytes(canonical.encode(dict(stored.description)))
    (target / COMMITMENT_FILE).write_bytes(manifest(stored.salt, stored.chunks, stored.commitment))
    for place in range(len(stored.description["columns"])):
        (target / file_name(place)).symlink_to((directory / file_name(place)).resolve())
    return target


def manifest(salt: bytes, chunks: Mapping[str, Sequence[Chunk]], commitment: str) -> bytes:
    """The bytes of commitment.json."""
    first = next(iter(chunks.values()))
    return canonical.encode(
        {
            "type": COMMITMENT_TYPE,
            "salt": salt.hex(),
            "chunks": [chunk.rows for chunk in first],
            "columns": [
                {"name": name, "chunks": [[chunk.size, chunk.digest.hex()] for chunk in found]}
                for name, found in chunks.items()
            ],
            "commitment": commitment,
        }
    )


def root(schema: Mapping[str, Any], chunks: Mapping[str, Sequence[Chunk]], salt: bytes) -> str:
    """The commitment: Merkle root over the description and one leaf for each column, in order."""
    described = {key: value for key, value in schema.items() if key != "commitment"}
    leaves = [canonical.encode({**described, "salt": hmac.new(salt, b"", hashlib.sha256).hexdigest()})]
    for column in described["columns"]:
        found = merkle.root([merkle.leaf_hash(chunk.digest) for chunk in chunks[column["name"]]])
        leaves.append(canonical.encode({"column": column["name"], "digest": found.hex()}))
    return merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex()


def column_key(salt: bytes, column: str) -> bytes:
    """What salts the digests of one column."""
    return hmac.new(salt, column.encode(), hashlib.sha256).digest()


def digest(key: bytes, number: int, rows: int, data: bytes) -> bytes:
    """The salted digest of one chunk."""
    found = hashlib.sha256(key + number.to_bytes(8, "big") + rows.to_bytes(8, "big"))
    found.update(data)
    return found.digest()


def file_name(place: int) -> str:
    """The file of the column at this place of the schema; names of columns are in no path."""
    return f"{place:03d}.column"


def width(column: Mapping[str, Any]) -> int:
    """Bytes of one value of a described column; 0 for text, whose cells differ."""
    if column["type"] == "text":
        return 0
    if column["type"] == "category":
        return 1 if len(column["values"]) <= 1 << 7 else 2
    largest = max(abs(int(column["min"])), abs(int(column["max"])))
    return next(size for size in (1, 2, 4, 8) if largest < 1 << (8 * size - 1))


def pack_numbers(values: Iterable[int], size: int) -> bytes:
    """Integers (or places of categories) as little-endian bytes."""
    return _little(array(_LETTERS[size], values)).tobytes()


def numbers(data: bytes, size: int) -> "array[int]":
    """The integers of a chunk."""
    found: array[int] = array(_LETTERS[size])
    found.frombytes(data)
    return _little(found)


def pack_text(cells: Sequence[bytes]) -> bytes:
    """Cells in UTF-8 as lengths, then bytes."""
    return _little(array("I", map(len, cells))).tobytes() + b"".join(cells)


def text(data: bytes, rows: int) -> list[str]:
    """The cells of a chunk of text.

    Raises:
        Damaged: lengths and bytes do not fit.
    """
    lengths: array[int] = array("I")
    lengths.frombytes(data[: 4 * rows])
    ends = list(accumulate(_little(lengths), initial=4 * rows))
    if ends[-1] != len(data):
        raise Damaged("a chunk of text has another length than its cells")
    return [str(data[start:end], "utf-8") for start, end in pairwise(ends)]


def _check_sizes(schema: Mapping[str, Any], rows: Sequence[int], chunks: Mapping[str, Sequence[Chunk]]) -> None:
    if [item["name"] for item in schema["columns"]] != list(chunks) or sum(rows) != schema["rows"] or not rows:
        raise Damaged("the manifest is of another schema")
    if min(rows) < 1 or max(rows) > CHUNK_ROWS:
        raise Damaged("a chunk has too many rows")
    for column in schema["columns"]:
        size = width(column)
        if size and any(chunk.size != chunk.rows * size for chunk in chunks[column["name"]]):
            raise Damaged("a chunk has another size than its rows")


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise Damaged("a column is shorter than committed to")
        data += more
    return data


def _little(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values.byteswap()
    return values
