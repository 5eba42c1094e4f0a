"""The links of one job, tried before its engine starts: every address of every peer, in both directions.

Each party listens at its own addresses and dials all of its peers'. A connection counts once the certificate it
shows is the one pinned for that rank. Both sides then say one line each, their greeting. A party that has reached
everybody says `ready` on each connection it has dialled; the check is over when everybody has said so, which means
that nobody still needs this party's listeners. The engine binds the same ports afterwards.

Where a peer offers a relay, it is tried whenever its own address does not answer; see docs/subsystems/relay.md.
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compute.engines import certificates, link
from compute.node import preflight, streams
from compute.node.preflight import Greeting
from compute.protocol.codes import Refused

SECONDS = 20.0  # the peers begin within a heartbeat of each other; below the lease
_ATTEMPT_SECONDS = 3.0
_PAUSE_SECONDS = 0.1
_MAX_LINE = 16 * 1024
_READY = b"ready\n"
_PROTOCOL = "hengshu-preflight"  # an engine that is early and dials these ports is told apart, and tries again

Addresses = Mapping[int, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Links:
    """Who is linked with whom.

    Args:
        addresses: of every party by rank, the own ones included; stages: how many of them the engine uses.
        other_ways: further addresses of peers, tried when the first do not answer (local ends of a relay).
        pinned: every party's certificate as PEM, by rank.
    """

    rank: int
    stages: int
    addresses: Addresses
    pinned: Mapping[int, str]
    certificate: Path
    key: Path
    other_ways: Addresses = field(default_factory=dict)

    @property
    def peers(self) -> list[int]:
        """Every rank but the own one."""
        return [rank for rank in sorted(self.addresses) if rank != self.rank]


class LinkCheck:
    """One check under way in a thread of its own; ask `is_finished`, then `outcome`."""

    def __init__(self, links: Links, greeting: Greeting, *, seconds: float = SECONDS) -> None:
        self._links = links
        self._greeting = greeting
        self._seconds = seconds
        self._greetings: dict[int, Greeting] = {}
        self._ways: dict[tuple[int, int], str] = {}
        self._ready: set[tuple[int, int]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link-check", daemon=True)
        self._error: BaseException | None = None
        self._thread.start()

    @property
    def percent(self) -> int:
        """How much of it is done."""
        wanted = 2 * len(self._links.peers) * self._links.stages
        return 100 * (len(self._ways) + len(self._ready)) // max(1, wanted)

    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._thread.is_alive()

    def outcome(self) -> tuple[dict[int, Greeting], dict[int, list[str]]]:
        """What the peers said, and the addresses at which they answered, by rank.

        Raises:
            Refused: LINK_FAILED when a peer was not reached, or did not reach us, in time.
        """
        self._thread.join()
        if self._error is not None:
            raise Refused("LINK_FAILED") from self._error
        ways = {
            rank: [self._ways.get((rank, stage), address) for stage, address in enumerate(self._links.addresses[rank])]
            for rank in self._links.peers
        }
        return self._greetings, ways

    def stop(self) -> None:
        """End it and wait; may be called twice, and after the end."""
        self._stopped.set()
        self._thread.join()

    # --- inside the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._check())
        except BaseException as error:  # noqa: BLE001  told by `outcome`, whatever it is
            self._error = error

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, __: None)  # strangers' handshakes are no news
        self._all_ready = asyncio.Event()
        async with contextlib.AsyncExitStack() as closing:
            server_tls = self._tls(ssl.PROTOCOL_TLS_SERVER, self._links.peers)
            for stage in range(self._links.stages):
                host, port = link.split_address(self._links.addresses[self._links.rank][stage])
                server = await asyncio.start_server(
                    functools.partial(self._answer, stage),
                    host,
                    port,
                    ssl=server_tls,
                    limit=_MAX_LINE,
                    ssl_handshake_timeout=_ATTEMPT_SECONDS,
                )
                closing.callback(server.close)
            closing.push_async_callback(self._hang_up)
            await asyncio.wait_for(self._until_stopped(self._all()), self._seconds)

    async def _hang_up(self) -> None:
        await streams.hang_up(self._open)

    async def _until_stopped(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        while not task.done():
            if self._stopped.is_set():
                task.cancel()
            await asyncio.wait({task}, timeout=_PAUSE_SECONDS)
        await task

    async def _all(self) -> None:
        wanted = [(rank, stage) for rank in self._links.peers for stage in range(self._links.stages)]
        writers = await asyncio.gather(*(self._dial(rank, stage) for rank, stage in wanted))
        for writer in writers:
            writer.write(_READY)
            await writer.drain()
        while self._ready < set(wanted):
            self._all_ready.clear()
            await self._all_ready.wait()

    async def _dial(self, rank: int, stage: int) -> asyncio.StreamWriter:
        """Reach one address of one peer, over one way or another."""
        ways = [self._links.addresses[rank][stage]]
        ways += [found[stage] for found in [self._links.other_ways.get(rank)] if found]
        tls = self._tls(ssl.PROTOCOL_TLS_CLIENT, [rank])
        while True:
            for way in ways:
                with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                    writer = await asyncio.wait_for(self._try(rank, stage, way, tls), _ATTEMPT_SECONDS)
                    self._ways[rank, stage] = way
                    return writer
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, rank: int, stage: int, way: str, tls: ssl.SSLContext) -> asyncio.StreamWriter:
        host, port = link.split_address(way)
        reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=_MAX_LINE)
        self._open.add(writer)
        try:
            self._check_rank(writer, rank)
            writer.write(_line(self._greeting))
            await writer.drain()
            self._heard(await _read(reader), rank)
        except BaseException:
            writer.close()
            raise
        return writer

    async def _answer(self, stage: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What a dialling peer gets."""
        self._open.add(writer)
        try:
            rank = self._rank_of(writer)
            if rank is None or writer.get_extra_info("ssl_object").selected_alpn_protocol() != _PROTOCOL:
                return
            self._heard(await asyncio.wait_for(_read(reader), _ATTEMPT_SECONDS), rank)
            writer.write(_line(self._greeting))
            await writer.drain()
            if await reader.readline() == _READY:
                self._ready.add((rank, stage))
                self._all_ready.set()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _heard(self, greeting: Greeting, rank: int) -> None:
        if greeting.rank != rank:
            raise ValueError("not a greeting of this rank")
        self._greetings[rank] = greeting

    def _check_rank(self, writer: asyncio.StreamWriter, rank: int) -> None:
        if self._rank_of(writer) != rank:
            raise OSError("another certificate than the pinned one")

    def _rank_of(self, writer: asyncio.StreamWriter) -> int | None:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        digest = hashlib.sha256(shown or b"").digest()
        for rank in self._links.peers:
            if certificates.fingerprint(self._links.pinned[rank]) == digest:
                return rank
        return None

    def _tls(self, side: int, ranks: Sequence[int]) -> ssl.SSLContext:
        trusted = [self._links.pinned[rank] for rank in ranks]
        tls = link.pinned_tls(side, self._links.certificate, self._links.key, trusted)
        tls.set_alpn_protocols([_PROTOCOL])
        return tls


def _line(greeting: Greeting) -> bytes:
    return json.dumps(greeting.describe()).encode() + b"\n"


async def _read(reader: asyncio.StreamReader) -> Greeting:
    try:
        return preflight.read_greeting(json.loads(await reader.readline()))
    except json.JSONDecodeError:
        raise ValueError("not a greeting") from None
