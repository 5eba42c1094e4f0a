"""Proofs of one entry: the C2SP file and our own document, under our policy and under a tlog-policy."""

from dataclasses import replace

import pytest

from ledger.proofs import canonical, checkpoints, entry_proofs, policies, receipts, tlog_policy, tlog_proof
from ledger.proofs.checks import Status
from ledger.proofs.policies import Revoked
from tests.factories.receipts import ORIGIN, Purchase


@pytest.fixture(scope="module")
def purchase():
    return Purchase(witnesses=3, quorum=2, chain="sealed")


@pytest.fixture(scope="module")
def bundle(purchase):
    return purchase.document()


@pytest.fixture
def document(bundle):
    entry = bundle["entries"][1]
    return {
        "type": "hengshu/entry-proof/v1", "leaf": entry["leaf"], "index": entry["index"], "path": list(entry["path"]),
        "checkpoint": bundle["checkpoint"], "origin": ORIGIN, "anchor": bundle["anchor"],
    }  # fmt: skip


@pytest.fixture
def leaf(document):
    return document["leaf"].encode()


@pytest.fixture
def file(document):
    path = tuple(bytes.fromhex(step) for step in document["path"])
    return tlog_proof.format_text(tlog_proof.TlogProof(document["index"], path, document["checkpoint"])).encode()


def judge(data, *, policy, leaf=None):
    checks = entry_proofs.verify(data, policy=policy, leaf=leaf)
    return {check.name: check for check in checks}, receipts.accepted(checks)


def stock(purchase):
    """The policy as a verifier written elsewhere has it."""
    return tlog_policy.parse(purchase.policy.tlog_policy())


def test_both_forms_hold_under_both_policies(purchase, document, file, leaf):
    data = canonical.encode(document)
    assert (entry_proofs.kind_of(file), entry_proofs.kind_of(data)) == ("tlog-proof", "entry-proof")
    for policy in (purchase.policy, stock(purchase)):
        for shown, given in ((file, leaf), (data, None), (data, leaf)):
            found, is_accepted = judge(shown, policy=policy, leaf=given)
            assert is_accepted, found
            assert {check.status for check in found.values()} == {Status.PASS}


def test_a_tlog_proof_without_its_leaf_proves_nothing_of_it(purchase, file):
    found, is_accepted = judge(file, policy=stock(purchase))
    assert not is_accepted
    assert (found["inclusion"].status, found["inclusion"].code) == (Status.NOT_CHECKED, "NO_LEAF")


@pytest.mark.parametrize("form", ["file", "document"])
def test_another_leaf_is_found_out(purchase, document, file, leaf, form):
    data = file if form == "file" else canonical.encode(document)
    assert not judge(data, policy=purchase.policy, leaf=leaf.replace(b"2026", b"2027"))[1]


@pytest.mark.parametrize(
    ("change", "question", "code"),
    [({"index": 0}, "inclusion", "INCLUSION_INVALID"), ({"path": []}, "inclusion", "INCLUSION_INVALID"),
     ({"origin": "other.example/log"}, "checkpoint", "ORIGIN_UNKNOWN"), ({"extra": 1}, "proof", "PROOF_INVALID"),
     ({"leaf": "{}"}, "proof", "LEAF_INVALID"), ({"path": ["00"]}, "proof", "INCLUSION_INVALID"),
     ({"checkpoint": "x"}, "checkpoint", "NOTE_INVALID"), ({"anchor": 7}, "anchor", "MEMBER_INVALID")],
)  # fmt: skip
def test_a_changed_document_fails_where_it_was_changed(purchase, document, change, question, code):
    found, is_accepted = judge(canonical.encode({**document, **change}), policy=purchase.policy)
    assert not is_accepted
    assert (found[question].status, found[question].code) == (Status.FAIL, code)


def test_a_checkpoint_without_its_witnesses_is_refused(purchase, document):
    bare = checkpoints.sign(checkpoints.parse(document["checkpoint"]), key=purchase.keys["log"].document)
    for policy in (purchase.policy, stock(purchase)):
        found, is_accepted = judge(canonical.encode({**document, "checkpoint": bare}), policy=policy)
        assert (is_accepted, found["cosignatures"].code) == (False, "QUORUM_MISSING")
    lax = replace(purchase.policy, witnesses=policies.Witnesses())
    found, is_accepted = judge(canonical.encode({**document, "checkpoint": bare}), policy=lax)
    assert (is_accepted, found["cosignatures"].code) == (True, "NO_QUORUM")


def test_a_log_key_withdrawn_before_the_checkpoint_is_refused_by_our_policy_alone(purchase, file, leaf):
    policy = replace(purchase.policy, revoked=(Revoked(purchase.log_key, ORIGIN, 0),))
    assert not judge(file, policy=policy, leaf=leaf)[1]
    assert judge(file, policy=stock(purchase), leaf=leaf)[1]


@pytest.mark.parametrize("form", ["file", "document"])
def test_a_second_end_of_a_frozen_log_is_refused_by_our_policy(purchase, document, file, leaf, form):
    """Whoever stole the key of a log that has ended can sign its last size anew; the policy says which root it had."""
    data = file if form == "file" else canonical.encode(document)
    shown = checkpoints.parse(document["checkpoint"])
    (log,) = purchase.policy.logs
    for size, root, is_right in (
        (shown.size, shown.root.hex(), True), (shown.size + 1, "ab" * 32, True),
        (shown.size, "ab" * 32, False), (shown.size - 1, "ab" * 32, False),
    ):  # fmt: skip
        policy = replace(purchase.policy, logs=(replace(log, frozen=policies.Frozen(size, root)),))
        found, is_accepted = judge(data, policy=policy, leaf=leaf)
        assert is_accepted is is_right, (size, found)
        assert is_right or found["checkpoint"].code == "LOG_FROZEN"


@pytest.mark.parametrize("data", [b"", b"{}", b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nindex 0\n\nx"])
def test_rubbish_fails_without_an_exception(purchase, data):
    assert not judge(data, policy=purchase.policy, leaf=b"x")[1]
