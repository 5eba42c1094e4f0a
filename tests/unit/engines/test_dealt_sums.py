"""Sums by group from dealt shares: exact, of one size whatever the rows hold, and random to whoever looks."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from compute.engines import dealt_sums
from compute.engines.errors import EngineRefused

MAPPER, OWNER, DEALER = 0, 1, 2


class Wires:
    """Queues between three parties in threads, and what each has received."""

    def __init__(self) -> None:
        self.queues = {(a, b): queue.Queue() for a in range(3) for b in range(3)}
        self.received: dict[int, list[tuple[int, bytes]]] = {party: [] for party in range(3)}

    def mesh(self, rank: int) -> "Ends":
        return Ends(self, rank)


class Ends:
    def __init__(self, wires: Wires, rank: int) -> None:
        self.wires, self.rank = wires, rank

    def exchange(self, outgoing: Mapping[int, bytes]) -> dict[int, bytes]:
        for peer, message in outgoing.items():
            self.wires.queues[self.rank, peer].put(message)
        found = {peer: self.wires.queues[peer, self.rank].get(timeout=10) for peer in outgoing}
        self.wires.received[self.rank] += [(peer, message) for peer, message in found.items() if message]
        return found


def together(*sides: Callable[[], Any]) -> list[Any]:
    """What the parties return, each run in a thread."""
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: sides[n]()})) for n in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [found[number] for number in range(len(sides))]


def add_up(group_of: np.ndarray, values: np.ndarray, *, groups: int, chunks: int = 1) -> tuple[np.ndarray, Wires]:
    """The sums, put together from both shares, and what went over the wires."""
    wires, width, rows = Wires(), values.shape[1], len(values) // chunks

    def mapper() -> np.ndarray:
        side = dealt_sums.Mapper(wires.mesh(MAPPER), owner=OWNER, dealer=DEALER, groups=groups, width=width)
        return sum(side.sums(part) for part in np.split(group_of, chunks))

    def owner() -> np.ndarray:
        side = dealt_sums.Owner(wires.mesh(OWNER), mapper=MAPPER, dealer=DEALER, groups=groups, width=width)
        return sum(side.sums(part) for part in np.split(values, chunks))

    def dealer() -> None:
        dealt_sums.deal(
            wires.mesh(DEALER), mapper=MAPPER, owner=OWNER, chunks=chunks, rows=rows, groups=groups, width=width
        )

    shares = together(mapper, owner, dealer)
    return (shares[0] + shares[1]).astype(np.int64), wires


def expected(group_of: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    found = np.zeros((groups, values.shape[1]), np.int64)
    for group, row in zip(group_of, values, strict=True):
        if 0 <= group < groups:
            found[group] += row
    return found


@pytest.mark.parametrize("seed", range(12))
def test_the_shares_add_up_to_the_sums(seed):
    drawn = np.random.default_rng(seed)
    groups, width, chunks = int(drawn.integers(1, 9)), int(drawn.integers(1, 5)), int(drawn.choice([1, 2, 4]))
    rows = chunks * int(drawn.integers(1, 40))
    group_of = drawn.integers(-1, groups + (seed % 2), rows)  # with rows of none, and groups of nobody
    values = drawn.integers(-(2**40), 2**40, (rows, width))

    found, _ = add_up(group_of, values, groups=groups, chunks=chunks)

    assert found.tolist() == expected(group_of, values, groups).tolist()


def test_messages_have_one_size_whatever_the_rows_hold():
    sizes = []
    for drawn in (np.zeros(64, np.int64), np.arange(64) % 5, np.full(64, -1)):
        _, wires = add_up(drawn, drawn[:, None] * 1000, groups=5)
        sizes.append({party: [len(message) for _, message in found] for party, found in wires.received.items()})

    assert sizes[0] == sizes[1] == sizes[2]


def test_the_dealer_is_told_nothing():
    assert add_up(np.arange(64) % 5, np.ones((64, 2), np.int64), groups=5)[1].received[DEALER] == []


def seen(wires: Wires, party: int, peer: int, kind: str) -> list[np.ndarray]:
    """The messages of a peer as numbers."""
    return [np.frombuffer(message, kind) for sender, message in wires.received[party] if sender == peer]


def bits_set(words: np.ndarray) -> float:
    return float(np.unpackbits(words.view(np.uint8)).mean())


def test_the_mapper_sees_random_words_and_the_owner_a_random_permutation():
    values = np.full((4096, 1), 7, np.int64)
    _, wires = add_up(np.sort(np.arange(4096) % 4), values, groups=4)

    masked, running = seen(wires, MAPPER, OWNER, "<u8")
    for words in (masked, running, *seen(wires, MAPPER, DEALER, "<u8")[1:]):
        assert abs(bits_set(words) - 0.5) < 0.01
    (asked,) = seen(wires, OWNER, MAPPER, "<u4")
    for permutation in np.split(asked.astype(np.int64), 2):
        # A random permutation leaves about one place where it was and keeps half of all neighbours in order.
        assert np.count_nonzero(permutation == np.arange(len(permutation))) < 12
        assert abs(np.mean(np.diff(permutation) > 0) - 0.5) < 0.05


def test_without_masks_the_mapper_reads_the_values(monkeypatch):
    monkeypatch.setattr(dealt_sums._Stream, "words", lambda self, purpose, rows, width: np.zeros((rows, width), "<u8"))
    monkeypatch.setattr(dealt_sums._Stream, "permutation", lambda self, purpose, rows: np.arange(rows))
    values = np.arange(100, 164)[:, None]
    _, wires = add_up(np.arange(64) % 5, values, groups=5)

    assert seen(wires, MAPPER, OWNER, "<u8")[0][:64].tolist() == values[:, 0].tolist()
    # And without the dealer's permutation the owner reads who stands together.
    asked = seen(wires, OWNER, MAPPER, "<u4")[0][: 64 + 5]
    assert asked[:13].tolist() == [*range(0, 64, 5)]


def test_another_run_has_other_masks():
    values, groups = np.full((64, 1), 7, np.int64), np.zeros(64, np.int64)
    first, second = (seen(add_up(groups, values, groups=1)[1], MAPPER, OWNER, "<u8")[0] for _ in range(2))

    assert not (first == second).any()


@pytest.mark.parametrize("data", [b"", b"\0" * 12, (5).to_bytes(4, "little") * 3, b"\xff" * 12], ids=repr)
def test_what_is_no_permutation_ends_the_run(data):
    with pytest.raises(EngineRefused) as refused:
        dealt_sums._permutation(data, 3)
    assert refused.value.code == "JOB_DIFFERS"


def test_shares_of_two_become_replicated_shares_of_three():
    wires, secret = Wires(), np.array([5, 2**63, 0], np.uint64)
    other = np.array([1, 2, 2**64 - 1], np.uint64)
    sides = [
        lambda rank=rank, own=own: dealt_sums.replicated(
            wires.mesh(rank), own, rank=rank, owners=(MAPPER, OWNER), count=3
        )
        for rank, own in enumerate((secret, other, None))
    ]
    first, second, third = (np.frombuffer(data, "<u8").reshape(3, 2) for data in together(*sides))

    assert first[:, 1].tolist() == second[:, 0].tolist()
    assert second[:, 1].tolist() == third[:, 0].tolist()
    assert third[:, 1].tolist() == first[:, 0].tolist()
    assert (first[:, 0] + first[:, 1] + second[:, 1]).tolist() == (secret + other).tolist()


@pytest.mark.parametrize("sizes", [[], [3], [8, 0, 1], [5, 5, 5], [16]])
def test_rows_come_in_chunks_of_one_size(sizes):
    parts = [np.arange(size)[:, None] + 1 for size in sizes]
    chunks = list(dealt_sums.rechunked(parts, rows=16, size=4))

    assert [len(chunk) for chunk in chunks] == [4] * 4
    joined = np.concatenate(chunks)[:, 0].tolist()
    held = [one for size in sizes for one in range(1, size + 1)]
    assert joined == held + [-1] * (16 - len(held))
