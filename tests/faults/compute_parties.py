"""The nodes of a case: real daemons in threads, hooked at launcher and wire; or processes that are to be killed."""

import random
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from compute.node import config as configuration
from compute.node import launching
from compute.node.client import ExchangeClient
from compute.node.daemon import Daemon
from compute.node.engine import EngineJob
from compute.node.linkcheck import LinkCheck, Links
from compute.node.preflight import Greeting
from compute.node.runs import Node
from compute.node.store import Store

LINK_SECONDS = 6.0


class Hooked(launching.WorkerLauncher):
    """The real launcher; tells the scenario of every engine it starts."""

    def __init__(self) -> None:
        self.on_start: Callable[[launching.WorkerRun], None] = lambda run: None
        self.started: list[launching.WorkerRun] = []

    def start(self, job: EngineJob) -> launching.WorkerRun:
        run = super().start(job)
        self.started.append(run)
        self.on_start(run)
        return run


class Wire(ExchangeClient):
    """The real client; `answered` may change what a dishonest exchange would have said, `called` may hold a call up."""

    called: Callable[[str], None] = staticmethod(lambda verb: None)
    answered: Callable[[str, dict[str, Any]], dict[str, Any]] = staticmethod(lambda verb, answer: answer)

    def call(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.called(verb)
        return self.answered(verb, super().call(verb, body))


@dataclass
class Party:
    """One organisation's node and what is known of its rows."""

    name: str
    config: configuration.Config
    store: Store
    rows: list[dict[str, str]] = field(default_factory=list)
    skew: timedelta = timedelta()
    launcher: Hooked = field(default_factory=Hooked)
    is_walled: bool = False  # no peer is reached at its own address
    wire: Wire = None  # type: ignore[assignment]  # from start on
    daemon: Daemon | None = None
    thread: threading.Thread | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew

    def start(self) -> None:
        """Bring the node up in this process."""
        config = configuration.load(self.config.home)
        keys = config.load_keys()
        self.wire = Wire(config, keys, clock=self.now)
        self.store = Store(config.database, clock=self.now)
        node = Node(
            config=config,
            keys=keys,
            store=self.store,
            client=self.wire,
            launcher=self.launcher,
            grants=None,
            clock=self.now,
            check_links=self._check_links,
        )
        self.daemon = Daemon(node)
        self.thread = threading.Thread(target=self.daemon.run, name=self.name, daemon=True)
        self.thread.start()

    def _check_links(self, links: Links, greeting: Greeting) -> LinkCheck:
        if self.is_walled:
            dead = {rank: ["127.0.0.1:1"] * 3 for rank in links.peers}
            links = replace(links, addresses={**links.addresses, **dead})
        return LinkCheck(links, greeting, seconds=LINK_SECONDS)

    def stop(self) -> None:
        """A clean stop; may be called twice."""
        if self.daemon is not None and self.thread is not None:
            self.daemon.stop()
            self.thread.join(20)
            self.daemon = None

    def sql(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """A question to the node's own file, past its code."""
        with sqlite3.connect(f"file:{self.config.database}?mode=ro", uri=True, timeout=10) as connection:
            found = connection.execute(question, values).fetchall()
        connection.close()
        return found

    def state_of(self, urn: str) -> str:
        """What became of a job here; empty when it never got past admission."""
        found = self.sql("SELECT state FROM jobs WHERE computation = ?", urn)
        return str(found[0][0]) if found else ""


def armed_node(party: Party, point: str) -> subprocess.Popen[bytes]:
    """A party's node as a process of its own that is killed when it comes to a named moment."""
    command = [sys.executable, "-m", "tests.faults.armed_node", str(party.config.home), point]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def three_ports() -> int:
    """The first of three free ports in a row."""
    rng = random.SystemRandom()
    while True:
        first = rng.randrange(20_000, 32_000)
        try:
            with ExitStack() as held:
                for port in range(first, first + 3):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
