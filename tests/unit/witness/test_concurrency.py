"""Two requests at once, two processes at once, and a kill between the disk and the answer."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.proofs import cosignatures, notes
from ledger.witness import keys
from ledger.witness.client import WitnessClient
from ledger.witness.errors import WitnessUnavailable
from ledger.witness.rules import Answer
from ledger.witness.server import Listener
from ledger.witness.state import State
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import NOW, ORIGIN, SmallLog, witness_of

ROOT = Path(__file__).parents[3]


class SlowClock:
    """Asked for the time between the check and the write: waits there for the other request, a while."""

    def __init__(self) -> None:
        self._both = threading.Barrier(2)

    def __call__(self) -> int:
        try:
            self._both.wait(timeout=0.3)
        except threading.BrokenBarrierError:
            self._both.reset()
        return NOW


def ask_both(log: SmallLog, witnesses: tuple[Witness, Witness]) -> list[Answer]:
    """Two different successors of size 5, one of each history, at the same time."""
    answers: list[Answer] = []
    bodies = (log.body(5, 9), log.fork(5).body(5, 8))
    threads = [
        threading.Thread(target=lambda w=witness, b=body: answers.append(w.add_checkpoint(b)))
        for witness, body in zip(witnesses, bodies, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def race(log: SmallLog, directory: Path, *, processes: bool) -> list[int]:
    witness = witness_of(log, directory)
    assert witness.add_checkpoint(log.body(0, 5)).status == 200
    clock = SlowClock()
    # A second State is what a second process would have: another connection to the same file.
    states = (witness.state, State(witness.state.path) if processes else witness.state)
    first, second = (Witness(witness.keys, witness.logs, state, clock) for state in states)
    answers = ask_both(log, (first, second))
    for state in set(states):
        state.close()
    return sorted(answer.status for answer in answers)


@pytest.mark.parametrize("processes", [False, True], ids=["two threads", "two connections"])
def test_of_two_successors_one_is_cosigned(log: SmallLog, tmp_path: Path, processes: bool) -> None:
    assert race(log, tmp_path, processes=processes) == [200, 409]


@pytest.mark.parametrize("processes", [False, True], ids=["two threads", "two connections"])
def test_without_the_transaction_both_are_cosigned(
    log: SmallLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: bool
) -> None:
    """The sister of the test above: the transaction is what keeps the witness from signing two histories."""

    @contextmanager
    def unguarded(self: State) -> Iterator[None]:
        yield

    monkeypatch.setattr(State, "transaction", unguarded)
    # The table's own trigger would catch one of the two orders; here only the transaction is in question.
    witness = witness_of(log, tmp_path)
    witness.state._connection.execute("DROP TRIGGER logs_only_grow")
    monkeypatch.setattr("ledger.witness.state._SCHEMA", "")
    witness.state.close()

    assert race(log, tmp_path, processes=processes) == [200, 200]


@pytest.mark.parametrize(("size", "root"), [(4, None), (5, bytes(32))], ids=["smaller", "other root"])
def test_the_table_itself_refuses_to_go_back(log: SmallLog, witness: Witness, size: int, root: bytes | None) -> None:
    witness.add_checkpoint(log.body(0, 5))

    with pytest.raises(Exception, match="a log only grows"):
        witness.state._connection.execute("UPDATE logs SET size = ?, root = ?", (size, root or log.head(size).root))
    with pytest.raises(Exception, match="never forgotten"):
        witness.state._connection.execute("DELETE FROM logs")


_KILLED_BEFORE_ANSWERING = """
import os, signal, sys
from pathlib import Path
from typing import Any
from ledger.witness import keys
from ledger.witness.state import State
from ledger.witness.witness import Witness
home = Path(sys.argv[1])
state = State(home / "witness.sqlite3")
witness = Witness(keys.load(home / "key.json"), {sys.argv[2]: [sys.argv[3]]}, state, lambda: 1)
answer = witness.add_checkpoint(sys.stdin.buffer.read())
assert answer.status == 200
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_the_disk_and_the_answer(log: SmallLog, tmp_path: Path) -> None:
    made = keys.generate("witness.example/w1")
    keys.save(made, tmp_path / "key.json")
    command = [sys.executable, "-c", _KILLED_BEFORE_ANSWERING, str(tmp_path), ORIGIN, log.vkey]
    ended = subprocess.run(command, input=log.body(0, 5), cwd=ROOT, env={"PATH": os.environ["PATH"]}, check=False)
    assert ended.returncode == -signal.SIGKILL

    witness = Witness(
        keys.load(tmp_path / "key.json"), {ORIGIN: [log.vkey]}, State(tmp_path / "witness.sqlite3"), lambda: 2
    )

    again = witness.add_checkpoint(log.body(0, 5))
    assert (again.status, again.body) == (409, b"5\n")
    lines = witness.add_checkpoint(log.body(5, 5)).body.decode().splitlines()
    found = cosignatures.verify(notes.add_signatures(log.note(5), lines), keys=made.vkeys)
    assert {one.at for one in found} == {2}
    assert witness.add_checkpoint(log.fork(3).body(0, 7)).status == 409
    witness.state.close()


class FailingCommits:
    """A connection whose next commits fail, as on a full disk."""

    def __init__(self, real: sqlite3.Connection, failures: int) -> None:
        self._real, self._failures = real, failures

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement == "COMMIT" and self._failures:
            self._failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_what_could_not_be_written_is_not_cosigned(
    log: SmallLog, witness: Witness, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = WitnessClient(f"http://{listener.host}:{listener.port}", vkeys=witness.keys.vkeys)
    client.cosign(log.note(5), known_size=0, prove=log.proof)
    monkeypatch.setattr(witness.state, "_connection", FailingCommits(witness.state._connection, 1))

    with pytest.raises(WitnessUnavailable):
        client.cosign(log.note(9), known_size=5, prove=log.proof)

    assert witness.state.held(ORIGIN).size == 5
    assert client.cosign(log.note(9), known_size=5, prove=log.proof).lines


def test_the_store_is_written_through(witness: Witness) -> None:
    assert witness.state._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert witness.state._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert witness.state.path.stat().st_mode & 0o777 == 0o600
