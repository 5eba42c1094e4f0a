"""Somebody on the wire between the parties of one job: forwards every byte, and keeps a copy."""

import contextlib
import hashlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.engines import certificates, link

_PREFLIGHT = "hengshu-preflight"  # the protocol by which nodes try their links


class Tap:
    """One listening address in front of another."""

    def __init__(self, port: int, *, at: int = 0) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", at))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.is_recording = True
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
            self._join(inner)

    def _join(self, inner: socket.socket) -> None:
        try:
            outer = self._dial()
        except OSError:  # not up yet: the peer tries again
            inner.close()
            return
        self._start(self._copy, inner, outer)
        self._start(self._copy, outer, inner)

    def _dial(self) -> socket.socket:
        outer = socket.create_connection(("127.0.0.1", self._target))
        self._ends.append(outer)
        return outer

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.seen += data if self.is_recording else b""
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Identity:
    """The one-job certificate and key of one party, as they lie in its node's work directory while the job runs."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        """The certificate's text."""
        return self.certificate.read_text()


class Insider(Tap):
    """A tap that has stolen the one-job keys of all parties: it reads what TLS carries, and what TLS would hide.

    To each end it shows the certificate that this end has pinned for the other, so neither notices. This is what would
    be on the wire if TLS were off, and what every party's operating system sees anyway. While `is_open` is false it
    forwards like any other tap.

    Args:
        owner: the directory of the node in front of which it stands; everybody: of all nodes that may call.
    """

    def __init__(self, port: int, *, owner: Path, everybody: Sequence[Path], at: int = 0) -> None:
        self._owner = owner
        self._everybody = everybody
        self.is_open = False
        self.opened = bytearray()
        super().__init__(port, at=at)

    def _join(self, inner: socket.socket) -> None:
        if self.is_open:
            self._start(self._between, inner)
        else:
            super()._join(inner)

    def _between(self, inner: socket.socket) -> None:
        """Shake hands with both ends, each time as the other, and copy what they say."""
        near: socket.socket = inner
        far: socket.socket | None = None
        with contextlib.suppress(OSError, KeyError, ValueError):  # an end that gave up, or a job that is over
            inner.settimeout(10)
            (own,) = _identities(self._owner)
            known = {certificates.fingerprint(one.pem): one for home in self._everybody for one in _identities(home)}
            server = _tls(ssl.PROTOCOL_TLS_SERVER, own, [one.pem for one in known.values()])
            server.set_alpn_protocols([_PREFLIGHT])
            near = opened = server.wrap_socket(inner, server_side=True)
            self._ends.append(near)
            caller = known[hashlib.sha256(opened.getpeercert(binary_form=True) or b"").digest()]
            client = _tls(ssl.PROTOCOL_TLS_CLIENT, caller, [own.pem])
            if opened.selected_alpn_protocol():
                client.set_alpn_protocols([_PREFLIGHT])
            far = behind = client.wrap_socket(self._dial())
            self._ends.append(far)
            self._pump(opened, behind)
        for end in filter(None, (near, far)):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pump(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        """Both directions in one thread: a TLS connection must not be read and written by two at once."""
        waiting = {near: bytearray(), far: bytearray()}  # what is still to be sent to each
        ended: set[ssl.SSLSocket] = set()
        for end in waiting:
            end.setblocking(False)
        while not ended or any(waiting.values()):
            for source, target in ((near, far), (far, near)):
                with contextlib.suppress(ssl.SSLWantReadError):
                    while source not in ended and len(waiting[target]) < 1 << 20:
                        data = source.recv(1 << 16)
                        if not data:
                            ended.add(source)
                        self.opened += data
                        waiting[target] += data
                with contextlib.suppress(ssl.SSLWantWriteError):
                    while waiting[target]:
                        del waiting[target][: target.send(waiting[target])]
            select.select({near, far} - ended, [end for end, data in waiting.items() if data], [], 5)


def _tls(side: int, own: Identity, trusted: Sequence[str]) -> ssl.SSLContext:
    return link.pinned_tls(side, own.certificate, own.key, trusted)


def _identities(home: Path) -> list[Identity]:
    """What a node's work directory holds of the job that runs; nothing in between two jobs."""
    return [Identity(path, path.with_suffix(".key")) for path in (home / "work").glob("*/link.pem")]


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
