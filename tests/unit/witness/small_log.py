"""A small log in memory and a witness beside it, made with the project's own library."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import checkpoints, merkle, notes
from ledger.proofs.checkpoints import Checkpoint
from ledger.witness import keys, rules
from ledger.witness.state import State
from ledger.witness.witness import Witness

ORIGIN = "exchange.example/ledger/2026"
NOW = 1_795_000_000


@dataclass
class SmallLog:
    """Leaves 0, 1, 2, … under one key; `fork` gives another history under the same key."""

    origin: str = ORIGIN
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    salt: str = ""
    fork_at: int = 0

    @property
    def vkey(self) -> str:
        return notes.vkey(self.origin, self.key.public_key())

    def fork(self, at: int) -> "SmallLog":
        return SmallLog(self.origin, self.key, "forked", at)

    def leaves(self, size: int) -> list[bytes]:
        return [merkle.leaf_hash(f"{self.salt if n >= self.fork_at else ''}{n}".encode()) for n in range(size)]

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, merkle.root(self.leaves(size)))

    def note(self, size: int) -> str:
        return checkpoints.sign(self.head(size), key=self.key)

    def proof(self, old_size: int, size: int) -> list[bytes]:
        return merkle.consistency_proof(old_size, self.leaves(size)) if 0 < old_size < size else []

    def body(self, old_size: int, size: int) -> bytes:
        return rules.format_body(old_size=old_size, proof=self.proof(old_size, size), note=self.note(size))


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def witness_of(
    log: SmallLog, directory: Path, *, name: str = "witness.example/w1", clock: Clock | None = None
) -> Witness:
    made = keys.generate(name)
    return Witness(made, {log.origin: [log.vkey]}, State(directory / "witness.sqlite3"), clock or Clock())


def opened(log: SmallLog, directory: Path) -> Iterator[Witness]:
    found = witness_of(log, directory)
    yield found
    found.state.close()
