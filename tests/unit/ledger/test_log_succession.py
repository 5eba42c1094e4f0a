"""A new key within a shard, and the next shard: promises about every place where a command may be cut off."""

from pathlib import Path

import pytest
from django.db import DatabaseError, transaction

from compute.protocol import key_documents, keyfiles
from ledger import actions as ledger
from ledger import keys, publication
from ledger.actions import log, shards
from ledger.audits import log as audit
from ledger.errors import DisclosureNeeded, LogKeyDiffers, LogNotRotatable
from ledger.kinds import EntryKind
from ledger.models import Entry, Leaf, Log
from ledger.proofs import checkpoints, leaves, merkle, notes, policies, tlog_policy
from tests.factories.ledger import EXCHANGE, exchange_key_files, record

pytestmark = pytest.mark.django_db

NEXT = "hengshu.example/ledger/2027"


@pytest.fixture(autouse=True)
def _key_files(settings, tmp_path):
    exchange_key_files(settings, tmp_path)


def rotate():
    return shards.rotate_key(new=shards.make_next_key(), issuer=EXCHANGE)


def open_next(origin=NEXT):
    return shards.open_shard(origin=origin, new=shards.make_next_key(), issuer=EXCHANGE)


def proves(entry, policy):
    """An entry stands in its log, under a checkpoint of a key that counted for that size."""
    proof = ledger.inclusion_proof(entry)
    note = proof["checkpoint"].encode()
    read = checkpoints.parse(note)
    checkpoints.verify(note, keys=policy.log_keys_at(read.origin, read.size), origin=read.origin)
    merkle.verify_inclusion(
        index=proof["index"],
        size=read.size,
        leaf_hash=merkle.leaf_hash(proof["leaf"].encode()),
        path=[bytes.fromhex(step) for step in proof["path"]],
        root=read.root,
    )


# --- rotation -------------------------------------------------------------------------------------------------


def test_the_checkpoint_of_a_rotation_carries_both_keys():
    record(3)
    old = keys.log_vkey()

    checkpoint = rotate()

    new = keys.log_vkey()
    assert old != new
    for vkey in (old, new):
        notes.verify(checkpoint.note.encode(), keys=[vkey])
    assert checkpoint.size == 4
    leaf = Leaf.objects.get(index=3)
    assert leaf.entry.kind == EntryKind.LOG_KEY_ROTATED
    key_documents.verify_rotation(ledger.payload_of(leaf.entry)["document"])


def test_after_a_rotation_the_new_key_alone_signs_and_the_policy_knows_when():
    (first,) = record()
    old = keys.log_vkey()
    handed = rotate()
    (last,) = record()
    sealed = ledger.seal()

    new = keys.log_vkey()
    assert len(notes.parse(sealed.note).signatures) == 1
    policy = policies.parse(ledger.trust_policy().document())
    assert policy.log_keys_at(sealed.log.origin, handed.size - 1) == [old]
    assert policy.log_keys_at(sealed.log.origin, handed.size) == [old, new]
    assert policy.log_keys_at(sealed.log.origin, sealed.size) == [new]
    for entry in (first, last):
        proves(entry, policy)
    stock = tlog_policy.parse(publication.tlog_policy_file())
    assert [member.vkey for member in stock.logs] == [old, new]
    assert list(audit.check()) == []


def test_the_old_key_file_is_kept_and_the_account_of_anchors_stays():
    record()
    before = keys.log_keys()

    checkpoint = rotate()

    kept = Path(keys.signed_checkpoint_file()).with_name(f"log.until-1-{checkpoint.size}.key.json")
    assert keyfiles.load(kept).document_key == before.document_key
    assert keys.log_keys().chain_address == before.chain_address
    assert not shards.next_key_file().exists()


@pytest.mark.parametrize("step", ["_hand_over", "_sign_by_both", "_install"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_cut_off_anywhere_is_finished_by_running_it_again(monkeypatch, step, when):
    record(2)
    real, new = getattr(shards, step), shards.make_next_key()
    wanted = keyfiles.load(new).document_key

    def cut(*args, **kwargs):
        if when == "after":
            real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shards, step, cut)
        with pytest.raises(KeyboardInterrupt):
            shards.rotate_key(new=new, issuer=EXCHANGE)
    if not (step == "_hand_over" and when == "before") and keys.log_keys().document_key != wanted:
        record()
        with pytest.raises(LogKeyDiffers):
            ledger.seal()  # another sealer signs nothing meanwhile
    if new.exists():
        shards.rotate_key(new=new, issuer=EXCHANGE)

    assert keys.log_keys().document_key == wanted
    assert Entry.objects.filter(kind=EntryKind.LOG_KEY_ROTATED).count() == 1
    record()
    ledger.seal()
    assert list(audit.check()) == []


def test_running_it_again_after_the_end_changes_nothing(tmp_path):
    record()
    new = tmp_path / "given.key.json"
    fresh = keyfiles.load(shards.make_next_key())
    keyfiles.save(fresh, new)

    first = shards.rotate_key(new=new, issuer=EXCHANGE)
    again = shards.rotate_key(new=new, issuer=EXCHANGE)

    assert first.pk == again.pk
    assert Leaf.objects.count() == 2


def test_a_key_that_was_a_logs_before_or_another_account_is_refused(tmp_path):
    record()
    old = keys.log_keys()
    rotate()

    for number, made in enumerate((old, keyfiles.generate("stranger"))):
        path = tmp_path / f"{number}.key.json"
        keyfiles.save(made, path)
        with pytest.raises(LogNotRotatable):
            shards.rotate_key(new=path, issuer=EXCHANGE)


def test_a_wrong_key_file_in_place_signs_nothing(settings, tmp_path):
    record()
    ledger.seal()
    stranger = tmp_path / "stranger.key.json"
    keyfiles.save(keyfiles.generate("stranger"), stranger)
    keys.install(stranger, at=Path(settings.LOG_KEY_FILE), keep_as=tmp_path / "kept.key.json")
    record()

    with pytest.raises(LogKeyDiffers):
        ledger.seal()
    with pytest.raises(LogNotRotatable):
        rotate()


# --- shards ---------------------------------------------------------------------------------------------------


def test_the_old_log_ends_by_naming_the_new_one_and_the_new_begins_by_naming_the_old():
    record(3)
    old_vkey = keys.log_vkey()

    after = open_next()

    before = Log.objects.get(number=1)
    assert before.is_frozen
    assert not after.is_frozen
    last, first = before.leaves.order_by("index").last(), after.leaves.get(index=0)
    assert last.index == before.size - 1
    ended, opened = ledger.payload_of(last.entry), ledger.payload_of(first.entry)
    assert (last.entry.kind, first.entry.kind) == (EntryKind.LOG_FROZEN, EntryKind.LOG_OPENED)
    assert (ended["next_origin"], ended["next_vkey"]) == (NEXT, after.vkey)
    key_documents.verify_rotation(ended["document"])
    assert key_documents.successor(ended["document"], old_vkey) == after.vkey
    assert opened["before"] == {"origin": before.origin, "size": before.size, "root": before.root}
    final = before.checkpoints.get(size=before.size)
    checkpoints.verify(final.note.encode(), keys=[old_vkey], origin=before.origin)
    signed = after.checkpoints.get(size=1)
    checkpoints.verify(signed.note.encode(), keys=[after.vkey], origin=NEXT)


def test_old_and_new_proofs_hold_under_one_policy_and_subjects_chain_across():
    (old,) = record()
    open_next()
    (new,) = record()
    ledger.seal()

    policy = policies.parse(ledger.trust_policy().document())
    assert [one.origin for one in policy.logs] == [Log.objects.get(number=1).origin, NEXT]
    assert policy.logs[0].frozen.size == 2
    for entry in (old, new):
        proves(entry, policy)
    new.refresh_from_db()
    assert leaves.parse(bytes(new.leaf.data)).prev == old.leaf.leaf_hash_hex
    assert policy.position(NEXT, 0) == 2
    assert list(audit.check()) == []


def test_nothing_is_appended_to_a_frozen_log():
    record(2)
    open_next()
    frozen = Log.objects.get(number=1)
    (entry,) = record()

    with pytest.raises(DatabaseError), transaction.atomic():
        log.append(frozen, [entry])
    with pytest.raises(DatabaseError), transaction.atomic():
        Log.objects.filter(number=1).update(frozen_at=None)
    with pytest.raises(DatabaseError), transaction.atomic():
        Log.objects.filter(number=1).update(size=99)
    with pytest.raises(DatabaseError), transaction.atomic():
        Log.objects.create(number=3, origin="x.example/log", vkey="x", root="00" * 32)  # two open at once

    assert Log.objects.get(number=1).size == 3


def test_without_the_guards_of_the_database_it_would_be_appended():
    """The sister of the test above: it is the trigger that stands in the way."""
    import pgtrigger

    record(2)
    open_next()
    frozen = Log.objects.get(number=1)
    (entry,) = record()

    with pgtrigger.ignore("ledger.Leaf:only_while_open", "ledger.Log:frozen_for_ever"):
        log.append(frozen, [entry])

    assert Log.objects.get(number=1).size == 4


@pytest.mark.parametrize("step", ["_succeed", "_sign", "_install"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_opening_cut_off_anywhere_is_finished_by_running_it_again(monkeypatch, step, when):
    record(2)
    real, new = getattr(shards, step), shards.make_next_key()
    wanted = keyfiles.load(new).document_key
    kept = new.with_name("copy.key.json")
    keyfiles.save(keyfiles.load(new), kept)

    def cut(*args, **kwargs):
        if when == "after":
            real(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shards, step, cut)
        with pytest.raises(KeyboardInterrupt):
            shards.open_shard(origin=NEXT, new=new, issuer=EXCHANGE)
    after = shards.open_shard(origin=NEXT, new=new if new.exists() else kept, issuer=EXCHANGE)

    assert (after.number, Log.objects.count()) == (2, 2)
    assert keys.log_keys().document_key == wanted
    before = Log.objects.get(number=1)
    assert before.checkpoints.filter(size=before.size).exists()
    record()
    assert ledger.seal().log_id == 2
    assert list(audit.check()) == []


def test_a_name_or_key_that_was_used_is_refused():
    record()
    first, present = Log.objects.current(), keys.log_keys()
    ledger.seal()
    first = Log.objects.current()

    with pytest.raises(LogNotRotatable):
        open_next(origin=first.origin)
    copy = shards.next_key_file().with_name("copy.key.json")
    keyfiles.save(present, copy)
    with pytest.raises(LogNotRotatable):
        shards.open_shard(origin=NEXT, new=copy, issuer=EXCHANGE)

    assert Log.objects.count() == 1


def test_each_shard_remembers_its_own_last_checkpoint_outside_the_database():
    record()
    open_next()

    assert checkpoints.parse(keys.signed_checkpoint_file(1).read_bytes()).size == 2
    assert checkpoints.parse(keys.signed_checkpoint_file(2).read_bytes()).origin == NEXT


def test_a_stolen_log_key_is_withdrawn_and_the_next_shard_opened():
    record(2)
    ledger.seal()
    stolen = Log.objects.current().vkey

    shards.revoke_key(vkey=stolen, reason="compromised", issuer=EXCHANGE)
    shards.revoke_key(vkey=stolen, reason="compromised", issuer=EXCHANGE)
    open_next()

    policy = ledger.trust_policy()
    (revoked,) = policy.revoked
    assert (revoked.key, revoked.index) == (stolen, 2)
    assert policy.logs[0].frozen.size == 4
    assert policy.log_keys_at(policy.logs[0].origin, 5) == []  # whatever the thief signs beyond the end
    # The thief's other history of a size the log has had is caught by witnesses and the chain, not by the key.
    assert Entry.objects.filter(kind=EntryKind.LOG_KEY_REVOKED).count() == 1


def test_what_the_log_says_about_keys_is_never_erased():
    (plain,) = record()
    rotate()
    handed = Entry.objects.get(kind=EntryKind.LOG_KEY_ROTATED)

    with pytest.raises(DisclosureNeeded):
        ledger.erase(entry=handed)
    ledger.erase(entry=plain)

    assert len(ledger.trust_policy().logs[0].keys) == 2
