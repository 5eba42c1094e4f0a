"""A node's ends of a relay, for the length of one job: ports of this machine that lead to peers, and parked lines.

    peer's engine -> its own port 127.0.0.1:p  ->  relay  ->  a line that we parked  ->  our engine's port

Engines see plain addresses and speak their own TLS through; nothing of the job is decrypted on the way.
"""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Mapping, Sequence

from compute.engines import certificates, link
from compute.node import relay, streams

_LINES = 4  # parked for each own address: two peers, and one try again of each
_PAUSE_SECONDS = 0.2


def token(*, job_digest: str, certificate: str, stage: int) -> bytes:
    """The name under which one address of one party of one job is met at a relay.

    Only who was shown the party's one-job certificate can work it out: the parties and the exchange.
    """
    parts = [b"hengshu/relay/v1", bytes.fromhex(job_digest), certificates.fingerprint(certificate), bytes([stage])]
    return hashlib.sha256(b"\x00".join(parts)).digest()


class Gateway:
    """The ends of one job; `addresses` holds the local ports that lead to each peer with a relay.

    Args:
        own: this party's addresses, parked at `own_relay` where that is not None.
        peers: rank to (relay, certificate) of the peers that offer one.
    """

    def __init__(
        self,
        *,
        job_digest: str,
        own: Sequence[str],
        certificate: str,
        own_relay: str | None,
        peers: Mapping[int, tuple[str, str]],
        stages: int,
    ) -> None:
        self.addresses: dict[int, list[str]] = {}
        self._own = list(own[:stages])
        self._own_relay = own_relay
        self._tokens = [token(job_digest=job_digest, certificate=certificate, stage=stage) for stage in range(stages)]
        self._peers = {
            rank: (place, [token(job_digest=job_digest, certificate=pem, stage=stage) for stage in range(stages)])
            for rank, (place, pem) in peers.items()
        }
        self._open: set[asyncio.StreamWriter] = set()
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        if own_relay or peers:
            self._thread = threading.Thread(target=self._run, name="relay-gateway", daemon=True)
            self._thread.start()
            self._up.wait()

    def stop(self) -> None:
        """Hang up everything; may be called twice."""
        if self._thread is None or self._loop is None or self._task is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, __: None)
        self._task = asyncio.current_task()
        async with contextlib.AsyncExitStack() as closing:
            try:
                for rank, (place, tokens) in self._peers.items():
                    self.addresses[rank] = [await self._lead(place, name, closing) for name in tokens]
            finally:
                self._up.set()
            lines = [
                self._park(self._own_relay, name, address)
                for name, address in zip(self._tokens, self._own, strict=True)
                for _ in range(_LINES)
                if self._own_relay
            ]
            try:
                await asyncio.gather(*lines, asyncio.Event().wait())
            finally:
                await streams.hang_up(self._open)

    async def _lead(self, place: str, name: bytes, closing: contextlib.AsyncExitStack) -> str:
        """A local port; each connection to it becomes a call for `name` at the relay."""

        async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(writer)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                far = await self._hello(place, relay.DIAL, name)
                await streams.join((reader, writer), far)
                await self._hang_up(far[1])
            await self._hang_up(writer)

        server = await asyncio.start_server(call, "127.0.0.1", 0, limit=streams.CHUNK)
        closing.callback(server.close)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _park(self, place: str, name: bytes, address: str) -> None:
        """Keep one line waiting at the relay; when somebody calls, lead it to our engine and wait again."""
        host, port = link.split_address(address)
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                far = await self._hello(place, relay.LISTEN, name)
                with contextlib.suppress(OSError):
                    near = await asyncio.open_connection(host, port, limit=streams.CHUNK)
                    self._open.add(near[1])
                    await streams.join(near, far)
                    await self._hang_up(near[1])
                await self._hang_up(far[1])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _hello(self, place: str, kind: bytes, name: bytes) -> streams.Ends:
        """A connection to the relay that has been joined with a peer's."""
        host, port = link.split_address(place)
        reader, writer = await asyncio.open_connection(host, port, limit=streams.CHUNK)
        self._open.add(writer)
        try:
            writer.write(relay.MAGIC + kind + name)
            await reader.readexactly(len(relay.JOINED))
        except BaseException:
            await self._hang_up(writer)
            raise
        return reader, writer

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        await streams.hang_up([writer])
