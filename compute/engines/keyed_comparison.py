"""Comparing values that neither side shows: the arithmetic of `keyed_consistency/1`, without a network.

The asking side has two secrets for a month, b and c; the answering side has one for the job, k. For a person x with
value v of a field f, with H the hash into the group (two domains, so persons and values never meet):

    asks      b H(x)    and  c H(x, f, v)
    answers   k b H(x)  and  k c H(x, f, v)
    own rows  "somebody has f":  tag(k H(y), f)        "and it is w":  tag(k H(y, f, w))

The asking side undoes b and c, makes the same tags from its own rows and looks for them among the other side's,
which come sorted, so without their order. No tag of the first kind: absent. One, but none of the second: different.
Both: same.

Nobody can try names: what is asked says nothing without b and c, the tags say nothing without k. The asking side
can make k H(…) only of what it asked, once for each row and field. The answering side gets no answer at all.

In a group written as numbers modulo 101 (H(x) = 7, b = 3, k = 5): asked 21, answered 105 = 4, undone by 34: 35 = 5 x 7,
which is what the other side has for the same person, and 36 what it has for somebody of H = 48 (5 x 48 = 240 = 38: no).

Source: the commutative keys of Huberman, Franklin, Hogg, Enhancing privacy and trust in electronic communities, EC
1999, as in DDH-based private set intersection; decisional Diffie-Hellman in ristretto255 and random oracles.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compute.engines import canonical_fields, cores, identifiers, ristretto

SAME, DIFFERENT, ABSENT = 0, 1, 2
TAG = 16
_PERSON, _VALUE = b"hengshu/consistency/person/v1", b"hengshu/consistency/value/v1"
_BATCH = 250


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is compared: the person's identifier, and a value for each field, all canonical."""

    person: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blinds:
    """The asking side's secrets of one month: for persons and for values."""

    person: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Tags:
    """The answering side's tags of one field, sorted: who has a value, and which."""

    present: Sequence[bytes]
    equal: Sequence[bytes]


def canonical_row(cells: Sequence[str], kinds: Sequence[str]) -> Row:
    """A row out of its cells, identifier first."""
    values = (canonical_fields.value(cell, kind) for cell, kind in zip(cells[1:], kinds, strict=True))
    return Row(identifiers.canonical(cells[0]), tuple(values))


def ask(rows: Iterable[Row], fields: Sequence[str], blinds: Blinds) -> Iterator[bytes]:
    """What the asking side sends: for each row the person's point, then one for each field; 32 bytes each.

    Args:
        fields: the names under which both sides know the fields.
    """

    def of_rows(some: Sequence[Row]) -> Iterator[bytes]:
        for row in some:
            yield ristretto.multiply(blinds.person, _person(row))
            for number, field in enumerate(fields):
                yield ristretto.multiply(blinds.value, _value(row, field, number))

    return cores.mapped(of_rows, rows, batch=_BATCH)


def answer(points: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    """What the answering side sends back, in the same order; NotInGroup for what is no point."""
    return cores.mapped(lambda some: [ristretto.multiply(key, point) for point in some], points, batch=_BATCH)


def own_tags(rows: Iterable[Row], fields: Sequence[str], key: bytes) -> list[Tags]:
    """The answering side's tags, one `Tags` for each field; empty cells have none."""

    def of_rows(some: Sequence[Row]) -> Iterator[tuple[int, bytes, bytes]]:
        for row in some:
            point = ristretto.multiply(key, _person(row))
            for number, field in enumerate(fields):
                if row.values[number]:
                    equal = _tag(ristretto.multiply(key, _value(row, field, number)), b"equal")
                    yield number, _tag(point, field.encode()), equal

    present: list[list[bytes]] = [[] for _ in fields]
    equal: list[list[bytes]] = [[] for _ in fields]
    for number, one, other in cores.mapped(of_rows, rows, batch=_BATCH):
        present[number].append(one)
        equal[number].append(other)
    return [Tags(sorted(set(present[number])), sorted(set(equal[number]))) for number in range(len(fields))]


def compare(
    answered: Iterable[bytes], tags: Sequence[Mapping[str, frozenset[bytes]]], fields: Sequence[str], blinds: Blinds
) -> Iterator[tuple[int, ...]]:
    """The asking side's verdicts, for each row one of SAME, DIFFERENT, ABSENT by field.

    Args:
        answered: the points of `answer`, those of whole rows; tags: by field, sets `present` and `equal`.
    """
    person, value = ristretto.invert(blinds.person), ristretto.invert(blinds.value)
    width = 1 + len(fields)

    def of_rows(rows: Sequence[list[bytes]]) -> Iterator[tuple[int, ...]]:
        for first, *others in rows:
            point = ristretto.multiply(person, first)
            verdicts = []
            for field, other, sets in zip(fields, others, tags, strict=True):
                is_same = _tag(ristretto.multiply(value, other), b"equal") in sets["equal"]
                is_present = _tag(point, field.encode()) in sets["present"]
                verdicts.append(SAME if is_present and is_same else DIFFERENT if is_present else ABSENT)
            yield tuple(verdicts)

    def whole_rows() -> Iterator[list[bytes]]:
        row: list[bytes] = []
        for point in answered:
            row.append(point)
            if len(row) == width:
                yield row
                row = []

    return cores.mapped(of_rows, whole_rows(), batch=_BATCH)


def _person(row: Row) -> bytes:
    return ristretto.hash_to_group(row.person.encode(), domain=_PERSON)


def _value(row: Row, field: str, number: int) -> bytes:
    parts = (row.person.encode(), field.encode(), row.values[number].encode())
    return ristretto.hash_to_group(b"".join(len(one).to_bytes(4, "big") + one for one in parts), domain=_VALUE)


def _tag(point: bytes, word: bytes) -> bytes:
    return hashlib.blake2b(word, key=point, digest_size=TAG, person=b"hengshu/equal/v1").digest()
