"""Real witnesses for tests: each with a store, a key and a listener of its own, for our own log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger import actions as ledger
from ledger.models import Log, Witness
from ledger.witness import keys
from ledger.witness.server import Listener
from ledger.witness.state import State
from ledger.witness.witness import Witness as WitnessProgram
from tests.factories.ledger import EXCHANGE


@dataclass(frozen=True, slots=True)
class Running:
    """A witness that listens on loopback, and the row by which the exchange asks it."""

    program: WitnessProgram
    listener: Listener
    row: Witness


@contextmanager
def admitted(directory: Path, *, log: Log, name: str) -> Iterator[Running]:
    """A running witness of our log that the exchange asks."""
    directory.mkdir(parents=True, exist_ok=True)
    state = State(directory / "witness.sqlite3")
    program = WitnessProgram(keys.generate(name), {log.origin: [log.vkey]}, state, lambda: 1_795_000_000)
    listener = Listener(program)
    listener.start()
    url = f"http://{listener.host}:{listener.port}"
    try:
        row = ledger.admit_witness(name=name, vkey=program.keys.vkeys[0], url=url, issuer=EXCHANGE)
        yield Running(program, listener, row)
    finally:
        listener.stop()
        state.close()
