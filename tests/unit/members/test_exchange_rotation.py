"""The exchange's own keys change hands, and who pinned the old ones can follow, or not."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from compute.protocol import key_history, keyfiles
from exchange.members.actions import exchange_rotation, key_revocations, keys
from exchange.members.errors import KeyRotationInvalid
from exchange.members.models import SigningKey
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import shards
from ledger.models import Entry
from ledger.proofs import cosignatures, policies
from ledger.proofs.errors import VerificationError
from ledger.proofs.policies import HANDOVER, Revoked, Window, Witnesses
from tests.factories import members
from tests.factories.ledger import exchange_key_files, record

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def exchange(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    made = members.exchange()
    record(3)
    ledger.seal()
    return made


def served(path):
    answer = Client().get(path)
    assert answer.status_code == 200
    return answer.content


def offered():
    return policies.parse(served("/.well-known/hengshu-policy.json"))


def history():
    return served("/.well-known/hengshu-key-history.json")


def refused(pinned, new, text=None):
    with pytest.raises(VerificationError) as refusal:
        key_history.check(text or history(), pinned=pinned, offered=new)
    return refusal.value.code


def rotate():
    return exchange_rotation.rotate_exchange_key(new=exchange_rotation.make_next_key())


def test_a_rotation_is_logged_installed_and_dated_in_the_policy(exchange, settings):
    old = own_keys.exchange_keys()
    record(2)

    key = rotate()

    assert own_keys.exchange_keys().document_key == key != old.document_key
    assert own_keys.exchange_keys().chain_address == old.chain_address
    policy = offered()
    assert [window.key for window in policy.exchange_keys] == [old.document_key, key]
    first, second = policy.exchange_keys
    assert first.until == second.since + HANDOVER
    assert policy.exchange_keys_at(0) == [old.document_key]
    assert policy.exchange_keys_at(second.since) == [key, old.document_key]
    assert policy.exchange_keys_at(first.until) == [key]
    kept = list(Path(settings.EXCHANGE_KEY_FILE).parent.glob("exchange.*.key.json"))
    assert [keyfiles.load(path).document_key for path in kept] == [old.document_key]


@pytest.mark.parametrize("step", ["rotate", "seal", "install"])
def test_a_rotation_cut_off_anywhere_is_finished_by_running_it_again(monkeypatch, step):
    place = {"rotate": keys, "seal": ledger, "install": own_keys}[step]
    new = exchange_rotation.make_next_key()

    def cut(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(place, step, cut)
        with pytest.raises(KeyboardInterrupt):
            exchange_rotation.rotate_exchange_key(new=new)
    key = rotate()

    assert own_keys.exchange_keys().document_key == key
    assert [window.key for window in offered().exchange_keys][-1] == key
    assert len(offered().exchange_keys) == 2
    assert Entry.objects.filter(kind="key.rotated").count() == 2  # document and sealing, once each


def test_another_account_is_refused(tmp_path):
    path = tmp_path / "other.key.json"
    keyfiles.save(keyfiles.generate("other"), path)

    with pytest.raises(KeyRotationInvalid):
        exchange_rotation.rotate_exchange_key(new=path)

    assert SigningKey.objects.filter(valid_to__isnull=False).count() == 0


def test_who_pinned_the_old_keys_follows_every_kind_of_change(exchange):
    pinned = offered()
    rotate()
    call_command("rotate_log_key")
    held = members.with_keys(members.organization())
    organization = SigningKey.objects.get(value=held.document_key).organization
    record(2)
    rotate()
    call_command("open_log_shard", origin="hengshu.example/ledger/2027")
    call_command("open_log_shard", origin="hengshu.example/ledger/2027")
    document = members.revocation(organization, ("document", held.document_key), by=held.document)
    key_revocations.withdraw(document=document)
    ledger.seal()

    new = offered()
    key_history.check(history(), pinned=pinned, offered=new)

    assert len(new.exchange_keys) == 3
    assert [len(log.keys) for log in new.logs] == [2, 1]
    assert len(new.revoked) == 1
    key_history.check(history(), pinned=new, offered=new)


def test_what_the_history_does_not_prove_is_refused(exchange):
    pinned = offered()
    key = rotate()
    new = offered()
    thief = keyfiles.generate("thief").document_key
    swapped = replace(new, exchange_keys=(new.exchange_keys[0], Window(thief, new.exchange_keys[1].since)))
    earlier = replace(
        new,
        exchange_keys=(
            Window(new.exchange_keys[0].key, 0, HANDOVER + 1),
            Window(key, 1),
        ),
    )

    key_history.check(history(), pinned=pinned, offered=new)
    assert refused(pinned, swapped) == "POLICY_NOT_PROVEN"
    assert refused(pinned, replace(new, exchange_keys=(Window(key),))) == "POLICY_NOT_PROVEN"  # forgets the old one
    assert refused(pinned, earlier) == "POLICY_NOT_PROVEN"
    witness = cosignatures.vkey("w.example", own_keys.log_keys().document.public_key())
    assert refused(pinned, replace(new, witnesses=Witnesses((witness,), 0))) == "POLICY_NOT_PROVEN"
    assert refused(pinned, replace(new, revoked=(Revoked(key, new.log_origin, 1),))) == "POLICY_NOT_PROVEN"
    chain = policies.Chain(1, "0x" + "11" * 20)
    assert refused(pinned, replace(new, chain=chain)) == "POLICY_NOT_PROVEN"
    assert refused(pinned, new, b'{"entries":[],"type":"hengshu/key-history/v1"}') == "POLICY_NOT_PROVEN"


def test_a_withdrawal_never_disappears_from_a_policy(exchange):
    held = members.with_keys(members.organization())
    organization = SigningKey.objects.get(value=held.document_key).organization
    document = members.revocation(organization, ("document", held.document_key), by=held.document)
    key_revocations.withdraw(document=document)
    ledger.seal()
    pinned = offered()
    assert pinned.revoked

    assert refused(pinned, replace(pinned, revoked=())) == "POLICY_NOT_PROVEN"


def test_a_new_log_or_log_key_without_the_old_ones_signature_is_refused(exchange, tmp_path):
    pinned = offered()
    call_command("rotate_log_key")
    new = offered()
    text = json.loads(history())
    forged = copy.deepcopy(text)
    (entry,) = [item for item in forged["entries"] if item["payload"].get("successor")]
    entry["payload"]["document"]["proof"] = entry["payload"]["document"]["proof"][1:]

    key_history.check(text, pinned=pinned, offered=new)
    # An altered payload no longer opens the leaf's commitment; one that was logged so lacks a signature.
    assert refused(pinned, new, json.dumps(forged).encode()) in {"SIGNATURE_MISSING", "COMMITMENT_INVALID"}
    assert refused(pinned, new, b'{"entries":[],"type":"hengshu/key-history/v1"}') == "POLICY_NOT_PROVEN"
    other = replace(new.logs[0], keys=(new.logs[0].keys[0],))
    assert refused(pinned, replace(new, logs=(other,))) == "POLICY_NOT_PROVEN"


@pytest.mark.parametrize("cut", ["leaf", "salt", "path", "checkpoint", "index"])
def test_an_altered_history_proves_nothing(exchange, cut):
    pinned = offered()
    record(5)
    rotate()
    new, text = offered(), json.loads(history())
    entry = text["entries"][-1]
    if cut == "path":
        entry["path"] = entry["path"][:-1]
    elif cut == "index":
        entry["index"] += 1
    else:
        entry[cut] = entry[cut].replace("1", "2", 1) if "1" in entry[cut] else entry[cut][:-1]

    with pytest.raises(VerificationError):
        key_history.check(json.dumps(text).encode(), pinned=pinned, offered=new)


def test_a_lost_or_stolen_log_key_needs_people(exchange):
    """Without a document that the old key signs, nobody can follow by machine: a fork is no rotation."""
    pinned = offered()
    stranger = keyfiles.generate("stranger")
    new = replace(
        pinned,
        logs=(
            policies.Log(
                pinned.log_origin, (Window(shards.notes.vkey(pinned.log_origin, stranger.document.public_key())),)
            ),
        ),
    )

    assert refused(pinned, new) == "POLICY_NOT_PROVEN"
