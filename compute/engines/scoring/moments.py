"""Second moments of two parties' columns over the rows that both have, as shares: what a training between two needs.

With the first Taylor term of the sigmoid, 1/2 + z/4, the logistic loss is quadratic: -y'z/2 + z^2/8 a row, y' = 1 or -1
(Hardy et al. 2017). All that it asks of the rows is G = sum of x x^T and c = sum of y' x. The agency encrypts for each
of its rows, under its own key, its columns and their products; the bank, which alone knows which rows are its persons',
multiplies the ciphertexts of these, to the power of its own columns and labels. A mask on every sum, uniform noise, and
what the agency decrypts is its share of G and c, the mask the bank's. The bank's own moments are its own.

    agency's x 3 and 5 at two rows, bank's v 2 and -1: E(3)^2 E(5)^-1 = E(1), with mask 41: 42 and -41.

Neither learns a sum. The agency does not learn which rows met, nor how many; the bank does, from `entries`.

Source: Hardy et al., Private federated learning on vertically partitioned data via entity resolution and additively
homomorphic encryption, 2017 (the Taylor loss); Gascon et al., Privacy-Preserving Distributed Linear Regression on
High-Dimensional Data, PoPETs 2017 (moments as shares).
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from compute.engines import link
from compute.engines.base import Progress
from compute.engines.lookup_papers import OWNER, REQUESTER, exchange
from compute.engines.paillier import cores, keys, noise, packing, products, vectors
from compute.engines.paillier.packing import Packing

RING_BITS = 128
RING = 1 << RING_BITS
VALUE_BITS = 12  # of standardised values, cut at eight spreads
LARGEST = 8 << VALUE_BITS
MASK_BITS = 80
FRAME_BYTES = 8 << 20
_NO_BYTES = b""

Int64 = NDArray[np.int64]
Matrix = list[list[int]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What both parties know of one training.

    Args:
        theirs: the agency's columns; own: the bank's, the constant among them as the last.
        rows: the agency's, padded; slots: the most that can meet, a power of two; bits: of the key.
        steps, rate, decay: of the descent; rate in thousandths, decay in millionths.
    """

    theirs: int
    own: int
    rows: int
    slots: int
    bits: int
    steps: int = 0
    rate: int = 0
    decay: int = 0

    @property
    def columns(self) -> int:
        """All columns, the agency's first, the constant last."""
        return self.theirs + self.own

    @property
    def sum_bits(self) -> int:
        """Bits of one moment, without sign: a product of two values, added up over the rows that meet."""
        return (LARGEST * LARGEST * self.slots).bit_length()

    @property
    def width(self) -> int:
        """Bits of a slot: a moment lifted above zero, and its mask."""
        return self.sum_bits + MASK_BITS + 2

    @property
    def places(self) -> int:
        """Slots of a plaintext."""
        return (self.bits - 2) // self.width

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The products that the agency encrypts, in order."""
        return [(one, two) for one in range(self.theirs) for two in range(one, self.theirs)]

    @property
    def chunks(self) -> tuple[int, int]:
        """Ciphertexts of one row: for its columns, and for their products."""
        return -(-self.theirs // self.places), -(-len(self.pairs) // self.places)

    def packing(self, bound: int) -> Packing:
        """Slots for values up to `bound` that become moments."""
        return Packing((bound,) * self.places, ((1 << (self.width - 1)) - 1) // bound)

    def frames(self) -> Iterator[range]:
        """Rows that cross together."""
        step = max(1, FRAME_BYTES // (sum(self.chunks) * self.bits // 4))
        return (range(first, min(first + step, self.rows)) for first in range(0, self.rows, step))


@dataclass(frozen=True, slots=True)
class Moments:
    """One party's shares modulo RING. Shapes: matrix (columns, columns), symmetric; vector (columns,)."""

    matrix: Matrix
    vector: list[int]


def of_agency(mesh: link.Mesh, plan: Plan, owner: keys.OwnerKey, values: Int64, progress: Progress) -> Moments:
    """The agency's side. Shapes: values (theirs, rows), rows in the order of their places, zero where not usable.

    Learns: uniform numbers.
    """
    exchange(mesh, REQUESTER, owner.public.to_bytes())
    single, double = plan.packing(LARGEST), plan.packing(LARGEST * LARGEST)
    processes = cores.available() if plan.rows > 4_000 else 1
    with cores.Crew(vectors.Encryptor, owner, plan.rows * sum(plan.chunks), processes=processes) as crew:
        for frame in plan.frames():
            rows = [packed(column, plan, single, double) for column in values[:, frame.start : frame.stop].T.tolist()]
            exchange(mesh, REQUESTER, b"".join(crew.map([list(column) for column in zip(*rows, strict=True)])))
            progress("compute", 20 + 40 * frame.stop // plan.rows)
    first, second = plan.chunks
    masked = vectors.read(owner.public, exchange(mesh, REQUESTER, _NO_BYTES), count=(plan.own + 1) * first + second)
    numbers = [unpacked(owner.decrypt(one), width=plan.width, places=plan.places) for one in masked]
    flat = [[number for chunk in part for number in chunk] for part in _parts(numbers, plan)]
    return _assembled(plan, flat)


def packed(row: Sequence[int], plan: Plan, single: Packing, double: Packing) -> list[int]:
    """The plaintexts of one row: its columns, then their products."""
    return packing.pack_all(row, single) + packing.pack_all([row[one] * row[two] for one, two in plan.pairs], double)


def unpacked(number: int, *, width: int, places: int) -> list[int]:
    """What the slots of a decrypted plaintext hold, modulo RING; every slot is positive, lifted and masked."""
    return [(number >> (width * place) & ((1 << width) - 1)) % RING for place in range(places)]


class Summer:
    """The bank's side.

    Args:
        places: of the rows that met; own: the bank's columns at these rows, the last of them the constant; labels:
            1 or -1. Shapes: places (n,), own (own, n), labels (n,).
    """

    def __init__(self, mesh: link.Mesh, plan: Plan, *, places: Sequence[int], own: Int64, labels: Int64) -> None:
        self._mesh, self._plan = mesh, plan
        self._at = {place: number for number, place in enumerate(places)}
        self._weights = [*own.tolist(), labels.tolist()]
        self._own, self._labels = own, labels

    def run(self, progress: Progress, *, small_for_tests: bool = False) -> tuple[keys.PublicKey, Moments]:
        """Add up what met, and hand it back masked; returns the agency's key and the bank's shares."""
        plan, mesh = self._plan, self._mesh
        data = exchange(mesh, OWNER, _NO_BYTES)
        public = keys.read_public(data, bits=plan.bits, small_for_tests=small_for_tests)
        first, second = plan.chunks
        totals = [mpz(1)] * ((plan.own + 1) * first + second)
        for frame in plan.frames():
            received = vectors.read(public, exchange(mesh, OWNER, _NO_BYTES), count=len(frame) * (first + second))
            chunks = [received[start : start + len(frame)] for start in range(0, len(received), len(frame))]
            met = [(place - frame.start, self._at[place]) for place in frame if place in self._at]
            for number, found in enumerate(self._sums(public, chunks, met)):
                totals[number] = totals[number] * found % public.n_square
            progress("compute", 20 + 40 * frame.stop // plan.rows)
        masks = [self._drawn() for _ in totals]
        source = noise.Wide(public, draws=len(totals))
        masked = [
            vectors.add_plain(public, total, sum(mask << plan.width * slot for slot, mask in enumerate(row)))
            * source.draw()
            % public.n_square
            for total, row in zip(totals, masks, strict=True)
        ]
        exchange(mesh, OWNER, vectors.write(public, masked))
        return public, self._shares(masks)

    def _sums(self, public: keys.PublicKey, chunks: list[list[mpz]], met: list[tuple[int, int]]) -> Iterator[mpz]:
        """One frame's part of every moment, in the order of `_parts`."""
        first = self._plan.chunks[0]
        for weights in self._weights:
            powers = [weights[person] for _, person in met]
            for chunk in chunks[:first]:
                yield products.weighted(public, [chunk[row] for row, _ in met], powers)
        for chunk in chunks[first:]:
            yield vectors.total(public, [chunk[row] for row, _ in met])

    def _drawn(self) -> list[int]:
        """What is added to each slot of a ciphertext: lifts a moment above zero and hides it."""
        lift, bits = 1 << self._plan.sum_bits, self._plan.sum_bits + MASK_BITS
        return [lift + secrets.randbits(bits) for _ in range(self._plan.places)]

    def _shares(self, masks: list[list[int]]) -> Moments:
        plan = self._plan
        flat = [[-mask % RING for chunk in part for mask in chunk] for part in _parts(masks, plan)]
        found = _assembled(plan, flat)
        between = self._own @ self._own.T
        for one in range(plan.own):
            for two in range(plan.own):
                found.matrix[plan.theirs + one][plan.theirs + two] = int(between[one, two]) % RING
        for one, total in enumerate((self._own @ self._labels).tolist()):
            found.vector[plan.theirs + one] = total % RING
        return found


def _parts(items: Sequence[Any], plan: Plan) -> list[Sequence[Any]]:
    """Chunks by what they belong to: each of the bank's columns, the label, the products."""
    first = plan.chunks[0]
    starts = [place * first for place in range(plan.own + 1)]
    return [*(items[start : start + first] for start in starts), items[(plan.own + 1) * first :]]


def _assembled(plan: Plan, parts: Sequence[Sequence[int]]) -> Moments:
    """Shares in place; the bank's own block stays zero."""
    matrix = [[0] * plan.columns for _ in range(plan.columns)]
    for one in range(plan.own):
        for two in range(plan.theirs):
            matrix[plan.theirs + one][two] = matrix[two][plan.theirs + one] = parts[one][two]
    for (one, two), number in zip(plan.pairs, parts[-1], strict=False):
        matrix[one][two] = matrix[two][one] = number
    return Moments(matrix, [*parts[plan.own][: plan.theirs], *([0] * plan.own)])
