"""Bank and agency of a two-party scoring in one process: two threads, a wire, and keys that protect nothing.

For random worlds and hostile parties; processes, sockets and full keys are tests/spec.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compute.engines.scoring import forms, paired_agency, paired_bank
from tests.factories.matched import Wire

TEST_BITS = 512
SLOTS = 32
SEED = b"s" * 32
CARD = "c" * 64


@dataclass
class Run:
    """What both sides came to, and what each sent."""

    outcomes: list[Any]
    sent: list[list[bytes]] = field(default_factory=list)

    @property
    def found(self) -> dict[str, paired_bank.Found | None]:
        """The bank's answers; the run must have come to its end."""
        found, nothing = self.outcomes
        assert nothing is None, nothing
        assert isinstance(found, dict), found
        return found


def people(values: Sequence[Sequence[int]], shape: forms.Shape, *, denied: Sequence[int] = ()) -> paired_agency.People:
    """Persons p0, p1, … with the given values, a row each, all usable."""
    table = np.array(values, np.int64).T
    usable = np.ones_like(table, bool)
    usable[:, list(denied)] = False
    return paired_agency.People(
        ids=[f"p{number}" for number in range(len(values))],
        denied=[number in denied for number in range(len(values))],
        disputed=[False] * len(values),
        columns=forms.columns(shape, table, usable),
        values=table,
    )


def run(
    form: forms.Form,
    persons: paired_agency.People,
    asked: Sequence[str],
    *,
    sides: tuple[type[paired_bank.Bank], type[paired_agency.Agency]] = (paired_bank.Bank, paired_agency.Agency),
    seed: bytes = SEED,
) -> Run:
    """Run both sides; `sides` replaces one by a party that does as it likes."""
    wires = [Wire(0), Wire(1)]
    wires[0].other, wires[1].other = wires[1], wires[0]
    directory = tempfile.TemporaryDirectory()
    common: dict[str, Any] = {
        "slots": SLOTS,
        "progress": lambda stage, percent: None,
        "bits": TEST_BITS,
        "small_for_tests": True,
    }

    def side(rank: int) -> Any:
        work_dir = Path(directory.name) / str(rank)
        work_dir.mkdir()
        mesh: Any = wires[rank]
        try:
            if rank == 0:
                rows = paired_agency.padded(len(persons.ids))
                return sides[0](mesh, form, rows=rows, work_dir=work_dir, **common).ask(asked)
            sides[1](mesh, form.shape, seed=seed, card=CARD, work_dir=work_dir, **common).answer(persons)
        except Exception as error:  # noqa: BLE001 - the outcome is what the test looks at
            return error
        finally:
            wires[rank].hang_up()

    with directory, ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(side, range(2)))
    return Run(outcomes, [wire.sent for wire in wires])
