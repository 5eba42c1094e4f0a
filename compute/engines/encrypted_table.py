"""A register as an encrypted table that opens one person at a time.

For each person the owner computes F(k, person), an output of the oblivious function in `oprf.py`. All rows of the
person, as one JSON list with its length before it, are filled up and cut into pieces of CHUNK bytes. Piece j gets a
tag and a key from HKDF-Expand(F(k, person), j): the key encrypts the piece, the tag says where it lies. Entries are
sorted by tag, and random entries fill the table up to a multiple of ROUND.

So an entry says nothing by itself, and no two entries can be told to be of one person: without F(k, person) tag and
content are random bytes, and the order is that of random tags. With it, exactly that person's pieces are found and
opened: piece 0 says how many there are. A person who is not in the register has no piece 0. A key is used for one
piece of one table only, so the nonce is constant.

With two owners, A with one unit and B with three, whose rows take 90 and 270 bytes: A has piece 0, B pieces 0 and
1, the table has 3 entries of 224 bytes in random order, and 1,021 of noise.

What the whole table tells: the total size of the register in steps of ROUND entries, and nothing of how many rows any
person has.

Sources: RFC 5869 (HKDF-Expand), RFC 8439 (ChaCha20-Poly1305). The shape is that of keyword look-up by OPRF: Freedman,
Ishai, Pinkas, Reingold, Keyword Search and Oblivious Pseudorandom Functions, TCC 2005.
"""

import bisect
import hashlib
import hmac
import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from compute.engines import cores, oprf

CHUNK = 192  # two records of a land register; a longer person takes more pieces
TAG = 16
ENTRY = TAG + CHUNK + 16
ROUND = 1024
MAX_PIECES = 65_536  # 12 MB of one person
_KEY = 32
_LENGTH = 4
_NONCE = bytes(12)
_PIECE, _NOISE = b"hengshu/look-up/piece/v1", b"hengshu/look-up/noise/v1"
_BATCH = 2_000
_BUCKETS = 64

Record = tuple[str, ...]


class TableDamaged(ValueError):
    """The table does not hold what an opened entry says; its owner has made it wrongly."""


@dataclass(frozen=True, slots=True)
class Described:
    """A table as its owner announces it: SHA-256 of the file, and how many entries it has."""

    sha256: str
    entries: int


def write(
    path: Path, records: Mapping[str, Sequence[Record]], *, key: bytes, noise: bytes, work_dir: Path
) -> Described:
    """Write the table of a whole register.

    The same records and secrets give the same bytes. Memory: one bucket of entries, a 64th of the table.

    Args:
        records: all rows of each person, by the identifier as it is compared; never empty lists.
        key: the private key of the oblivious function, for this table only; noise: 32 secret bytes for the filling.
        work_dir: where entries lie, encrypted, until they are sorted.
    """
    spills = [work_dir / f"bucket{number}.tmp" for number in range(_BUCKETS)]
    count = _spill(_entries(records, key), spills)
    filling = hashlib.shake_256(hmac.digest(noise, _NOISE, "sha512")).digest(-count % ROUND * ENTRY)
    count += _spill((filling[start : start + ENTRY] for start in range(0, len(filling), ENTRY)), spills)
    found = hashlib.sha256()
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        for spill in spills:
            data = spill.read_bytes()
            ordered = b"".join(sorted(data[start : start + ENTRY] for start in range(0, len(data), ENTRY)))
            found.update(ordered)
            file.write(ordered)
            spill.unlink()
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return Described(found.hexdigest(), count)


def describe(path: Path) -> Described:
    """What a table on disk is."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
        return Described(found.hexdigest(), file.tell() // ENTRY)


class Reader:
    """A table on the requester's disk; it opens what an output of the oblivious function opens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._entries = len(self._map) // ENTRY

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()
        self._file.close()

    def records(self, output: bytes) -> list[Record]:
        """All rows of the person whose output this is; empty for somebody who is not in the register.

        Raises:
            TableDamaged: a piece that must be there is not, or holds no rows.
        """
        first = self._piece(output, 0)
        if first is None:
            return []
        size = _LENGTH + int.from_bytes(first[:_LENGTH], "big")
        data = first
        for number in range(1, min(-(-size // CHUNK), MAX_PIECES)):
            piece = self._piece(output, number)
            if piece is None:
                raise TableDamaged("A piece of a record is missing.")
            data += piece
        try:
            return [tuple(map(str, row)) for row in json.loads(data[_LENGTH:size])]
        except (ValueError, TypeError):
            raise TableDamaged("A record cannot be read.") from None

    def _piece(self, output: bytes, number: int) -> bytes | None:
        tag, key = _tag_and_key(output, number)
        place = bisect.bisect_left(range(self._entries), tag, key=self._tag)
        if place == self._entries or self._tag(place) != tag:
            return None
        sealed = self._map[place * ENTRY + TAG : (place + 1) * ENTRY]
        try:
            return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, tag)
        except InvalidTag:
            raise TableDamaged("An entry does not open with its key.") from None

    def _tag(self, place: int) -> bytes:
        return self._map[place * ENTRY : place * ENTRY + TAG]


def _entries(records: Mapping[str, Sequence[Record]], key: bytes) -> Iterator[bytes]:
    def of_people(people: Sequence[str]) -> Iterator[bytes]:
        for person in people:
            yield from _person(person, records[person], key)

    return cores.mapped(of_people, records, batch=_BATCH)


def _person(person: str, rows: Sequence[Record], key: bytes) -> Iterator[bytes]:
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    document = len(text).to_bytes(_LENGTH, "big") + text
    document += bytes(-len(document) % CHUNK)
    output = oprf.evaluate(key, person.encode(), mode=oprf.Mode.VOPRF)
    for number in range(len(document) // CHUNK):
        tag, secret = _tag_and_key(output, number)
        piece = document[number * CHUNK : (number + 1) * CHUNK]
        yield tag + ChaCha20Poly1305(secret).encrypt(_NONCE, piece, tag)


def _tag_and_key(output: bytes, number: int) -> tuple[bytes, bytes]:
    """HKDF-Expand with SHA-512, whose first block is enough; the output is uniform, so nothing is extracted."""
    block = hmac.digest(output, _PIECE + number.to_bytes(4, "big") + b"\x01", "sha512")
    return block[:TAG], block[TAG : TAG + _KEY]


def _spill(entries: Iterable[bytes], spills: Sequence[Path]) -> int:
    """Put entries into files by their first bits."""
    files = [path.open("ab") for path in spills]
    count = 0
    try:
        for entry in entries:
            files[entry[0] * _BUCKETS >> 8].write(entry)
            count += 1
    finally:
        for file in files:
            file.close()
    return count
