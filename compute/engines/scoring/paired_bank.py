"""The bank's side of a scoring between two: weigh what it cannot read, mask it, and open its own applicants.

The steps are in `paired.py`. The card meets the agency's rows only as exponents of the agency's ciphertexts. What goes
back carries a mask for every row and uniform noise, so that the agency, which holds the key, decrypts uniform numbers.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compute.engines import encrypted_table, link
from compute.engines.base import Progress
from compute.engines.encrypted_table import Record
from compute.engines.errors import PartInvalid
from compute.engines.lookup_papers import OWNER, exchange
from compute.engines.paillier import cores, keys, linear, noise, vectors
from compute.engines.scoring import entries, forms
from compute.engines.scoring.paired_agency import WORTH_PROCESSES, frames

_NO_BYTES = b""


@dataclass(frozen=True, slots=True)
class Found:
    """What the agency says of one applicant: the sum of points, rounded below one point, or None and why.

    A damaged entry ends no run: an end would tell an agency that made it so that this person was asked for.
    """

    total: int | None
    is_disputed: bool = False
    is_damaged: bool = False


_DAMAGED = Found(None, is_damaged=True)


class Bank:
    """One run at the bank.

    Args:
        rows: the agency's, padded; slots: the applicants, padded.
        bits: the length of the agency's key; small_for_tests: accept one that protects nothing.
    """

    def __init__(
        self,
        mesh: link.Mesh,
        form: forms.Form,
        *,
        rows: int,
        slots: int,
        work_dir: Path,
        progress: Progress,
        bits: int,
        small_for_tests: bool = False,
    ) -> None:
        self._mesh, self._form, self._rows, self._slots = mesh, form, rows, slots
        self._work_dir, self._progress, self._bits, self._small = work_dir, progress, bits, small_for_tests
        self._seed = secrets.token_bytes(32)

    def ask(self, persons: Sequence[str]) -> dict[str, Found | None]:
        """Score the agency's whole table and open these persons, canonical and each once; None where it knows nobody.

        Learns: of each person the sum of points, and nothing of anybody else.
        """
        self._weigh()
        table, key = entries.take_table(self._mesh, self._work_dir)
        self._progress("query", 90)
        with encrypted_table.Reader(table) as reader:
            found = {
                person: self._open(reader, output)
                for person, output in zip(persons, self._outputs(persons, key), strict=True)
            }
        table.unlink()
        return found

    def _weigh(self) -> None:
        """Turn every frame of encrypted columns into masked sums, one frame behind the agency."""
        public = keys.read_public(exchange(self._mesh, OWNER, _NO_BYTES), bits=self._bits, small_for_tests=self._small)
        shape, reply = self._form.shape, _NO_BYTES
        all_frames = frames(shape, rows=self._rows, bits=self._bits)
        processes = cores.available() if self._rows > WORTH_PROCESSES else 1
        arguments = (public, self._form, self._seed, all_frames.batches)
        with cores.Crew(Weigher, *arguments, processes=processes) as crew:
            for frame in all_frames:
                data = exchange(self._mesh, OWNER, reply)
                slices = _slices(data, frame, columns=len(shape.largest), size=public.ciphertext_bytes)
                reply = b"".join(crew.map(slices))
                self._progress("compute", 15 + 40 * frame.stop // all_frames.batches)
        exchange(self._mesh, OWNER, reply)

    def _outputs(self, persons: Sequence[str], key: bytes) -> list[bytes]:
        return entries.outputs(self._mesh, persons, key, slots=self._slots)

    def _open(self, reader: encrypted_table.Reader, output: bytes) -> Found | None:
        records = entries.read(reader, output)
        if not records:
            return _DAMAGED if records is None else None
        return Found(None) if records == [entries.DENIED] else self._unmasked(records[0])

    def _unmasked(self, record: Record) -> Found:
        shape = self._form.shape
        slots = shape.slots(self._bits - 1)
        try:
            place, number, disputed = int(record[0]), int(record[1], 16), record[2] == "1"
        except (ValueError, IndexError):
            return _DAMAGED
        if not 0 <= place < self._rows or not 0 <= number < 1 << shape.total_bits:
            return _DAMAGED
        mask = forms.masks(self._seed, place // slots, shape=shape, slots=slots)[place % slots]
        return Found(self._form.opened(number, mask=mask), disputed)


class Weigher:
    """Turns some batches of encrypted columns into masked sums; made in each process of a crew."""

    def __init__(self, public: keys.PublicKey, form: forms.Form, seed: bytes, draws: int) -> None:
        self._public, self._form, self._seed = public, form, seed
        self._slots = form.shape.slots(public.plaintext_bits)
        self._noise = noise.Wide(public, draws=draws)

    def __call__(self, item: tuple[int, Sequence[bytes]]) -> bytes:
        """The written sums of the batches from one number on; one row of ciphertexts for each column."""
        first, columns = item
        count = len(columns[0]) // self._public.ciphertext_bytes
        encrypted = [vectors.read(self._public, column, count=count) for column in columns]
        added = [self._added(first + number) for number in range(count)]
        found = linear.score_columns(self._public, encrypted, self._form.coefficients, masks=added, noise=self._noise)
        return vectors.write(self._public, found)

    def _added(self, batch: int) -> int:
        """What every slot of a batch gets: the start of the sum, and its mask."""
        shape, packed = self._form.shape, 0
        for slot, mask in enumerate(forms.masks(self._seed, batch, shape=shape, slots=self._slots)):
            packed += (self._form.start + mask) << (shape.width * slot)
        return packed


def _slices(data: bytes, frame: range, *, columns: int, size: int) -> list[tuple[int, list[bytes]]]:
    """A frame, column by column, cut into some batches each for one process at a time."""
    if len(data) != columns * len(frame) * size:
        raise PartInvalid("Ciphertexts are missing or torn; the run is void.")
    step = max(1, len(frame) // 8)
    found = []
    for first in range(0, len(frame), step):
        last = min(first + step, len(frame))
        starts = [column * len(frame) * size for column in range(columns)]
        found.append((frame.start + first, [data[start + first * size : start + last * size] for start in starts]))
    return found
