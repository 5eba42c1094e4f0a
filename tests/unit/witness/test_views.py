"""Two visitors who compare what they were shown."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import checkpoints, notes
from ledger.witness.client import Contradiction, WitnessClient, compare
from ledger.witness.server import Listener
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import ORIGIN, SmallLog, witness_of


@pytest.fixture
def logs(log: SmallLog) -> dict[str, list[str]]:
    return {ORIGIN: [log.vkey]}


def test_views_of_an_honest_log_agree(log: SmallLog, logs: dict[str, list[str]]) -> None:
    notes_seen = [log.note(size) for size in (9, 3, 9, 0, 17, 1)]

    assert compare(notes_seen, logs=logs, prove=lambda origin, old, new: log.proof(old, new)) == []


def test_one_size_two_roots(log: SmallLog, logs: dict[str, list[str]]) -> None:
    other = log.fork(4)

    (found,) = compare([log.note(9).encode(), log.note(3), other.note(9)], logs=logs)

    assert (found.origin, found.kind) == (ORIGIN, Contradiction.SPLIT_VIEW)
    assert {found.older, found.newer} == {log.note(9), other.note(9)}
    for note in (found.older, found.newer):
        checkpoints.verify(note.encode(), keys=logs[ORIGIN], origin=ORIGIN)


def test_sizes_that_never_meet_need_the_logs_proof(log: SmallLog, logs: dict[str, list[str]]) -> None:
    """Each visitor sees other sizes: only a consistency proof tells, and the log cannot make one for both."""
    other = log.fork(4)
    seen = [log.note(9), other.note(12)]

    assert compare(seen, logs=logs) == []
    for prover in (log, other):
        (found,) = compare(seen, logs=logs, prove=lambda origin, old, new, p=prover: p.proof(old, new))
        assert (found.kind, found.older, found.newer) == (Contradiction.INCONSISTENT, log.note(9), other.note(12))
    (silent,) = compare(seen, logs=logs, prove=lambda origin, old, new: None)
    assert silent.kind is Contradiction.INCONSISTENT


def test_what_the_log_did_not_sign_accuses_nobody(log: SmallLog, logs: dict[str, list[str]]) -> None:
    impostor = replace(log.fork(2), key=Ed25519PrivateKey.generate())
    stranger = SmallLog("other.example/log")
    seen = [log.note(9), impostor.note(9), stranger.note(9), stranger.fork(1).note(9), "", b"\xff", "prose\n\n"]

    assert compare(seen, logs=logs) == []


def test_every_fork_is_found(log: SmallLog, logs: dict[str, list[str]]) -> None:
    """Whatever sizes the two groups of visitors saw beyond the fork, in whatever order."""
    seeded = random.Random(20261121)
    for _ in range(40):
        at = seeded.randrange(1, 40)
        other = log.fork(at)
        seen = [log.note(seeded.randrange(at + 1, 60)) for _ in range(3)]
        seen += [other.note(seeded.randrange(at + 1, 60)) for _ in range(3)]
        seeded.shuffle(seen)
        prover = seeded.choice([log, other])
        assert compare(seen, logs=logs, prove=lambda origin, old, new, p=prover: p.proof(old, new))


def test_two_witnesses_shown_two_histories(
    log: SmallLog, logs: dict[str, list[str]], witness: Witness, listener: Listener, tmp_path: Path
) -> None:
    """Each witness alone sees a right log; side by side they convict it."""
    second = witness_of(log, tmp_path / "second", name="witness.example/w2")
    other = Listener(second)
    other.start()
    clients = [
        WitnessClient(f"http://127.0.0.1:{one.port}", vkeys=made.keys.vkeys)
        for one, made in ((listener, witness), (other, second))
    ]
    clients[0].cosign(log.note(9), known_size=0, prove=log.proof)
    clients[1].cosign(log.fork(4).note(9), known_size=0, prove=log.fork(4).proof)

    views = [client.checkpoint(ORIGIN) or "" for client in clients]

    (found,) = compare(views, logs=logs)
    assert found.kind is Contradiction.SPLIT_VIEW
    assert len(notes.parse(found.older).signatures) == 3
    other.stop()
    second.state.close()
