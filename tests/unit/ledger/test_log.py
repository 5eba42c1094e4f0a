"""Sequencing, sealing, and the refusal to sign a second history."""

from datetime import timedelta

import pytest
from django.db import transaction

from ledger import actions as ledger
from ledger import keys
from ledger.actions import log
from ledger.errors import LogBehindSignedCheckpoint, NotYetSealed, SignedCheckpointMissing
from ledger.models import Checkpoint, Disclosure, Entry, Leaf, Log, Pending, Tile
from ledger.proofs import checkpoints, leaves, merkle
from tests.factories.ledger import EXCHANGE, SUBJECT, record

pytestmark = pytest.mark.django_db
OTHER = SUBJECT[:-1] + "2"


def proves(entry, checkpoint) -> None:
    proof = ledger.entry_proof(entry, checkpoint=checkpoint)
    data = proof["leaf"].encode()
    merkle.verify_inclusion(
        index=proof["index"],
        size=checkpoint.size,
        leaf_hash=merkle.leaf_hash(data),
        path=[bytes.fromhex(step) for step in proof["path"]],
        root=bytes.fromhex(checkpoint.root),
    )
    assert leaves.parse(data).entry == entry.urn


def test_an_empty_log_has_nothing_to_sign():
    assert ledger.seal() is None
    assert ledger.latest_checkpoint() is None
    assert not keys.signed_checkpoint_file().exists()


def test_a_sealed_entry_proves_itself_under_every_later_checkpoint():
    first = record(300)
    one = ledger.seal()
    second = record(20, subject=OTHER)
    two = ledger.seal()

    assert (one.size, two.size) == (300, 320)
    for entry in first[::37]:
        proves(entry, one)
        proves(entry, two)
    proves(second[-1], two)
    with pytest.raises(NotYetSealed):
        ledger.entry_proof(second[0], checkpoint=one)
    assert not Pending.objects.exists()


def test_a_checkpoint_is_a_note_that_the_log_key_signs(settings):
    record(5)

    sealed = ledger.seal()

    read = checkpoints.verify(sealed.note.encode(), keys=[keys.log_vkey()], origin=settings.LOG_ORIGIN)
    assert (read.size, read.root.hex()) == (5, sealed.root)
    assert sealed.root == merkle.root([bytes(leaf.leaf_hash) for leaf in Leaf.objects.order_by("index")]).hex()
    assert keys.signed_checkpoint_file().read_text() == sealed.note


def test_sealing_again_signs_nothing_new():
    record()
    sealed = ledger.seal()

    assert ledger.seal() is None
    assert list(Checkpoint.objects.all()) == [sealed]


def test_more_than_a_batch_is_sealed_in_one_go(monkeypatch):
    monkeypatch.setattr(log, "BATCH", 7)
    record(22)

    assert ledger.seal().size == 22


def test_prev_chains_the_facts_of_one_subject_through_others():
    first = record(1)[0]
    record(1, subject=OTHER)
    ledger.seal()
    second, third = record(2)
    ledger.seal()

    chain = [leaves.parse(bytes(entry.leaf.data)) for entry in (first, second, third)]
    hashes = [merkle.leaf_hash(leaf.data).hex() for leaf in chain]
    assert [leaf.prev for leaf in chain] == [None, hashes[0], hashes[1]]


def test_an_entry_that_commits_late_is_not_lost():
    """Its id is smaller than one sequenced before it: a high-water mark would pass it over."""
    late, early = record(2)
    waiting = Pending.objects.get(entry=late)
    waiting.delete()
    assert ledger.seal().size == 1

    Pending.objects.create(entry=late)

    assert ledger.seal().size == 2
    assert [leaf.entry for leaf in Leaf.objects.order_by("index")] == [early, late]


def test_entry_without_a_checkpoint_says_so():
    entry = record()[0]

    with pytest.raises(NotYetSealed):
        ledger.entry_proof(entry)
    assert not ledger.is_sealed(entry)
    ledger.seal()
    assert ledger.is_sealed(entry)


def _forget(size: int) -> None:
    """What a restored backup looks like: the log of `size` leaves, as it stood when it had been sealed."""
    import pgtrigger

    checkpoint = Checkpoint.objects.get(size=size)
    with pgtrigger.ignore():
        gone = list(Leaf.objects.filter(index__gte=size).values_list("entry_id", flat=True))
        Checkpoint.objects.filter(size__gt=size).delete()
        Leaf.objects.filter(index__gte=size).delete()
        for tile in Tile.objects.all():
            tile.data = bytes(tile.data)[: size * 32]
            tile.save()
        Disclosure.objects.filter(entry__in=gone).delete()
        Entry.objects.filter(pk__in=gone).delete()
    Log.objects.update(size=size, root=checkpoint.root)


def test_a_database_restored_from_a_backup_refuses_to_sign():
    record(5)
    ledger.seal()
    record(10)
    note = ledger.seal().note
    _forget(5)
    record(1)

    with pytest.raises(LogBehindSignedCheckpoint) as refusal:
        ledger.seal()

    assert refusal.value.code == "LOG_BEHIND_SIGNED_CHECKPOINT"
    assert Checkpoint.objects.latest_or_none().size == 5
    assert keys.signed_checkpoint_file().read_text() == note


def test_a_restored_database_that_grew_past_the_signed_size_still_refuses():
    record(5)
    ledger.seal()
    record(10)
    ledger.seal()
    _forget(5)
    record(30)

    with pytest.raises(LogBehindSignedCheckpoint):
        ledger.seal()
    assert Log.objects.get().size == 35
    assert Checkpoint.objects.latest_or_none().size == 5


def test_without_the_memory_the_restored_database_would_have_forked(monkeypatch):
    """The sister of the two above: with the comparison off, two checkpoints of one size with two roots."""
    record(5)
    ledger.seal()
    record(10)
    first = ledger.seal()
    _forget(5)
    record(10)
    monkeypatch.setattr(log, "check_not_behind", lambda _head, *, newest: None)

    second = ledger.seal()

    assert (second.size, second.root != first.root) == (first.size, True)


def test_a_crash_between_file_and_commit_heals_with_the_same_bytes():
    record(5)
    log.sequence()
    with transaction.atomic():
        lost = log.sign()
        transaction.set_rollback(True)
    assert keys.signed_checkpoint_file().read_text() == lost.note
    assert not Checkpoint.objects.exists()

    assert ledger.seal().note == lost.note


def test_a_lost_memory_stops_signing_until_someone_has_looked():
    record(2)
    ledger.seal()
    keys.signed_checkpoint_file().unlink()
    record(1)

    with pytest.raises(SignedCheckpointMissing, match="verify_ledger --adopt"):
        ledger.seal()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"hengshu.example/ledger/2026\n1\nAAAA\n\n"])
def test_a_damaged_memory_stops_signing(content):
    record(2)
    ledger.seal()
    keys.signed_checkpoint_file().write_bytes(content)
    record(1)

    with pytest.raises(LogBehindSignedCheckpoint, match="damaged"):
        ledger.seal()


def test_evidence_speaks_of_one_checkpoint(django_assert_max_num_queries):
    entries = record(4)
    with pytest.raises(NotYetSealed):
        ledger.evidence(entries)
    sealed = ledger.seal()

    found = ledger.evidence(entries)

    assert found["checkpoint"] == sealed.note
    assert found["anchor"] is None
    assert [proof["index"] for proof in found["entries"]] == [0, 1, 2, 3]


def test_trust_policy_names_the_keys_that_sign(settings):
    policy = ledger.trust_policy()

    assert policy.document() == {
        "type": "hengshu/trust-policy/v2",
        "exchange_keys": [{"key": keys.exchange_keys().document_key, "from": 0, "until": None}],
        "logs": [
            {
                "origin": settings.LOG_ORIGIN,
                "keys": [{"key": keys.log_vkey(), "from": 0, "until": None}],
                "frozen": None,
            }
        ],
        "witnesses": {"keys": [], "quorum": 0},
        "revoked": [],
        "chain": None,
    }


def test_the_time_in_a_leaf_is_the_time_of_the_entry():
    entry = record()[0]
    ledger.seal()

    assert leaves.parse(bytes(entry.leaf.data)).at == entry.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert entry.at.microsecond == 0
    assert entry.at.utcoffset() == timedelta(0)
    assert entry.issuer == EXCHANGE
