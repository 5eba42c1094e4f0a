"""One task being worked on: the parts of a node that a run uses, and what is known of the run so far."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from compute.node import admission, linking
from compute.node.config import Config
from compute.node.engine import EngineLauncher
from compute.node.store import Store
from compute.protocol import stages
from compute.protocol.keyfiles import KeyFile

Document = dict[str, Any]


class Client(Protocol):
    """What a run needs of the exchange."""

    def call(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send one message; ExchangeUnavailable or ExchangeRefused."""


class FreshGrants(admission.Grants, Protocol):
    """Grants that can be asked for anew."""

    def forget(self) -> None:
        """Drop what was kept."""


class Stopped(Exception):
    """The run ends without a report: the exchange took the task back, or the node is stopping."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Node:
    """The parts a run works with; tests put fakes in their places.

    `skew_seconds` is how far the clock was ahead of the exchange's when it last said the time.
    """

    config: Config
    keys: KeyFile
    store: Store
    client: Client
    launcher: EngineLauncher
    grants: FreshGrants | None
    clock: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    is_stopping: Callable[[], bool] = lambda: False
    check_links: linking.CheckLinks = linking.check_links
    skew_seconds: float | None = None


@dataclass(slots=True)
class Run:
    """One task being worked on."""

    node: Node
    task: str
    computation: str
    fencing_token: int = 0
    lease_seconds: float = 30.0
    case: admission.Case | None = None
    started: datetime = field(default_factory=lambda: datetime.fromtimestamp(0, tz=UTC))
    offer: Document = field(default_factory=dict)
    stage: str = "admission"
    last_beat: float = float("-inf")
    deadline: float = float("inf")
    offers: list[Document] = field(default_factory=list)
    program: str | None = None
    events: list[Document] = field(default_factory=list)
    told: int = 0  # how many of the events the exchange has taken

    def enter(self, stage: str, percent: int = 0, *, sent_bytes: int = 0) -> None:
        """Note that the run has come to a stage, once for each; `stages` says what may be told of it."""
        if self.events and self.events[-1]["stage"] == stages.known(stage):
            return
        if len(self.events) < stages.MAX_EVENTS:
            self.events.append(
                stages.event(
                    sequence=len(self.events),
                    stage=stage,
                    percent=percent,
                    seconds=(self.node.clock() - self.started).total_seconds(),
                    sent_bytes=sent_bytes,
                )
            )

    @property
    def untold(self) -> list[Document]:
        """The events that the exchange has not taken yet."""
        return self.events[self.told :]

    @property
    def admitted(self) -> admission.Case:
        """The admitted case; only asked for after admission."""
        if self.case is None:
            raise RuntimeError("asked before admission")
        return self.case

    @property
    def work_dir(self) -> Path:
        """Private to this run: named by nothing that means anything outside."""
        return self.node.config.work / hashlib.sha256(self.task.encode()).hexdigest()[:24]
