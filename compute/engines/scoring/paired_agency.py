"""The agency's side of a scoring between two: encrypt, decrypt masked sums, and hand them out by private look-up.

The agency holds the key, because it has more to lose: its columns leave only under its own key, and what the bank ever
opens is one entry a person, of `total` bits. All rows are scored, whoever is asked for. The steps are in `paired.py`.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compute.engines import encrypted_table, link
from compute.engines.base import Progress
from compute.engines.encrypted_table import Record
from compute.engines.lookup_papers import REQUESTER, exchange
from compute.engines.paillier import cores, keys, packing, vectors
from compute.engines.scoring import entries, forms

ROUND = encrypted_table.ROUND  # rows are told in these steps
FRAME_BYTES = 8 << 20
WORTH_PROCESSES = 20_000  # rows: below, starting processes takes longer than the work
_NO_BYTES = b""


@dataclass(frozen=True, slots=True)
class People:
    """The agency's rows. Shapes: columns (form's columns, rows), values (columns, rows), the others (rows,).

    Args:
        ids: canonical; denied: without consent; disputed: marked; values: what the rounding of a row depends on.
        points: what the agency adds to each row's sum by its own shares of a trained model; empty without.
    """

    ids: Sequence[str]
    denied: Sequence[bool]
    disputed: Sequence[bool]
    columns: Sequence[NDArray[np.int64]]
    values: NDArray[np.int64]
    points: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Frames:
    """Which batches of packed rows go together; both parties work it out from what both know."""

    batches: int
    step: int

    def __iter__(self) -> Iterator[range]:
        return (range(first, min(first + self.step, self.batches)) for first in range(0, self.batches, self.step))


def frames(shape: forms.Shape, *, rows: int, bits: int) -> Frames:
    """The frames of padded rows under a key of so many bits."""
    batches = -(-rows // shape.slots(bits - 1))
    return Frames(batches, max(1, FRAME_BYTES // (len(shape.largest) * bits // 4)))


def padded(rows: int) -> int:
    """The number of rows as it is told."""
    return max(1, -(-rows // ROUND)) * ROUND


class Agency:
    """One run at the agency.

    Args:
        seed: the node's own secret for rounding; card: the model's commitment; slots: how many points the bank sends.
        bits: the length of the Paillier key; small_for_tests: allow one that protects nothing.
    """

    def __init__(
        self,
        mesh: link.Mesh,
        shape: forms.Shape,
        *,
        seed: bytes,
        card: str,
        slots: int,
        work_dir: Path,
        progress: Progress,
        bits: int,
        small_for_tests: bool = False,
    ) -> None:
        self._mesh, self._shape, self._seed, self._card, self._slots = mesh, shape, seed, card, slots
        self._work_dir, self._progress, self._bits, self._small = work_dir, progress, bits, small_for_tests

    def answer(self, people: People) -> None:
        """Score everybody, hand the table over, and evaluate as many points as agreed.

        Learns: nothing of the bank but what the greeting told; of the sums only masked ones.
        """
        order = np.random.default_rng(secrets.randbits(128)).permutation(padded(len(people.ids)))
        masked = self._masked(people, order)
        self._progress("table", 60)
        entries.hand_out(self._mesh, self._records(people, order, masked), slots=self._slots, work_dir=self._work_dir)

    def _masked(self, people: People, order: NDArray[np.int64]) -> list[int]:
        """The masked sums of all rows in slot order: encrypted columns out, masked sums back, decrypted."""
        shape, rows = self._shape, len(order)
        owner = keys.generate(self._bits, small_for_tests=self._small)
        exchange(self._mesh, REQUESTER, owner.public.to_bytes())
        plain = self._plaintexts(people, order, owner.public.plaintext_bits)
        found: list[int] = []
        processes = cores.available() if rows > WORTH_PROCESSES else 1
        draws = sum(map(len, plain))
        all_frames = list(frames(shape, rows=rows, bits=self._bits))
        with (
            cores.Crew(vectors.Encryptor, owner, draws, processes=processes) as encrypting,
            cores.Crew(Opener, owner, shape, processes=processes) as opening,
        ):
            for number, frame in enumerate(all_frames):
                columns = [column[frame.start : frame.stop] for column in plain]
                # While the bank works on one frame, the next is encrypted here.
                reply = exchange(self._mesh, REQUESTER, b"".join(encrypting.map(columns)))
                if number:
                    found += self._opened(opening, owner.public, reply, all_frames[number - 1])
                self._progress("compute", 15 + 40 * number // len(all_frames))
            reply = exchange(self._mesh, REQUESTER, _NO_BYTES)
            found += self._opened(opening, owner.public, reply, all_frames[-1])
        return found

    def _plaintexts(self, people: People, order: NDArray[np.int64], plaintext_bits: int) -> list[list[int]]:
        """Each column packed in slot order; padding rows are zero."""
        found = []
        for column, bound in zip(people.columns, self._shape.largest, strict=True):
            placed = np.zeros(len(order), np.int64)
            placed[order[: len(people.ids)]] = column
            slots = self._shape.packing(bound, plaintext_bits=plaintext_bits)
            found.append(packing.pack_all(placed.tolist(), slots))
        return found

    def _opened(self, crew: cores.Crew, public: keys.PublicKey, reply: bytes, frame: range) -> list[int]:
        ciphertexts = vectors.read(public, reply, count=len(frame))
        step = max(1, len(frame) // 8)
        parts = [ciphertexts[start : start + step] for start in range(0, len(frame), step)]
        return [number for part in crew.map(parts) for number in part]

    def _records(
        self, people: People, order: NDArray[np.int64], masked: Sequence[int]
    ) -> Mapping[str, Sequence[Record]]:
        """What each person's entry holds: place, masked sum cut to the card's bits and rounded, and a mark."""
        shape, found = self._shape, {}
        for row, (person, denied, disputed) in enumerate(zip(people.ids, people.denied, people.disputed, strict=True)):
            if denied:
                found[person] = [entries.DENIED]
                continue
            place, values = int(order[row]), people.values[:, row].tolist()
            added = forms.rounding(self._seed, card=self._card, person=person, values=values, bits=shape.shift)
            added += people.points[row] if people.points else 0
            number = (masked[place] + added) % (1 << shape.total_bits)
            found[person] = [(str(place), f"{number:x}", "1" if disputed else "0")]
        return found


class Opener:
    """Decrypts packed sums into slots; made in each process of a crew."""

    def __init__(self, owner: keys.OwnerKey, shape: forms.Shape) -> None:
        self._owner, self._width = owner, shape.width
        self._slots = shape.slots(owner.public.plaintext_bits)

    def __call__(self, ciphertexts: Sequence[object]) -> list[int]:
        """The numbers in all slots of some ciphertexts, in order."""
        found, mask = [], (1 << self._width) - 1
        for ciphertext in ciphertexts:
            packed = self._owner.decrypt(ciphertext)
            found += [packed >> (self._width * slot) & mask for slot in range(self._slots)]
        return found
