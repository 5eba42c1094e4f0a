"""Every case of add-checkpoint that the specification names, and what a signed checkpoint proves on the side."""

import base64
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.proofs import checkpoints, cosignatures, notes
from ledger.proofs.checkpoints import Checkpoint
from ledger.witness import rules
from ledger.witness.rules import Kind
from ledger.witness.state import MAX_UNPROVEN
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import NOW, ORIGIN, Clock, SmallLog, witness_of

HELD = 5  # what the witness has cosigned before each case


def line(text: str, body: bytes) -> bytes:
    """The body with another first line."""
    return text.encode() + b"\n" + body.split(b"\n", 1)[1]


def signed(log: SmallLog, size: int, root: bytes) -> str:
    return checkpoints.sign(Checkpoint(log.origin, size, root), key=log.key)


def other_key(log: SmallLog) -> bytes:
    note = replace(log, key=Ed25519PrivateKey.generate()).note(9)
    return rules.format_body(old_size=HELD, proof=log.proof(HELD, 9), note=note)


def broken_signature(log: SmallLog) -> bytes:
    text, mark, encoded = log.note(9).rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(encoded))
    raw[-1] ^= 1
    return rules.format_body(
        old_size=HELD, proof=log.proof(HELD, 9), note=f"{text}{mark}{base64.b64encode(raw).decode()}\n"
    )


def right_and_broken(log: SmallLog) -> bytes:
    broken = broken_signature(log).decode().rstrip("\n").rpartition("\n")[2]
    return log.body(HELD, 9) + f"{broken}\n".encode()


def wrong_proof(log: SmallLog) -> bytes:
    proof = log.proof(HELD, 9)
    return rules.format_body(old_size=HELD, proof=[bytes(32), *proof[1:]], note=log.note(9))


def proof_missing(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[], note=log.note(9))


def proof_not_needed(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[bytes(32)], note=log.note(HELD))


def forked(log: SmallLog) -> bytes:
    return log.fork(3).body(HELD, 9)


def same_size_other_root(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[], note=log.fork(3).note(HELD))


def too_many_lines(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[bytes(32)] * 64, note=log.note(9))


def most_lines(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[bytes(32)] * 63, note=log.note(9))


def not_a_checkpoint(log: SmallLog) -> bytes:
    return rules.format_body(old_size=HELD, proof=[], note=notes.sign(f"{ORIGIN}\nnine\n", name=ORIGIN, key=log.key))


def replaced(old: bytes, new: bytes) -> Callable[[SmallLog], bytes]:
    def change(log: SmallLog) -> bytes:
        body = log.body(HELD, 9)
        assert old in body
        return body.replace(old, new, 1)

    return change


CASES: list[tuple[str, Callable[[SmallLog], bytes], int]] = [
    ("the next checkpoint", lambda log: log.body(HELD, 9), 200),
    ("the same checkpoint again", lambda log: log.body(HELD, HELD), 200),
    ("signed by another key", other_key, 403),
    ("a known key's signature is wrong", broken_signature, 403),
    ("right, and wrong by the same key", right_and_broken, 403),
    ("unknown origin", lambda log: SmallLog("other.example/log").body(0, 9), 404),
    ("known key, other origin", lambda log: SmallLog("other.example/log", log.key).body(0, 9), 404),
    ("old size smaller than the one held", lambda log: log.body(3, 9), 409),
    ("old size larger than the one held", lambda log: log.body(7, 9), 409),
    ("old size 0 though something was cosigned", lambda log: log.body(0, 9), 409),
    ("a smaller checkpoint", lambda log: log.body(3, 3), 409),
    ("old size larger than the checkpoint's", lambda log: line(f"old {HELD}", log.body(0, 3)), 400),
    ("a wrong hash in the proof", wrong_proof, 422),
    ("no proof", proof_missing, 422),
    ("a proof for the same size", proof_not_needed, 422),
    ("another history", forked, 422),
    ("same size, other root", same_size_other_root, 422),
    ("63 proof lines", most_lines, 422),
    ("64 proof lines", too_many_lines, 400),
    ("nothing", lambda log: b"", 400),
    ("no empty line", lambda log: b"old 5\n", 400),
    ("no old size", lambda log: log.body(HELD, 9).split(b"\n", 1)[1], 400),
    ("a leading zero", lambda log: line("old 05", log.body(HELD, 9)), 400),
    ("a plus sign", lambda log: line("old +5", log.body(HELD, 9)), 400),
    ("two spaces", lambda log: line("old  5", log.body(HELD, 9)), 400),
    ("a space behind", lambda log: line("old 5 ", log.body(HELD, 9)), 400),
    ("a negative size", lambda log: line("old -5", log.body(HELD, 9)), 400),
    ("Arabic-Indic digits", lambda log: line("old ٥", log.body(HELD, 9)), 400),
    ("an old size beyond 2^63", lambda log: line(f"old {2**63}", log.body(HELD, 9)), 400),
    ("a carriage return", lambda log: line("old 5\r", log.body(HELD, 9)), 400),
    ("a proof line with a space", replaced(b"=\n", b"= \n"), 400),
    ("a proof line in another alphabet", lambda log: wrong_proof(log).replace(b"AAAA", b"--__", 1), 400),
    ("a proof line of 31 bytes", lambda log: wrong_proof(log).replace(b"A" * 43 + b"=", b"A" * 42 + b"==", 1), 400),
    ("a proof line with stray bits", lambda log: wrong_proof(log).replace(b"AAA=", b"AAB=", 1), 400),
    ("a note, not a checkpoint", not_a_checkpoint, 400),
    ("an unsigned checkpoint", lambda log: log.body(HELD, 9).rpartition(b"\n\n")[0] + b"\n\n", 400),
    ("without the last newline", lambda log: log.body(HELD, 9)[:-1], 400),
    ("not UTF-8", lambda log: log.body(HELD, 9) + b"\xff\n", 400),
    ("larger than the bound", lambda log: log.body(HELD, 9) + b"x" * rules.MAX_BODY_BYTES, 400),
]


@pytest.mark.parametrize(("change", "status"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_add_checkpoint(log: SmallLog, witness: Witness, change: Callable[[SmallLog], bytes], status: int) -> None:
    assert witness.add_checkpoint(log.body(0, HELD)).status == 200

    answer = witness.add_checkpoint(change(log))

    assert answer.status == status
    if status == 409:
        assert (answer.content_type, answer.body) == ("text/x.tlog.size", b"5\n")
    expected = 9 if change(log) == log.body(HELD, 9) else HELD
    held = witness.state.held(ORIGIN)
    assert (held.size, held.root) == (expected, log.head(expected).root)


def test_cosignatures_hold_for_every_key_of_the_witness(log: SmallLog, witness: Witness) -> None:
    answer = witness.add_checkpoint(log.body(0, 9))

    found = cosignatures.verify(
        notes.add_signatures(log.note(9), answer.body.decode().splitlines()), keys=witness.keys.vkeys
    )
    assert [(one.name, one.at) for one in found] == [("witness.example/w1", NOW)] * 2
    assert answer.body.endswith(b"\n")


def test_unknown_signatures_are_ignored_and_not_served(log: SmallLog, witness: Witness) -> None:
    stranger = Ed25519PrivateKey.generate()
    note = log.note(9) + notes.signature_line(checkpoints.format_text(log.head(9)), name=ORIGIN, key=stranger) + "\n"

    assert witness.add_checkpoint(rules.format_body(old_size=0, proof=[], note=note)).status == 200

    kept = notes.parse(witness.checkpoint(ORIGIN) or "")
    assert len(kept.signatures) == 3  # the log's and our two
    assert notes.key_id(ORIGIN, stranger.public_key()) not in {one.key_id for one in kept.signatures}


def test_an_empty_log_may_come_first(log: SmallLog, witness: Witness) -> None:
    assert witness.add_checkpoint(log.body(0, 0)).status == 200
    assert witness.checkpoint(ORIGIN) is not None
    assert witness.add_checkpoint(log.body(0, 0)).status == 200
    assert witness.add_checkpoint(log.body(0, 7)).status == 200


def test_an_empty_log_has_one_root(log: SmallLog, witness: Witness) -> None:
    body = rules.format_body(old_size=0, proof=[], note=signed(log, 0, bytes(32)))

    assert witness.add_checkpoint(body).status == 422
    assert [one.kind for one in witness.state.conflicts()] == [Kind.EMPTY_ROOT]


def test_nothing_is_proved_from_size_zero(log: SmallLog, witness: Witness) -> None:
    body = rules.format_body(old_size=0, proof=[bytes(32)], note=log.note(9))

    assert witness.add_checkpoint(body).status == 422
    assert witness.checkpoint(ORIGIN) is None


def test_several_keys_of_one_log(log: SmallLog, tmp_path: Path) -> None:
    """A rotated key: either may sign, and both may."""
    newer = replace(log, key=Ed25519PrivateKey.generate())
    witness = witness_of(log, tmp_path)
    witness.logs[ORIGIN].append(newer.vkey)  # type: ignore[union-attr]

    assert witness.add_checkpoint(log.body(0, 5)).status == 200
    assert witness.add_checkpoint(newer.body(5, 7)).status == 200
    both = checkpoints.sign(log.head(9), key=log.key, extra_keys=[newer.key])
    body = rules.format_body(old_size=7, proof=log.proof(7, 9), note=both)
    assert witness.add_checkpoint(body).status == 200
    assert len(notes.parse(witness.checkpoint(ORIGIN) or "").signatures) == 4
    witness.state.close()


def test_the_stated_time_never_goes_back(log: SmallLog, tmp_path: Path) -> None:
    clock = Clock()
    witness = witness_of(log, tmp_path, clock=clock)
    assert witness.add_checkpoint(log.body(0, 5)).status == 200

    clock.now = NOW - 3600
    answer = witness.add_checkpoint(log.body(5, 9))

    found = cosignatures.verify(
        notes.add_signatures(log.note(9), answer.body.decode().splitlines()), keys=witness.keys.vkeys
    )
    assert {one.at for one in found} == {NOW}
    clock.now = NOW + 1
    assert witness.add_checkpoint(log.body(9, 9)).status == 200
    assert witness.state.held(ORIGIN).at == NOW + 1
    witness.state.close()


@pytest.mark.parametrize("old_size", [0, 3, HELD], ids=["from 0", "from an old size", "from the held size"])
def test_a_split_view_is_kept_with_both_notes(log: SmallLog, witness: Witness, old_size: int) -> None:
    witness.add_checkpoint(log.body(0, HELD))
    other = log.fork(3)

    for _ in range(2):
        answer = witness.add_checkpoint(rules.format_body(old_size=old_size, proof=[], note=other.note(HELD)))

    assert answer.status in (409, 422)
    (found,) = witness.state.conflicts(ORIGIN)
    assert found.kind is Kind.SPLIT_VIEW
    assert found.seen_at == NOW
    for note in (found.held_note, found.shown_note):
        checkpoints.verify(note.encode(), keys=[log.vkey], origin=ORIGIN)
    assert checkpoints.parse(found.held_note).root != checkpoints.parse(found.shown_note).root
    assert witness.status()["logs"][0]["contradictions"] == 1


def test_an_unproven_successor_is_a_suspicion_until_the_proof_comes(log: SmallLog, witness: Witness) -> None:
    witness.add_checkpoint(log.body(0, HELD))
    witness.add_checkpoint(wrong_proof(log))
    witness.add_checkpoint(forked(log))
    assert [one.kind for one in witness.state.conflicts()] == [Kind.UNPROVEN, Kind.UNPROVEN]

    assert witness.add_checkpoint(log.body(HELD, 9)).status == 200

    (left,) = witness.state.conflicts()
    assert left.shown_root == log.fork(3).head(9).root
    status = witness.status()["logs"][0]
    assert (status["contradictions"], status["unproven"]) == (0, 1)


def test_a_stranger_cannot_fill_the_disk_nor_accuse_a_log(log: SmallLog, witness: Witness) -> None:
    witness.add_checkpoint(log.body(0, HELD))
    witness.add_checkpoint(other_key(log))
    assert witness.state.conflicts() == []

    for size in range(6, 6 + MAX_UNPROVEN + 5):
        witness.add_checkpoint(rules.format_body(old_size=HELD, proof=[bytes(32)], note=log.note(size)))

    assert len(witness.state.conflicts()) == MAX_UNPROVEN
    witness.add_checkpoint(same_size_other_root(log))
    assert witness.status()["logs"][0]["contradictions"] == 1  # suspicions never crowd out a proof


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70), st.booleans()), min_size=1, max_size=12))
def test_random_growth(log: SmallLog, tmp_path: Path, steps: list[tuple[int, int, bool]]) -> None:
    """Whatever is asked in whatever order: only right successors are cosigned, and the tree never shrinks."""
    witness = witness_of(log, Path(tempfile.mkdtemp(dir=tmp_path)))
    other = log.fork(0)
    held = witness.state.held(ORIGIN)
    for old_size, size, honest in steps:
        answer = witness.add_checkpoint((log if honest else other).body(old_size, size))
        if old_size > size:
            assert answer.status == 400
        elif old_size != held.size:
            assert (answer.status, answer.body) == (409, f"{held.size}\n".encode())
        elif honest or size == 0:
            assert answer.status == 200
            held = witness.state.held(ORIGIN)
            assert (held.size, held.root) == (size, log.head(size).root)
        elif held.size > 0:
            assert answer.status == 422
        else:
            # The first history that a witness sees is the one it goes on with: here the other one.
            assert answer.status == 200
            held = witness.state.held(ORIGIN)
            log, other = other, log
    witness.state.close()


def test_a_witnesses_key_does_not_speak_for_a_log(log: SmallLog, tmp_path: Path) -> None:
    """Whoever lists a cosigner's key as a log's gets no cosignature for what that cosigner said."""
    cosigner = Ed25519PrivateKey.generate()
    witness = witness_of(log, tmp_path)
    text = checkpoints.format_text(log.head(5))
    note = f"{text}\n{cosignatures.sign(text, name=ORIGIN, key=cosigner, at=NOW)}\n"
    mistaken = Witness(
        witness.keys, {ORIGIN: [cosignatures.vkey(ORIGIN, cosigner.public_key())]}, witness.state, Clock()
    )

    assert mistaken.add_checkpoint(rules.format_body(old_size=0, proof=[], note=note)).status == 403
    witness.state.close()
