"""Bank and agency of a two-party training in one process: two threads, a wire, and keys that protect nothing."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compute.engines.paillier import keys
from compute.engines.scoring import descents, moments
from compute.engines.scoring.moments import RING, Int64, Moments, Plan
from tests.factories.matched import Wire

TEST_BITS = 512


@dataclass
class Run:
    """What both sides came to: shares of the moments and of the weights, and what each sent."""

    plan: Plan
    owner: keys.OwnerKey
    shares: list[Moments]
    weights: list[list[int]]
    sent: list[list[bytes]] = field(default_factory=list)

    def matrix(self) -> list[list[int]]:
        """G, by both together."""
        one, two = (share.matrix for share in self.shares)
        return [[signed(a + b) for a, b in zip(*rows, strict=True)] for rows in zip(one, two, strict=True)]

    def vector(self) -> list[int]:
        """c, by both together."""
        one, two = (share.vector for share in self.shares)
        return [signed(a + b) for a, b in zip(one, two, strict=True)]

    def model(self) -> Any:
        """The weights, by both together. Shape: (columns,)."""
        return np.array([signed(a + b) for a, b in zip(*self.weights, strict=True)]) / 2**descents.WEIGHT_BITS


def signed(number: int) -> int:
    """An element of the ring as the number nearest to zero."""
    number %= RING
    return number - RING if number >> 127 else number


def run(theirs: Int64, own: Int64, labels: Sequence[int], places: Sequence[int], **changed: Any) -> Run:
    """Train; shapes: theirs (theirs, rows), own (own, n), labels and places (n,)."""
    settings: dict[str, Any] = {"slots": 64, "bits": TEST_BITS, "steps": 3, "rate": 300, "decay": 1000, **changed}
    plan = Plan(theirs=len(theirs), own=len(own), rows=theirs.shape[1], **settings)
    owner = keys.generate(TEST_BITS, small_for_tests=True)
    wires: list[Any] = [Wire(0), Wire(1)]
    wires[0].other, wires[1].other = wires[1], wires[0]

    def bank() -> tuple[Moments, list[int]]:
        try:
            summer = moments.Summer(wires[0], plan, places=places, own=own, labels=np.array(labels))
            public, found = summer.run(_nothing, small_for_tests=True)
            return found, descents.of_bank(wires[0], plan, public, found, _nothing)
        finally:
            wires[0].hang_up()

    def agency() -> tuple[Moments, list[int]]:
        try:
            found = moments.of_agency(wires[1], plan, owner, theirs, _nothing)
            return found, descents.of_agency(wires[1], plan, owner, found, _nothing)
        finally:
            wires[1].hang_up()

    with ThreadPoolExecutor(2) as pool:
        sides = [pool.submit(bank), pool.submit(agency)]
        found = [side.result() for side in sides]
    return Run(plan, owner, [one for one, _ in found], [two for _, two in found], [wire.sent for wire in wires])


def _nothing(stage: str, percent: int) -> None:
    """Nobody watches."""
