"""Parties that try their links, and a relay that keeps all it sees."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from compute.engines import certificates
from compute.node.linkcheck import LinkCheck, Links
from compute.node.preflight import Greeting
from compute.node.relay import Limits, Relay
from compute.node.relaying import Gateway
from compute.protocol.codes import Refused
from tests.factories.engines import free_ports

DIGEST = "ab" * 32


def greeting(rank: int, **changes: Any) -> Greeting:
    """What a party says that fits its peers."""
    columns = {"district": "category", "base": "number"}
    return replace(Greeting(DIGEST, rank, 1_000_000, columns, 64, "c" * 64), **changes)


@dataclass
class Parties:
    """Some parties of one job on this machine."""

    root: Path
    count: int = 2
    stages: int = 1
    ports: list[list[int]] = field(default_factory=list)
    identities: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.ports = [free_ports(3) for _ in range(self.count)]
        self.identities = [certificates.make(now=now, until=now + timedelta(hours=1)) for _ in range(self.count)]
        for rank, (pem, key) in enumerate(self.identities):
            (self.root / f"{rank}.pem").write_text(pem)
            (self.root / f"{rank}.key").write_text(key)

    def addresses(self, rank: int) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports[rank]]

    def links(self, rank: int, **changes: Any) -> Links:
        made = Links(
            rank=rank,
            stages=self.stages,
            addresses={peer: self.addresses(peer) for peer in range(self.count)},
            pinned={peer: pem for peer, (pem, _) in enumerate(self.identities)},
            certificate=self.root / f"{rank}.pem",
            key=self.root / f"{rank}.key",
        )
        return replace(made, **changes)

    def gateway(self, rank: int, relays: Mapping[int, str]) -> Gateway:
        """This party's ends: parked where its own relay is, and a way to each peer that has one."""
        return Gateway(
            job_digest=DIGEST,
            own=self.addresses(rank),
            certificate=self.identities[rank][0],
            own_relay=relays.get(rank),
            peers={peer: (place, self.identities[peer][0]) for peer, place in relays.items() if peer != rank},
            stages=self.stages,
        )


def outcome_of(check: LinkCheck) -> Any:
    """What the peers said and where, or the code."""
    try:
        return check.outcome()
    except Refused as refused:
        return refused.code


class RunningRelay:
    """A relay in a thread of its own; `seen` is every chunk that passed.

    Args:
        cut_after: bytes after which it dies.
    """

    def __init__(self, limits: Limits | None = None, *, port: int = 0, cut_after: int | None = None) -> None:
        self.chunks: list[bytes] = []
        self.cut_after = cut_after
        self.relay = Relay(limits, seen=self._see)
        self._port = port
        self._up = threading.Event()
        self._loop: Any = None
        self._end: Any = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._up.wait(10)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def seen(self) -> bytes:
        return b"".join(self.chunks)

    def _see(self, data: bytes) -> None:
        self.chunks.append(data)
        if self.cut_after is not None and sum(map(len, self.chunks)) >= self.cut_after:
            self._end.set()
            raise ConnectionAbortedError

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda _, __: None)
        async with self.relay.serving("127.0.0.1", self._port) as self._port:
            self._up.set()
            await self._end.wait()

    def stop(self) -> None:
        """Cut every connection at once, as a relay that dies does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)


def together(checks: list[Callable[[], LinkCheck]]) -> list[Any]:
    """Start all checks, wait for all; each one's outcome or code."""
    started = [make() for make in checks]
    return [outcome_of(check) for check in started]
