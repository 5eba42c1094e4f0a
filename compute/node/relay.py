"""A blind relay for parties that cannot reach each other: it joins two connections that name the same token.

    L <token>   a party parks a connection and waits for a peer
    D <token>   a peer asks for one that is parked; both are told `joined`, and bytes go both ways

What goes through is the parties' own TLS 1.3 with one-job pinned certificates: the relay can count and cut, and
nothing else. A token belongs to one listening address of one job (`relaying.token`); who does not know the job's
certificates cannot name it, and who guessed it would still meet a handshake that it cannot complete.

Bounded: connections in all and for each address and token, a time to say hello, to be parked, and to be silent.
Standard library and asyncio only.
"""

import argparse
import asyncio
import contextlib
import logging
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from compute.node import streams

log = logging.getLogger("hengshu.relay")

MAGIC = b"HSR1"
TOKEN_BYTES = 32
LISTEN, DIAL = b"L", b"D"
HELLO_BYTES = len(MAGIC) + 1 + TOKEN_BYTES
JOINED = b"\x01"
IDLE_SECONDS = 1_800.0  # an engine may read and sort for long before its next word


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one relay. Connections count each side; seconds are of silence, not of life."""

    connections: int = 1024
    per_address: int = 256  # parties behind one gateway share an address
    parked_per_token: int = 16
    hello_seconds: float = 5.0
    parked_seconds: float = 120.0
    dial_seconds: float = 10.0
    idle_seconds: float = IDLE_SECONDS


@dataclass(eq=False, slots=True)
class _Side:
    """One connection; `watch` sees it leave while it waits, `joined` is set when its partner's time is over."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    watch: asyncio.Task[bytes] | None = None
    is_taken: bool = False
    joined: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """One relay.

    Args:
        seen: is given every chunk that passes, for tests that look at what a relay can see.
    """

    def __init__(self, limits: Limits | None = None, *, seen: Callable[[bytes], None] | None = None) -> None:
        self.limits = limits or Limits()
        self.joined = 0
        self._seen = seen
        self._parked: defaultdict[bytes, deque[_Side]] = defaultdict(deque)
        self._asking: defaultdict[bytes, deque[_Side]] = defaultdict(deque)
        self._addresses: Counter[str] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen until the context ends; gives the port."""
        server = await asyncio.start_server(self._serve, host, port, limit=streams.CHUNK)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await streams.hang_up(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername", ("?",))[0])
        total = self._addresses.total()
        if total >= self.limits.connections or self._addresses[address] >= self.limits.per_address:
            await streams.hang_up([writer])
            return
        self._addresses[address] += 1
        self._open.add(writer)
        try:
            await self._greet(_Side(reader, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            self._open.discard(writer)
            await streams.hang_up([writer])

    async def _greet(self, side: _Side) -> None:
        hello = await asyncio.wait_for(side.reader.readexactly(HELLO_BYTES), self.limits.hello_seconds)
        kind, token = hello[len(MAGIC) : len(MAGIC) + 1], hello[len(MAGIC) + 1 :]
        if not hello.startswith(MAGIC) or kind not in (LISTEN, DIAL):
            return
        if kind == LISTEN:
            await self._wait(side, token, self._parked, self._asking, self.limits.parked_seconds)
        else:
            await self._wait(side, token, self._asking, self._parked, self.limits.dial_seconds)

    async def _wait(
        self,
        side: _Side,
        token: bytes,
        own: defaultdict[bytes, deque[_Side]],
        others: defaultdict[bytes, deque[_Side]],
        seconds: float,
    ) -> None:
        """Join with one who waits on the other side, or wait to be joined."""
        while others[token]:
            other = others[token].popleft()
            if other.watch is not None and not other.watch.done():
                other.is_taken = True
                other.watch.cancel()
                await self._join(side, other)
                return
        others.pop(token, None)
        if len(own[token]) >= self.limits.parked_per_token:
            return
        # Who waits says nothing: a byte, or the end, means that it is gone.
        side.watch = asyncio.ensure_future(side.reader.read(1))
        own[token].append(side)
        await asyncio.wait({side.watch}, timeout=seconds)
        if side.is_taken:  # the end of `_join` is ours
            await side.joined.wait()
        else:
            side.watch.cancel()
            with contextlib.suppress(ValueError):
                own[token].remove(side)
        if not own[token]:
            own.pop(token, None)

    async def _join(self, side: _Side, other: _Side) -> None:
        """Tell both, and carry bytes until one hangs up or one direction is silent for too long."""
        self.joined += 1
        try:
            for one in (side, other):
                one.writer.write(JOINED)
            near, far = (side.reader, side.writer), (other.reader, other.writer)
            await streams.join(near, far, idle_seconds=self.limits.idle_seconds, seen=self._seen)
        finally:
            other.joined.set()


def add(command: Callable[..., argparse.ArgumentParser], top: Any) -> None:
    """Add the command to the node's parser."""
    made = command(top, "relay", run, "join parties that cannot meet / 为无法直连的各方中继")
    made.add_argument("--host", default="127.0.0.1", help="where to listen / 监听地址")
    made.add_argument("--port", type=int, default=21090, help="port / 端口")
    made.add_argument(
        "--idle-seconds",
        type=float,
        default=IDLE_SECONDS,
        help="hang up after so much silence in one direction / 单方向静默多少秒后断开",
    )


def run(args: argparse.Namespace) -> None:
    """relay: a blind relay, until Ctrl-C; needs no node directory."""
    limits = Limits(idle_seconds=args.idle_seconds)

    async def serve() -> None:
        async with Relay(limits).serving(args.host, args.port) as found:
            log.warning("relaying at %s:%s", args.host, found)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
