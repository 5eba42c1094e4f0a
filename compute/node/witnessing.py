"""The node as a witness: it cosigns checkpoints of the logs that its configuration pins.

Its own key, its own database, its own thread; nothing here opens a dataset, the node's database or its
keys. The node works on when the witness cannot: a taken port is a line in the journal and in `status`.
"""

import errno
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compute.node import config as configuration
from compute.node.config import Config
from compute.node.errors import ConfigInvalid
from compute.node.store import Store
from ledger.witness import config as witness_config
from ledger.witness import keys as witness_keys
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessError, WitnessUnavailable
from ledger.witness.server import Listener
from ledger.witness.state import State
from ledger.witness.witness import Witness

log = logging.getLogger("hengshu.node")

_PROBE_SECONDS = 2.0
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  whom to ask, not where to listen


def enable(config: Config, *, name: str, host: str, port: int, logs: Sequence[str] = ()) -> tuple[str, ...]:
    """Make the witness's keys and write its section; returns the vkeys to hand to the exchange.

    Args:
        logs: vkeys of further logs than the one pinned in `exchange`, such as a new year's shard.
    Raises:
        ConfigInvalid: there is a witness already, or a setting is wrong.
    """
    if config.witness is not None:
        raise ConfigInvalid(
            "This node is a witness already; edit [witness] in config.toml.",
            zh="本节点已是见证方；请修改 config.toml 的 [witness]。",
        )
    path = key_file(config.home)
    made = witness_keys.load(path) if path.exists() else witness_keys.generate(name)
    if made.name != name:
        raise ConfigInvalid(
            f"This node has a witness's key under the name {made.name}; use that name, or move the key away.",
            zh=f"本节点已有名为 {made.name} 的见证密钥；请使用该名称，或先移走密钥。",
        )
    configuration.add_table(config.home, "witness", {"name": name, "host": host, "port": port, "logs": list(logs)})
    if not path.exists():
        witness_keys.save(made, path)
    return made.vkeys


def vkeys(config: Config) -> tuple[str, ...]:
    """The witness's public keys; ConfigInvalid when the node is none."""
    if config.witness is None:
        raise ConfigInvalid(
            "This node is no witness; run: hengshu-node witness enable",
            zh="本节点不是见证方；请运行：hengshu-node witness enable",
        )
    return witness_keys.load(key_file(config.home)).vkeys


def logs_of(config: Config) -> Mapping[str, Sequence[str]]:
    """The vkeys for each origin: the exchange's pinned log, and the further ones of the section."""
    found = {log.origin: [window.key for window in log.keys] for log in config.trust.logs}
    for origin, keys in witness_config.by_origin(config.witness.logs if config.witness else ()).items():
        held = found.setdefault(origin, [])
        held += [key for key in keys if key not in held]
    return found


@contextmanager
def serving(config: Config, *, store: Store, clock: Callable[[], float] = time.time) -> Iterator[Listener | None]:
    """Answer logs while the block runs, if the node is configured as a witness; never fails the node."""
    listener, state = _start(config, store=store, clock=clock) if config.witness is not None else (None, None)
    try:
        yield listener
    finally:
        if listener is not None:
            listener.stop()
        if state is not None:
            state.close()


def status(config: Config) -> dict[str, Any] | None:
    """What `hengshu-node status` says: who answers at the address, and what was cosigned; None for no witness."""
    if config.witness is None:
        return None
    listening, reason = _probe(config)
    found: dict[str, Any] = {
        "name": config.witness.name,
        "address": f"{config.witness.host}:{config.witness.port}",
        "listening": listening,
        "reason": reason,
    }
    try:
        keys = witness_keys.load(key_file(config.home))
        state = State(config.home / witness_config.STATE_FILE)
        found["logs"] = Witness(keys, logs_of(config), state, lambda: 0).status()["logs"]
        state.close()
    except (WitnessError, OSError, sqlite3.Error) as error:
        found |= {"reason": _reason(error), "logs": []}
    return found


def evidence(config: Config) -> list[dict[str, Any]]:
    """Checkpoints signed by a log that do not go together, both notes of each; ConfigInvalid for no witness."""
    vkeys(config)
    state = State(config.home / witness_config.STATE_FILE)
    found = [conflict.document() for conflict in state.conflicts()]
    state.close()
    return found


def key_file(home: Path) -> Path:
    """Where the witness's own keys lie, beside the node's."""
    return home / witness_config.KEY_FILE


def _start(config: Config, *, store: Store, clock: Callable[[], float]) -> tuple[Listener | None, State | None]:
    assert config.witness is not None  # noqa: S101
    state = None
    try:
        keys = witness_keys.load(key_file(config.home))
        state = State(config.home / witness_config.STATE_FILE)
        witness = Witness(keys, logs_of(config), state, lambda: int(clock()))
        listener = Listener(witness, host=config.witness.host, port=config.witness.port)
    except (WitnessError, OSError, sqlite3.Error) as error:
        reason = _reason(error)
        log.warning("the witness does not listen: %s", reason)
        store.note("witness.not_listening", port=config.witness.port, reason=reason)
        return None, state
    listener.start()
    store.note("witness.listening", port=listener.port)
    return listener, state


def _probe(config: Config) -> tuple[bool, str]:
    """Whether our witness answers at its address, and why not."""
    assert config.witness is not None  # noqa: S101
    host = _ANY_HOST.get(config.witness.host, config.witness.host)
    address = f"[{host}]" if ":" in host else host
    try:
        keys = vkeys(config)
        client = WitnessClient(f"http://{address}:{config.witness.port}", vkeys=keys, timeout_seconds=_PROBE_SECONDS)
        if client.status().get("keys") == list(keys):
            return True, ""
    except WitnessUnavailable:
        return False, "PORT_TAKEN" if _is_taken(host, config.witness.port) else "NODE_NOT_RUNNING"
    except (WitnessError, OSError, ValueError) as error:
        return False, _reason(error)
    return False, "PORT_TAKEN"


def _is_taken(host: str, port: int) -> bool:
    """Whether anybody at all listens there."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _reason(error: Exception) -> str:
    """A stable word: no path and no address in it."""
    if isinstance(error, WitnessError):
        return error.code
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "PORT_TAKEN"
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, "ADDRESS_UNAVAILABLE")
    return "WITNESS_STATE_UNREADABLE"
