"""A small mesh between the parties of one job: mutual TLS 1.3, every peer pinned by exactly its certificate.

Every party listens at its own address; the higher rank connects to the lower. A connection counts only
once the certificate it shows is, byte for byte, the one that this job pinned for the expected rank; a
stranger is dropped and the mesh goes on waiting. Messages are frames of four length bytes and content,
at most MAX_FRAME_BYTES. Every wait ends with the run's deadline.
"""

import contextlib
import hashlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from compute.engines import certificates
from compute.engines.base import StageContext
from compute.engines.errors import LinkLost

MAX_FRAME_BYTES = 64 * 1024 * 1024  # far above a share vector of MAX_GROUPS groups and eight columns
CONNECT_SECONDS = 30.0  # a peer may still be starting its process
_ATTEMPT_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_KEEPALIVE_SECONDS = 5
_TAKEN = b"m"  # says that the connection was accepted into the mesh, not only by the kernel or another listener
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


_sent = 0


def sent_bytes() -> int:
    """How much this process has sent over meshes, before TLS; the libraries' own links are not counted."""
    return _sent


class Mesh:
    """Open connections to every other party, by rank; made by `connect`."""

    def __init__(self, peers: dict[int, ssl.SSLSocket], *, rank: int, deadline: float) -> None:
        self._peers = peers
        self._rank = rank
        self._deadline = deadline
        self._stop_watching = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def exchange(self, outgoing: Mapping[int, bytes]) -> dict[int, bytes]:
        """Send each named peer its message and receive one from each; all parties call it with matching ranks.

        Pairs go in one global order and the lower rank speaks first, so that full buffers cannot block two
        parties against each other.

        Raises:
            LinkLost: a peer is gone, silent until the deadline, or sends an oversized frame.
        """
        received: dict[int, bytes] = {}
        for peer in sorted(outgoing):
            if self._rank < peer:
                self._send(peer, outgoing[peer])
                received[peer] = self._receive(peer)
            else:
                received[peer] = self._receive(peer)
                self._send(peer, outgoing[peer])
        return received

    def broadcast(self, message: bytes) -> dict[int, bytes]:
        """Send all peers the same message and receive theirs."""
        return self.exchange(dict.fromkeys(self._peers, message))

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost` from a thread as soon as a peer hangs up, until `stop_watching`; asked again, it changes
        nothing."""
        if self._watcher is not None:
            return
        poller = select.poll()
        for peer in self._peers.values():
            poller.register(peer.fileno(), _GONE)

        def look() -> None:
            while not self._stop_watching.is_set():
                if poller.poll(200):
                    if not self._stop_watching.is_set():
                        on_lost()
                    return

        self._watcher = threading.Thread(target=look, daemon=True, name="link-watch")
        self._watcher.start()

    def stop_watching(self) -> None:
        """End the watch; a peer may hang up from now on."""
        self._stop_watching.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    def conclude(self) -> None:
        """Tell all that this party's part is there, and hear it of all: hanging up is no loss from here on."""
        self.stop_watching()
        self.broadcast(b"done")

    def close(self) -> None:
        """Hang up; may be called twice."""
        self.stop_watching()
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.close()
        self._peers = {}

    def _send(self, peer: int, message: bytes) -> None:
        if len(message) > MAX_FRAME_BYTES:
            raise LinkLost("A message is larger than the link allows; ask for fewer groups.")
        global _sent
        try:
            self._timed(peer).sendall(len(message).to_bytes(4, "big") + message)
        except OSError:
            raise _lost(peer) from None
        _sent += 4 + len(message)

    def _receive(self, peer: int) -> bytes:
        size = int.from_bytes(self._read(peer, 4), "big")
        if size > MAX_FRAME_BYTES:
            raise LinkLost(f"Party {peer} sent an oversized frame; the run is void.")
        return self._read(peer, size)

    def _read(self, peer: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                piece = self._timed(peer).recv(min(size - len(data), 1 << 16))
            except OSError:
                raise _lost(peer) from None
            if not piece:
                raise _lost(peer)
            data += piece
        return bytes(data)

    def _timed(self, peer: int) -> ssl.SSLSocket:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LinkLost(f"The deadline passed while waiting for party {peer}; submit again.", code="DEADLINE")
        connection = self._peers[peer]
        connection.settimeout(left)
        return connection


def connect(context: StageContext, *, stage: int = 0) -> Mesh:
    """Open the mesh of one link stage to all other parties of the job.

    Raises:
        LinkLost: PEER_LOST when a peer did not come in time, LINK_REFUSED when the one that answers at a
            peer's address shows another certificate than the pinned one.
    """
    pinned = {rank: path.read_text() for rank, path in context.certificate_paths.items()}
    fingerprints = {certificates.fingerprint(pem): rank for rank, pem in pinned.items() if rank != context.rank}
    until = min(context.deadline, time.monotonic() + CONNECT_SECONDS)
    higher = {rank for rank in fingerprints.values() if rank > context.rank}
    peers: dict[int, ssl.SSLSocket] = {}
    try:
        with _listen(context.addresses[context.rank][stage]) as listener:
            for rank in sorted(set(fingerprints.values()) - higher):
                client = _tls(ssl.PROTOCOL_TLS_CLIENT, context, [pinned[rank]])
                peers[rank] = _dial(client, context.addresses[rank][stage], rank, pinned[rank], until)
            server = _tls(ssl.PROTOCOL_TLS_SERVER, context, [pinned[rank] for rank in sorted(higher)])
            while higher - set(peers):
                rank, connection = _accept(server, listener, fingerprints, until)
                if rank in higher:  # a second one: its peer gave the first one up
                    _close(peers.pop(rank, None))
                    peers[rank] = connection
                else:
                    connection.close()
    except BaseException:
        for connection in peers.values():
            connection.close()
        raise
    return Mesh(peers, rank=context.rank, deadline=context.deadline)


def _tls(side: int, context: StageContext, trusted: Sequence[str]) -> ssl.SSLContext:
    return pinned_tls(side, context.certificate_paths[context.rank], context.key_path, trusted)


def pinned_tls(side: int, certificate: Path, key: Path, trusted: Sequence[str]) -> ssl.SSLContext:
    """TLS 1.3 that shows one certificate and trusts exactly the given ones; also the node's pre-flight uses it."""
    tls = ssl.SSLContext(side)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.check_hostname = False  # the certificate itself is pinned
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(str(certificate), str(key))
    for pem in trusted:
        tls.load_verify_locations(cadata=pem)
    if side == ssl.PROTOCOL_TLS_SERVER:
        tls.num_tickets = 0  # one connection each: nothing to resume
    return tls


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        raise LinkLost(f"Nothing can listen at {address}; free the port or change the node's base port.") from None


def _dial(tls: ssl.SSLContext, address: str, rank: int, pem: str, until: float) -> ssl.SSLSocket:
    host, port = split_address(address)
    while (left := until - time.monotonic()) > 0:
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection((host, port), timeout=min(left, _ATTEMPT_SECONDS))
            plain = connection = tls.wrap_socket(plain)
            if connection.recv(1) != _TAKEN:  # what answers is not the mesh: a pre-flight that is about to end
                raise ConnectionResetError
        except ssl.SSLCertVerificationError:
            _close(plain)
            raise LinkLost(
                f"What answers for party {rank} does not hold its certificate; check its address.", code="LINK_REFUSED"
            ) from None
        except OSError:  # not up yet, or dropped in the handshake
            _close(plain)
            time.sleep(_PAUSE_SECONDS)
            continue
        if _shown(connection) != certificates.fingerprint(pem):
            connection.close()
            raise LinkLost(f"Party {rank} shows another certificate than the pinned one.", code="LINK_REFUSED")
        _keep_alive(connection)
        return connection
    raise LinkLost(f"Party {rank} did not answer in time; check that its node runs and is reachable.")


def _accept(
    tls: ssl.SSLContext, listener: socket.socket, fingerprints: Mapping[bytes, int], until: float
) -> tuple[int, ssl.SSLSocket]:
    while (left := until - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            plain, _ = listener.accept()
        except OSError:
            break
        plain.settimeout(min(left, _ATTEMPT_SECONDS))
        try:
            connection = tls.wrap_socket(plain, server_side=True)
        except OSError:  # a stranger, or a peer that gave up: neither ends the run
            plain.close()
            continue
        rank = fingerprints.get(_shown(connection))
        if rank is None:
            connection.close()
            continue
        try:
            connection.sendall(_TAKEN)
        except OSError:
            connection.close()
            continue
        _keep_alive(connection)
        return rank, connection
    raise LinkLost("A party did not connect in time; check that every node runs and is reachable.")


def _shown(connection: ssl.SSLSocket) -> bytes:
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").digest()


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        connection.setsockopt(socket.IPPROTO_TCP, option, _KEEPALIVE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` or `[host]:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _close(connection: socket.socket | None) -> None:
    if connection is not None:
        connection.close()


def _lost(peer: int) -> LinkLost:
    return LinkLost(f"The connection to party {peer} was lost; check its node and submit again.")
