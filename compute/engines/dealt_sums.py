"""Sums by group of rows whose groups one party knows and whose values another; a third party deals, all get shares.

The mapper has the group of every row, or none; the owner has W numbers for every row, in the same order. Wanted are the
sums of each group as additive shares mod 2^64, the mapper's and the owner's, so that neither learns anything of the
other. The dealer has nothing and learns nothing but how many rows, groups and numbers there are. For rows v (N of them,
one dummy row of zeros for each group among them, so that no group is empty):

    1. sort by group    dealer → mapper: a random permutation p, and Δ = p(a) - b
                        dealer → owner:  the random vectors a and b
                        mapper → owner:  the permutation r with p∘r = "sort by group"; it is random, because p is
                        owner → mapper:  v - a
                        shares of the sorted rows: mapper sort(v - a) + r(Δ), owner r(b)
    2. running sums     everybody for himself; what is wanted stands at the last row of each group, known to the mapper
    3. pick those rows  dealer → mapper: random places d, and c = a'(d) - b'      dealer → owner: a', b'
                        mapper → owner:  a random permutation t that takes the wanted rows to d
                        owner → mapper:  its running sums less t(a'); shares: what stands there plus c, and b'

    rows 400 250 300, groups 1 0 1 → sorted 250 400 300 → running 250 650 950 → groups 250 | 700

Random vectors come from AES-256 in counter mode under seeds that the dealer draws for this run and sends each of the
two over the pinned mesh; each chunk of rows and each purpose has a key of its own. Every message is of one size,
whatever the rows hold. Nothing of step 1 or 3 may be used for other rows: a repeated mask would show differences.

Secure against one party that looks at what it sees (semi-honest); two that collude learn everything. 24 W + 8 bytes a
row. Source: share translation and permute-and-share of Chase, Ghosh and Poburinnaya, Secret-Shared Shuffle, ASIACRYPT
2020, with the oblivious transfers replaced by the dealer, and its random permutation corrected as Beaver's triples are.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from compute.engines import greeting, link

SEED_BYTES = 32
MAX_CHUNK_WORDS = 1 << 21  # of one message: 16 MB, and some arrays of that size in memory

Int64 = NDArray[np.int64]
Words = NDArray[np.uint64]


def chunk_rows(rows: int, *, width: int) -> int:
    """How many rows go together: a power of two that divides `rows`, itself a power of two."""
    bound = max(1, MAX_CHUNK_WORDS // width)
    return min(rows, 1 << (bound.bit_length() - 1))


def rechunked(parts: Iterable[Int64], *, rows: int, size: int) -> Iterator[Int64]:
    """The rows of all parts as chunks of one size, `rows` of them in all, filled up with rows of -1.

    Shapes: parts (m, width), of any m; results (size, width).
    """
    waiting: list[Int64] = []
    held = given = 0
    for part in parts:
        waiting.append(part)
        held += len(part)
        while held >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, held, given = [joined[size:]], held - size, given + size
    left = np.concatenate(waiting) if waiting else np.zeros((0, 1), np.int64)
    while given < rows:
        yield np.concatenate([left, np.full((size - len(left), left.shape[1]), -1, np.int64)])
        left, given = left[:0], given + size


class Mapper:
    """The party that knows the groups."""

    def __init__(self, mesh: link.Mesh, *, owner: int, dealer: int, groups: int, width: int) -> None:
        self._mesh, self._owner, self._dealer = mesh, owner, dealer
        self._groups, self._width, self._number = groups, width, 0
        self._seed = mesh.exchange({dealer: b""})[dealer]

    def sums(self, group_of: Int64) -> Words:
        """The mapper's share of the sums of one chunk.

        Shapes: group_of (n,), a group of 0 to groups - 1, or anything else for a row of none; result (groups, width).
        """
        stream = _Stream(self._seed, self._number)
        self._number += 1
        rows = len(group_of) + self._groups
        labels = np.concatenate([group_of, np.arange(self._groups)])
        labels[(labels < 0) | (labels >= self._groups)] = self._groups
        order = np.argsort(labels.astype(np.uint16 if self._groups < 1 << 16 else np.int64), kind="stable")
        ends = np.cumsum(np.bincount(labels, minlength=self._groups + 1))[: self._groups] - 1
        first, second = stream.permutation("sort", rows), stream.permutation("pick", rows)
        told = self._mesh.exchange({self._dealer: b""})[self._dealer]
        delta = _read(told, rows + self._groups, self._width)
        place = np.empty(rows, np.int64)
        place[first] = np.arange(rows)
        matching = place[order]
        turned = np.empty(rows, np.int64)
        others = np.ones(rows, bool)
        others[ends] = False
        turned[ends], turned[others] = second[: self._groups], second[self._groups :]
        asked = np.concatenate([matching, turned]).astype("<u4").tobytes()
        masked = _read(self._mesh.exchange({self._owner: asked})[self._owner], rows, self._width)
        shares = masked[order] + delta[:rows][matching]
        running = np.cumsum(shares, axis=0, dtype=np.uint64)
        masked = _read(self._mesh.exchange({self._owner: b""})[self._owner], rows, self._width)
        return _differences(running[ends] + masked[ends] + delta[rows:])


class Owner:
    """The party that knows the numbers."""

    def __init__(self, mesh: link.Mesh, *, mapper: int, dealer: int, groups: int, width: int) -> None:
        self._mesh, self._mapper = mesh, mapper
        self._groups, self._width, self._number = groups, width, 0
        self._seed = mesh.exchange({dealer: b""})[dealer]

    def sums(self, values: Int64) -> Words:
        """The owner's share of the sums of one chunk; shapes: values (n, width), result (groups, width)."""
        stream = _Stream(self._seed, self._number)
        self._number += 1
        numbers = np.concatenate([values.astype(np.uint64), np.zeros((self._groups, self._width), np.uint64)])
        rows = len(numbers)
        masked = numbers - stream.words("a", rows, self._width)
        asked = self._mesh.exchange({self._mapper: masked.tobytes()})[self._mapper]
        matching, turned = _permutation(asked[: 4 * rows], rows), _permutation(asked[4 * rows :], rows)
        running = np.cumsum(stream.words("b", rows, self._width)[matching], axis=0, dtype=np.uint64)
        masked = running - stream.words("a'", rows, self._width)[turned]
        self._mesh.exchange({self._mapper: masked.tobytes()})
        return _differences(stream.words("b'", self._groups, self._width))


def deal(mesh: link.Mesh, *, mapper: int, owner: int, chunks: int, rows: int, groups: int, width: int) -> None:
    """The dealer's side, for all chunks of `rows` rows."""
    seeds = {party: secrets.token_bytes(SEED_BYTES) for party in (mapper, owner)}
    mesh.exchange(seeds)
    size = rows + groups
    for number in range(chunks):
        of_mapper, of_owner = _Stream(seeds[mapper], number), _Stream(seeds[owner], number)
        first, second = of_mapper.permutation("sort", size), of_mapper.permutation("pick", size)
        delta = of_owner.words("a", size, width)[first] - of_owner.words("b", size, width)
        picked = of_owner.words("a'", size, width)[second[:groups]] - of_owner.words("b'", groups, width)
        mesh.exchange({mapper: delta.tobytes() + picked.tobytes()})


def replicated(mesh: link.Mesh, own: Words | None, *, rank: int, owners: tuple[int, int], count: int) -> bytes:
    """Additive shares of two of three parties as ABY3's replicated ones: x = x0 + x1 + x2, party i has x_i and x_i+1.

    Shapes: own (count,) at the two, None at the third; result `count` pairs of words, little-endian.
    """
    sums = np.zeros((count, 2), np.uint64)
    peers = {party for party in range(3) if party != rank}
    outgoing: dict[int, bytes] = dict.fromkeys(peers, b"")
    if own is not None:
        parts = np.frombuffer(secrets.token_bytes(16 * count), np.uint64).reshape(2, count)
        parts = np.stack([parts[0], parts[1], own - parts[0] - parts[1]])
        outgoing = {party: _pairs(parts, party).tobytes() for party in peers}
        sums = sums + _pairs(parts, rank)
    told = mesh.exchange(outgoing)
    for party in peers & set(owners):
        sums = sums + _read(told[party], count, 2)
    return sums.astype("<u8").tobytes()


def _pairs(parts: Words, party: int) -> Words:
    found: Words = np.stack([parts[party], parts[(party + 1) % 3]], axis=1)
    return found


def _differences(running: Words) -> Words:
    """Of running sums the sums between them."""
    found: Words = np.diff(running, axis=0, prepend=np.zeros((1, running.shape[1]), np.uint64))
    return found


def _read(data: bytes, rows: int, width: int) -> Words:
    if len(data) != 8 * rows * width:
        raise greeting.differs("A peer's message has another size than agreed; the run is void.")
    return np.frombuffer(data, "<u8").reshape(rows, width)


def _permutation(data: bytes, rows: int) -> Int64:
    found = np.frombuffer(data, "<u4").astype(np.int64) if len(data) == 4 * rows else np.zeros(0, np.int64)
    if len(found) != rows or found.max() >= rows or (np.bincount(found, minlength=rows) != 1).any():
        raise greeting.differs("A peer's message is not a permutation; the run is void.")
    return found


class _Stream:
    """Random words and permutations of one chunk, from a seed that two parties have."""

    def __init__(self, seed: bytes, number: int) -> None:
        if len(seed) != SEED_BYTES:
            raise greeting.differs("A peer's seed has another size than agreed; the run is void.")
        self._key = hmac.digest(seed, b"hengshu/dealt-sums/v1 %d" % number, hashlib.sha256)

    def words(self, purpose: str, rows: int, width: int) -> Words:
        """Random words, shape (rows, width)."""
        key = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * rows * width))
        return np.frombuffer(stream, "<u8").reshape(rows, width)

    def permutation(self, purpose: str, rows: int) -> Int64:
        """A random permutation, all equally likely: the order of random words, drawn again should two be equal."""
        attempt = 0
        while True:
            drawn = self.words(f"{purpose} {attempt}", rows, 1)[:, 0]
            order = np.argsort(drawn)
            if (np.diff(drawn[order]) != 0).all():
                return order
            attempt += 1
