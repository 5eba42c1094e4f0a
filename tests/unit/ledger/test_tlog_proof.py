"""Proof files: a known answer, broken copies of it, and files of our own making."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proofs import merkle, tlog_policy, tlog_proof
from ledger.proofs.tlog_proof import TlogProof
from tests.unit.ledger.known_answers import changed, code_of, load, name_of

CASES = load("tlog_proof/cases.json")
POLICY = tlog_policy.parse(CASES["policy"])
LEAF_HASH = merkle.leaf_hash(bytes.fromhex(CASES["leaf"]))
GOOD = tlog_proof.parse(CASES["good"])


@pytest.mark.parametrize("case", CASES["cases"], ids=name_of)
def test_the_proof_and_its_broken_copies_are_judged_right(case):
    data = changed(CASES["good"], case)

    code = code_of(lambda: tlog_proof.verify(tlog_proof.parse(data), leaf_hash=LEAF_HASH, policy=POLICY))
    assert code == case["code"]


def test_the_known_proof_reads_and_writes_as_known():
    assert (GOOD.index, GOOD.extra) == (CASES["index"], bytes.fromhex(CASES["extra"]))
    assert [step.hex() for step in GOOD.path] == CASES["path"]
    assert tlog_proof.format_text(GOOD) == CASES["good"]
    assert tlog_proof.verify(GOOD, leaf_hash=LEAF_HASH, policy=POLICY).size == 5


def test_another_leaf_is_not_in_that_place():
    other = merkle.leaf_hash(b"\x04")

    assert code_of(lambda: tlog_proof.verify(GOOD, leaf_hash=other, policy=POLICY)) == "INCLUSION_INVALID"


def test_every_byte_before_the_checkpoint_matters_except_in_extra():
    data = CASES["good"].encode()
    extra = range(data.index(b"AAEC"), data.index(b"AAEC") + 4)
    for place in range(data.index(b"\n\n")):
        broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

        def judge(broken=broken):
            tlog_proof.verify(tlog_proof.parse(broken), leaf_hash=LEAF_HASH, policy=POLICY)

        assert place in extra or code_of(judge) is not None, place


@given(
    st.integers(0, 2**63 - 2),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.none() | st.binary(max_size=64),
)
def test_what_was_written_reads_back(index, path, extra):
    proof = TlogProof(index=index, path=tuple(path), checkpoint=GOOD.checkpoint, extra=extra)

    assert tlog_proof.parse(tlog_proof.format_text(proof).encode()) == proof


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"c2sp.org/tlog-proof@v1\n" + data))
def test_whatever_comes_is_refused_never_a_crash(data):
    assert code_of(lambda: tlog_proof.parse(data)) in {"PROOF_INVALID", "NOTE_INVALID", "CHECKPOINT_INVALID"}


@pytest.mark.parametrize(
    ("change", "value"),
    [("index", -1), ("index", 2**63), ("path", (b"short",)), ("path", (bytes(32),) * 64), ("checkpoint", "none")],
)
def test_what_would_not_read_back_cannot_be_written(change, value):
    parts = {"index": 0, "path": (), "checkpoint": GOOD.checkpoint, change: value}

    assert code_of(lambda: tlog_proof.format_text(TlogProof(**parts))) in {"PROOF_INVALID", "NOTE_INVALID"}


def test_a_proof_longer_than_any_genuine_one_is_refused_unread():
    assert code_of(lambda: tlog_proof.parse(b"x" * (tlog_proof.MAX_BYTES + 1))) == "PROOF_INVALID"
