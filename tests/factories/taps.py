"""Somebody on the wire between the parties of one job: forwards every byte, and keeps a copy."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Tap:
    """One listening address in front of another."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.seen = bytearray()
        self._start(self._accept)

    def close(self) -> None:
        """Cut every connection and wait until nothing runs any more."""
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            self._ends.append(inner)
            try:
                outer = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # not up yet: the peer tries again
                inner.close()
                continue
            self._ends.append(outer)
            self._start(self._copy, inner, outer)
            self._start(self._copy, outer, inner)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.seen += data
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(ports: list[list[int]]) -> Iterator[tuple[list[list[Tap]], Callable[[int], dict[int, list[str]]]]]:
    """A tap before every port, and the addresses as one party sees them: its own as they are, its peers' tapped."""
    taps = [[Tap(port) for port in of_rank] for of_rank in ports]

    def addresses(rank: int) -> dict[int, list[str]]:
        return {
            peer: [f"127.0.0.1:{own if peer == rank else tap.port}" for own, tap in zip(of_rank, tapped, strict=True)]
            for peer, (of_rank, tapped) in enumerate(zip(ports, taps, strict=True))
        }

    try:
        yield taps, addresses
    finally:
        for tap in (tap for of_rank in taps for tap in of_rank):
            tap.close()
