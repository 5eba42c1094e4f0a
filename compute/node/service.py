"""Starts the daemon of one node directory: signals, logging, one instance only, and the `ready` file."""

import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from compute.node import launching, onchain, witnessing
from compute.node.client import ExchangeClient
from compute.node.config import Config
from compute.node.daemon import Daemon
from compute.node.errors import NodeError
from compute.node.runs import Node
from compute.node.store import Store

READY_FILE = "ready"


def run(config: Config, *, verbose: bool = False) -> None:
    """Work until SIGTERM or SIGINT; `ready` exists from the exchange's first answer until the end."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    with _only_one(config):
        daemon = Daemon(build(config))
        ready = config.home / READY_FILE

        def stop(number: int, frame: FrameType | None) -> None:
            # The handler runs in the main thread, which may hold a lock: the event alone is safe here.
            threading.Thread(target=daemon.stop, daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        try:
            with witnessing.serving(config, store=daemon.node.store):
                daemon.run(on_ready=lambda: _write_pid(ready))
        finally:
            ready.unlink(missing_ok=True)


def build(config: Config) -> Node:
    """The parts of a node as its configuration says."""
    keys = config.load_keys()
    return Node(
        config=config,
        keys=keys,
        store=Store(config.database, clock=_now),
        client=ExchangeClient(config, keys, clock=_now),
        launcher=launching.WorkerLauncher(),
        grants=onchain.reader_for(config),
        clock=_now,
    )


@contextmanager
def _only_one(config: Config) -> Iterator[None]:
    """Hold the node's lock file: two daemons on one directory would each think the other's run their own."""
    descriptor = os.open(config.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NodeError(
                f"A node is running in {config.home} already.", zh=f"{config.home} 中已有节点在运行。"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _write_pid(path: Path) -> None:
    path.write_text(f"{os.getpid()}\n")


def _now() -> datetime:
    return datetime.now(UTC)
