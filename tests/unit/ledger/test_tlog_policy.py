"""Policy files: the specification's example, broken copies of it, and quorums of every shape."""

from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import checkpoints, cosignatures, merkle, notes, tlog_policy
from ledger.proofs.checkpoints import Checkpoint
from tests.unit.ledger.known_answers import changed, code_of, load, name_of

CASES = load("tlog_policy/cases.json")
POLICY = tlog_policy.parse(CASES["good"])
ORIGIN = "log.example/2026"
SEEDS = {"X1": 11, "X2": 12, "X3": 13, "Y1": 21, "Y2": 22, "Y3": 23}
CHECKPOINT = Checkpoint(origin=ORIGIN, size=1, root=merkle.leaf_hash(b"\x00"))
TEXT = checkpoints.format_text(CHECKPOINT)


def key(number):
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


LOG = key(1)
SIGNED = checkpoints.sign(CHECKPOINT, key=LOG)


def line(name, *, at=1):
    witness = notes.parse_vkey(POLICY.witnesses[name].vkey)
    return cosignatures.sign(TEXT, name=witness.name, key=key(SEEDS[name]), at=at)


def cosigned(names):
    return notes.add_signatures(SIGNED, map(line, names))


@pytest.mark.parametrize("case", CASES["cases"], ids=name_of)
def test_the_policy_and_its_broken_copies_are_judged_right(case):
    assert code_of(lambda: tlog_policy.parse(changed(CASES["good"], case))) == case["code"]


def test_the_known_policy_says_what_it_says():
    assert [notes.parse_vkey(log.vkey).name for log in POLICY.logs] == [ORIGIN]
    assert list(POLICY.witnesses) == list(SEEDS)
    assert POLICY.groups["X-witnesses"] == tlog_policy.Group(2, ("X1", "X2", "X3"))
    assert POLICY.groups["Y-witnesses"].threshold == 1
    assert POLICY.groups["X-and-Y"] == tlog_policy.Group(2, ("X-witnesses", "Y-witnesses"))
    assert POLICY.quorum == "X-and-Y"


@pytest.mark.parametrize("case", [case for case in CASES["cases"] if case["code"] is None], ids=name_of)
def test_what_was_read_writes_and_reads_the_same(case):
    policy = tlog_policy.parse(changed(CASES["good"], case))

    assert tlog_policy.parse(tlog_policy.format_text(policy)) == policy


@pytest.mark.parametrize(("names", "enough"), CASES["quorums"])
def test_known_quorums(names, enough):
    assert POLICY.is_quorum(names) is enough
    assert code_of(lambda: POLICY.check(cosigned(names))) == (None if enough else "QUORUM_MISSING")


def test_every_set_of_witnesses_is_judged_as_the_rule_says():
    for count in range(7):
        for names in combinations(SEEDS, count):
            xs, ys = sum(name[0] == "X" for name in names), sum(name[0] == "Y" for name in names)
            assert POLICY.is_quorum(names) is (xs >= 2 and ys >= 1)


def test_the_checked_checkpoint_comes_back_and_so_do_the_witnesses_names():
    note = cosigned(["Y2", "X3", "X1"])

    assert POLICY.check(note.encode()) == CHECKPOINT
    assert POLICY.check_quorum(note) == ["Y2", "X3", "X1"]


def test_a_wrong_line_by_a_known_witness_spoils_the_note_and_one_by_a_stranger_does_not():
    note = cosigned(["X1", "X2", "Y1"])
    wrong = notes.parse_line(line("Y3"))
    spoilt = notes.format_line(notes.Signature(wrong.name, wrong.key_id, bytes(72)))
    strange = notes.format_line(notes.Signature("stranger", wrong.key_id, bytes(72)))

    assert code_of(lambda: POLICY.check(f"{note}{spoilt}\n")) == "SIGNATURE_INVALID"
    assert code_of(lambda: POLICY.check(f"{note}{strange}\n")) is None


def test_the_log_must_be_listed_have_signed_and_speak_of_itself():
    other = Checkpoint(origin="other.example/log", size=1, root=CHECKPOINT.root)
    renamed = notes.sign(checkpoints.format_text(other), name=ORIGIN, key=LOG)
    by_stranger = checkpoints.sign(CHECKPOINT, key=key(77))
    plain = tlog_policy.parse(f"log {POLICY.logs[0].vkey}\nquorum none\n")

    assert code_of(lambda: plain.check(SIGNED)) is None
    assert code_of(lambda: plain.check(checkpoints.sign(other, key=LOG))) == "ORIGIN_UNKNOWN"
    assert code_of(lambda: plain.check(renamed)) == "ORIGIN_UNKNOWN"
    assert code_of(lambda: plain.check(by_stranger)) == "SIGNATURE_MISSING"
    assert code_of(lambda: tlog_policy.parse("quorum none\n").check(SIGNED)) == "ORIGIN_UNKNOWN"


def test_none_names_nothing_but_the_absence_of_a_quorum():
    witness = f"witness {{}} {POLICY.witnesses['X1'].vkey}\n"

    assert code_of(lambda: tlog_policy.parse(witness.format("w") + "quorum none\n")) is None
    assert code_of(lambda: tlog_policy.parse(witness.format("none") + "quorum none\n")) == "POLICY_INVALID"
    group = witness.format("w") + "group {} any w\nquorum none\n"
    assert code_of(lambda: tlog_policy.parse(group.format("g"))) is None
    assert code_of(lambda: tlog_policy.parse(group.format("none"))) == "POLICY_INVALID"


def test_a_threshold_over_witnesses_is_one_call():
    witnesses = [POLICY.witnesses[name].vkey for name in ("X1", "X2", "X3")]
    logs = [POLICY.logs[0].vkey]
    policy = tlog_policy.threshold(logs=logs, witnesses=witnesses, quorum=2)

    assert code_of(lambda: policy.check(cosigned(["X1", "X3"]))) is None
    assert code_of(lambda: policy.check(cosigned(["X3"]))) == "QUORUM_MISSING"
    assert code_of(lambda: tlog_policy.threshold(logs=logs).check(SIGNED)) is None
    assert tlog_policy.parse(tlog_policy.format_text(policy)) == policy
    for quorum in (4, -1):
        call = {"logs": logs, "witnesses": witnesses, "quorum": quorum}
        assert code_of(lambda call=call: tlog_policy.threshold(**call)) == "POLICY_INVALID"
    assert code_of(lambda: tlog_policy.threshold(logs=logs, quorum=1)) == "POLICY_INVALID"


def test_large_policies_work_up_to_a_bound():
    lines = [f"witness w{number} {cosignatures.vkey(f'w{number}', key(number).public_key())}" for number in range(200)]
    lines += ["group g0 all w0", *(f"group g{number} all g{number - 1}" for number in range(1, 800)), "quorum g799"]

    policy = tlog_policy.parse("\n".join(lines))
    assert policy.is_quorum(["w0"])
    assert not policy.is_quorum(["w1"])
    assert code_of(lambda: tlog_policy.parse("\n".join([*lines, "group g800 all g799"]))) == "POLICY_INVALID"
    assert code_of(lambda: tlog_policy.parse(b"#" * (tlog_policy.MAX_BYTES + 1))) == "POLICY_INVALID"
