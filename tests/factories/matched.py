"""Both owners of a matched sum in one process: two threads, a wire between them, and keys that protect nothing.

For properties over many random tables and for hostile parties; processes, sockets and full keys are tests/spec.
"""

import queue
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from compute.engines import metadata, private_join
from compute.engines.base import Table
from compute.engines.matched_sum import LIST_OWNER, VALUE_OWNER, Question
from tests.factories.engines import schema

TEST_BITS = 512
SECONDS = 20.0


class Lost(Exception):
    """The other side has ended."""


@dataclass
class Wire:
    """One end of a connection, with what went over it."""

    rank: int
    inbox: "queue.Queue[bytes | None]" = field(default_factory=queue.Queue)
    other: "Wire | None" = None
    sent: list[bytes] = field(default_factory=list)

    def exchange(self, outgoing: Mapping[int, bytes]) -> dict[int, bytes]:
        """As link.Mesh.exchange."""
        assert self.other is not None
        [(peer, message)] = outgoing.items()
        self.sent.append(message)
        self.other.inbox.put(message)
        received = self.inbox.get(timeout=SECONDS)
        if received is None:
            raise Lost
        return {peer: received}

    def hang_up(self) -> None:
        """The other side waits no longer."""
        assert self.other is not None
        self.other.inbox.put(None)


def table(ids: Sequence[str], values: Mapping[str, Sequence[int]] | None = None) -> Table:
    """Rows as an engine holds them."""
    described = schema(rows=len(ids), blocks={}, values=dict.fromkeys(values or {}, (0, -999, 999)))
    return Table(
        meta=metadata.from_schema(described),
        blocks=np.zeros(len(ids), np.int64),
        values={name: np.asarray(found, np.int64) for name, found in (values or {}).items()},
        ids=list(ids),
    )


@dataclass
class Run:
    """What both owners came to: a share or the error, and what each sent."""

    question: Question
    outcomes: list[private_join.Share | Exception]
    sent: list[list[bytes]]

    def opened(self) -> list[int]:
        """What the buyer reads out of the two shares: the count, then sum and squares of each value."""
        shares = [found for found in self.outcomes if isinstance(found, private_join.Share)]
        assert len(shares) == 2, self.outcomes
        modulus = shares[0].modulus
        packed = sum(share.number for share in shares) % modulus
        return self.question.slots.unpack(packed - modulus if 2 * packed > modulus else packed)


def run(
    listed: Table,
    valued: Table,
    *,
    k: int = 10,
    sides: Sequence[type[private_join.Join]] = (private_join.Join, private_join.Join),
    job_key: bytes | None = None,
) -> Run:
    """Run both sides; `sides` replaces one by a party that does as it likes."""
    question = Question([(name, 0, 999) for name in valued.values], (len(listed.ids or ()), len(valued.ids or ())), k)
    wires = [Wire(LIST_OWNER), Wire(VALUE_OWNER)]
    wires[0].other, wires[1].other = wires[1], wires[0]
    key = job_key or secrets.token_bytes(32)

    def side(rank: int) -> private_join.Share | Exception:
        try:
            join = sides[rank](
                wires[rank],  # type: ignore[arg-type]
                rank=rank,
                key=key,
                question=question,
                progress=lambda stage, percent: None,
                bits=TEST_BITS,
                small_for_tests=True,
            )
            share = join.look_up(listed) if rank == LIST_OWNER else join.give_values(valued)
            wires[rank].exchange({1 - rank: b"done"})  # as the engine ends a run
        except Exception as error:  # noqa: BLE001 - the outcome is what the test looks at
            return error
        else:
            return share
        finally:
            wires[rank].hang_up()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(side, (LIST_OWNER, VALUE_OWNER)))
    return Run(question, outcomes, [wire.sent for wire in wires])
