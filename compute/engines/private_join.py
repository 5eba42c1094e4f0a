"""The steps of `ddh_paillier_sum/1` at each owner; the idea and the picture are in `matched_sum.py`.

What crosses the link, in order: blinded points (32 bytes each), doubly blinded points, rows of a point and a
ciphertext, doubly blinded points, one ciphertext. Every message is checked before it is used: numbers of points,
points of the group, none twice, ciphertexts under the key of this job. The rows are added up as they come, so that
memory holds points and one chunk of ciphertexts. Those that do not match are multiplied together too, for nothing:
the work is the same for every row.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gmpy2 import mpz

from compute.engines import identifiers, link, ristretto
from compute.engines.base import Progress, Table
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.matched_sum import KEY_BITS, LIST_OWNER, VALUE_OWNER, Question
from compute.engines.paillier import cores, keys, vectors

POINT = ristretto.SIZE
POINTS_A_FRAME = 1 << 16  # 2 MB
ROWS_A_FRAME = 1 << 11  # 1.6 MB of points and ciphertexts
WORTH_PROCESSES = 5_000  # rows: below, starting processes takes longer than the work
_DOMAIN = b"hengshu/matched-sum/v1"
_WITHHELD = b"hengshu/matched-sum-withheld/v1"
_random = secrets.SystemRandom()


@dataclass(frozen=True)
class Share:
    """One party's share of the packed sum, modulo the key of the job."""

    modulus: int
    number: int = field(repr=False)


class Join:
    """One owner's side of one run.

    Args:
        key: the job's key, which only the two owners have; question: what both agreed on.
        bits: the length of the Paillier key; small_for_tests: allow one that protects nothing.
    """

    def __init__(
        self,
        mesh: link.Mesh,
        *,
        rank: int,
        key: bytes,
        question: Question,
        progress: Progress,
        bits: int = KEY_BITS,
        small_for_tests: bool = False,
    ) -> None:
        self._mesh, self._peer, self._key, self._question = mesh, 1 - rank, key, question
        self._progress, self._bits, self._small = progress, bits, small_for_tests
        self._scalar = ristretto.random_scalar()
        self._processes = cores.available() if max(question.rows) > WORTH_PROCESSES else 1

    def look_up(self, table: Table) -> Share:
        """The list owner's side: find the matches, add up their ciphertexts, keep the mask.

        Learns: how many match, the other's row count and public key.
        """
        question = self._question
        if question.is_hopeless:
            modulus = int(self._receive_key().n)
            return Share(modulus, self._nothing(modulus))
        own = self._blinded_ids(table)
        _random.shuffle(own)
        self._send_points(own)
        public = self._receive_key()
        mine = set(self._receive_points(question.rows[LIST_OWNER]))
        self._progress("match", 30)
        sums, theirs = [mpz(1), mpz(1)], []
        with cores.Crew(Blinder, self._scalar, processes=self._processes) as crew:
            for points, ciphertexts in self._receive_rows(public):
                doubled = _blind(crew, points)
                for point, ciphertext in zip(doubled, ciphertexts, strict=True):
                    matches = point in mine
                    sums[matches] = sums[matches] * ciphertext % public.n_square
                theirs += doubled
                self._progress("compute", 30 + 60 * len(theirs) // question.rows[VALUE_OWNER])
        _check_distinct(theirs)
        _random.shuffle(theirs)
        self._send_points(theirs)
        is_told = question.may_tell(len(mine.intersection(theirs)))
        mask = secrets.randbelow(int(public.n))
        masked = vectors.add_plain(public, sums[True] if is_told else mpz(1), mask)
        # Fresh full noise: the owner drew the noise of every row and could try which of them were added up.
        self._send(vectors.write(public, [vectors.hide_origin(public, masked)]))
        number = -mask % int(public.n) if is_told else self._nothing(int(public.n))
        return Share(int(public.n), number)

    def give_values(self, table: Table) -> Share:
        """The value owner's side: blind the other's points, send the rows encrypted, decrypt the masked sum.

        Learns: how many match and the other's row count; not which.
        """
        question = self._question
        owner = keys.generate(self._bits, small_for_tests=self._small)
        public = owner.public
        if question.is_hopeless:
            self._send(public.to_bytes())
            return Share(int(public.n), -self._nothing(int(public.n)) % int(public.n))
        own = self._blinded_ids(table)
        received = self._receive_points(question.rows[LIST_OWNER])
        self._send(public.to_bytes())
        with cores.Crew(Blinder, self._scalar, processes=self._processes) as crew:
            doubled = _blind(crew, received)
        _random.shuffle(doubled)
        self._send_points(doubled)
        self._progress("match", 30)
        self._send_rows(owner, own, table)
        returned = self._receive_points(question.rows[VALUE_OWNER])
        is_told = question.may_tell(len(set(doubled).intersection(returned)))
        [masked] = vectors.read(public, self._receive(), count=1)
        number = owner.decrypt(masked) if is_told else -self._nothing(int(public.n)) % int(public.n)
        return Share(int(public.n), number)

    def _nothing(self, modulus: int) -> int:
        """A share of zero that both parties derive from the job's key, so that neither can put anything into it."""
        width = modulus.bit_length() // 8 + 16  # 128 bits more: uniform up to 2^-128
        return int.from_bytes(hashlib.shake_256(_WITHHELD + self._key).digest(width), "big") % modulus

    def _blinded_ids(self, table: Table) -> list[bytes]:
        """This owner's persons as points that nobody else can compute, in the order of the rows."""
        keyed = identifiers.keyed(table.ids or (), self._key)
        if len(set(keyed)) != len(keyed):
            raise EngineRefused("ENGINE_ERROR", "The stored dataset is not what its schema says; add it again.")
        with cores.Crew(Hasher, self._scalar, processes=self._processes) as crew:
            return [point for part in crew.map(_parts(keyed)) for point in part]

    def _send_rows(self, owner: keys.OwnerKey, points: Sequence[bytes], table: Table) -> None:
        """All rows in random order, each a point and a ciphertext."""
        question = self._question
        columns = [table.values[name].tolist() for name, _, _ in question.values]
        order = list(range(len(points)))
        _random.shuffle(order)
        frames = [order[place : place + ROWS_A_FRAME] for place in range(0, len(order), ROWS_A_FRAME)]
        packed = ([question.row([column[row] for column in columns]) for row in frame] for frame in frames)
        sent = 0
        with cores.Crew(vectors.Encryptor, owner, max(1, len(order)), processes=self._processes) as crew:
            for frame, ciphertexts in zip(frames, crew.map(packed), strict=True):
                self._send(b"".join(points[row] for row in frame) + ciphertexts)
                sent += len(frame)
                self._progress("compute", 30 + 60 * sent // len(order))

    def _receive_rows(self, public: keys.PublicKey) -> Iterator[tuple[list[bytes], list[mpz]]]:
        left = self._question.rows[VALUE_OWNER]
        while left:
            rows = min(left, ROWS_A_FRAME)
            data = self._receive()
            ciphertexts = vectors.read(public, data[rows * POINT :], count=rows)
            yield _split(data[: rows * POINT]), ciphertexts
            left -= rows

    def _receive_key(self) -> keys.PublicKey:
        return keys.read_public(self._receive(), bits=self._bits, small_for_tests=self._small)

    def _send_points(self, points: Sequence[bytes]) -> None:
        for place in range(0, len(points), POINTS_A_FRAME):
            self._send(b"".join(points[place : place + POINTS_A_FRAME]))

    def _receive_points(self, count: int) -> list[bytes]:
        """Exactly so many points, none twice."""
        points: list[bytes] = []
        while len(points) < count:
            frame = _split(self._receive())
            if len(frame) != min(POINTS_A_FRAME, count - len(points)):
                raise PartInvalid("A peer sent another number of points than it has rows; the run is void.")
            points += frame
        _check_distinct(points)
        return points

    def _send(self, data: bytes) -> None:
        self._mesh.exchange({self._peer: data})

    def _receive(self) -> bytes:
        return self._mesh.exchange({self._peer: b""})[self._peer]


class Hasher:
    """Turns keyed identifiers into blinded points; made in each process of a crew."""

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar

    def __call__(self, keyed: Sequence[bytes]) -> list[bytes]:
        """The point of each, blinded."""
        return [ristretto.multiply(self._scalar, ristretto.hash_to_group(one, domain=_DOMAIN)) for one in keyed]


class Blinder:
    """Blinds points that came from the other owner; made in each process of a crew."""

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar

    def __call__(self, points: Sequence[bytes]) -> list[bytes]:
        """Each point blinded; NotInGroup for what is none."""
        return [ristretto.multiply(self._scalar, point) for point in points]


def _blind(crew: cores.Crew, points: Sequence[bytes]) -> list[bytes]:
    try:
        return [point for part in crew.map(_parts(points)) for point in part]
    except ristretto.NotInGroup:
        raise PartInvalid("A peer sent what is no point of the group; the run is void.") from None


def _parts(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (items[place : place + ROWS_A_FRAME] for place in range(0, len(items), ROWS_A_FRAME))


def _split(data: bytes) -> list[bytes]:
    if len(data) % POINT:
        raise PartInvalid("Points are torn; the run is void.")
    return [data[place : place + POINT] for place in range(0, len(data), POINT)]


def _check_distinct(points: Sequence[bytes]) -> None:
    """A point sent twice would count a person twice."""
    if len(set(points)) != len(points):
        raise PartInvalid("A peer sent a point twice; the run is void.")
