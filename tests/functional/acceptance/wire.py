"""Taps between the real nodes: what the wire shows of a run, and what it would show without TLS.

Each tapped node is told to announce an address that leads through two taps to where its engine listens, as a gateway
that forwards ports would, and is started again. The first tap has what anybody on the wire has; the second one has
stolen the one-job keys (`tests.factories.taps.Insider`) and opens TLS while `listening`.
"""

import contextlib
import re
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exchange.runner.story import Story
from tests.factories.taps import Insider, Tap

STAGES = 3
_PIECE = 1 << 22
_AHEAD = 3  # of a node's own three ports: every node has ten to itself


@dataclass
class Wire:
    """The taps in front of some nodes, one of each kind for every link stage."""

    outer: list[Tap]
    inner: list[Insider]

    @contextlib.contextmanager
    def listening(self) -> Iterator["Heard"]:
        """Record what goes over the links of the runs meanwhile, sealed and opened."""
        heard = Heard()
        for tap in (*self.outer, *self.inner):
            tap.seen.clear()
            tap.is_recording = True
        for inner in self.inner:
            inner.opened.clear()
            inner.is_open = True
        try:
            yield heard
        finally:
            heard.sealed = b"\n".join(bytes(tap.seen) for tap in self.outer)
            heard.opened = b"\n".join(bytes(tap.opened) for tap in self.inner)
            self.ignore()

    def ignore(self) -> None:
        """Forward and keep nothing."""
        for tap in (*self.outer, *self.inner):
            tap.is_recording = False
        for inner in self.inner:
            inner.is_open = False

    def close(self) -> None:
        """Hang up."""
        for tap in (*self.outer, *self.inner):
            tap.close()


@dataclass
class Heard:
    """What was heard: as it went over the wire, and as the parties said it."""

    sealed: bytes = b""
    opened: bytes = b""

    def holds(self, patterns: Iterable[bytes]) -> set[bytes]:
        """Which of very many patterns of at least 8 bytes occur anywhere, sealed or opened."""
        by_beginning: dict[bytes, set[bytes]] = defaultdict(set)
        begins = np.zeros(1 << 24, np.bool_)  # three bytes decide for nearly every place
        for one in patterns:
            by_beginning[one[:8]].add(one)
            begins[int.from_bytes(one[:3], "little")] = True
        found: set[bytes] = set()
        for data in (self.sealed, self.opened):
            for start in range(0, len(data), _PIECE):
                piece = np.frombuffer(data[start : start + _PIECE + 2], np.uint8).astype(np.uint32)
                for place in np.flatnonzero(begins[piece[:-2] | piece[1:-1] << 8 | piece[2:] << 16]) + start:
                    met = by_beginning.get(data[place : place + 8], ())
                    found.update(one for one in met if data.startswith(one, int(place)))
        return found


def in_the_clear(data: bytes) -> Heard:
    """What the same kind of tap hears of somebody who sends this without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        tap = Tap(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", tap.port)) as sender:
            sender.sendall(data)
            sender.shutdown(socket.SHUT_WR)
            receiver, _ = server.accept()
            with receiver:
                while receiver.recv(1 << 16):
                    pass
        tap.close()
    return Heard(sealed=bytes(tap.seen))


@contextlib.contextmanager
def tapped(story: Story, codes: Sequence[str]) -> Iterator[Wire]:
    """Taps in front of these members' nodes; at the end the nodes are as before."""
    homes = {code: story.stack.member(code) / "node" for code in codes}
    before = {code: (home / "config.toml").read_text(encoding="utf-8") for code, home in homes.items()}
    wire = Wire([], [])
    try:
        for code, text in before.items():
            found = re.search(r"(?m)^base_port = (\d+)$", text)
            assert found is not None
            base = int(found[1])
            for port in range(base, base + STAGES):
                wire.inner.append(Insider(port, owner=homes[code], everybody=list(homes.values())))
                wire.outer.append(Tap(wire.inner[-1].port, at=port + _AHEAD))
            told = f'{found[0]}\nannounced = "127.0.0.1:{base + _AHEAD}"'
            (homes[code] / "config.toml").write_text(text.replace(found[0], told), encoding="utf-8")
        wire.ignore()
        _start_again(story, homes)
        yield wire
    finally:
        for code, text in before.items():
            (homes[code] / "config.toml").write_text(text, encoding="utf-8")
        _start_again(story, homes)
        wire.close()


def _start_again(story: Story, homes: dict[str, Path]) -> None:
    processes = [one for one in story.stack.supervisor.processes if one.name.removeprefix("node-") in homes]
    assert len(processes) == len(homes)
    for process in processes:
        process.stop()
    for process in processes:
        (homes[process.name.removeprefix("node-")] / "ready").unlink(missing_ok=True)
        process.start(log=story.stack.directory / "logs" / f"{process.name}.log")
    end = time.monotonic() + 60
    while not all(process.ready() for process in processes):
        assert time.monotonic() < end
        assert all(process.is_running() for process in processes)
        time.sleep(0.05)
