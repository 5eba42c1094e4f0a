"""Public keys: brought on a card, in force for an interval, never used twice."""

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from compute.protocol import key_documents, keyfiles
from exchange.members.actions import key_revocations, keys
from exchange.members.errors import (
    KeyCardInvalid,
    KeyChangesTooMany,
    KeyRotationInvalid,
    KeyRotationMissing,
    KeyTaken,
)
from exchange.members.models import SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.models import Entry
from ledger.proofs import statements
from tests.factories import members

pytestmark = pytest.mark.django_db


def test_a_card_brings_three_keys_and_three_entries():
    organization = members.organization()
    made = members.with_keys(organization)

    assert keys.valid_key(organization, KeyPurpose.DOCUMENT) == made.document_key
    assert keys.valid_key(organization, KeyPurpose.CHAIN) == made.chain_address
    assert keys.valid_key(organization, KeyPurpose.SEALING) == made.sealing_key
    assert [entry.kind for entry in Entry.objects.about(organization.urn)] == ["key.registered"] * 3


def test_the_same_card_again_changes_nothing():
    organization = members.organization()
    card = keyfiles.generate("a").card(created=members.CREATED)

    assert keys.register(organization=organization, card=card) == keys.register(organization=organization, card=card)
    assert SigningKey.objects.count() == 3


def test_nobody_changes_keys_for_fun(monkeypatch):
    """Every withdrawn key stays in everybody's policy: at most so many new ones, and the present card still counts."""
    monkeypatch.setattr(keys, "MAX_NEW_KEYS", 3)
    organization = members.organization()
    card = keyfiles.generate("a").card(created=members.CREATED)
    keys.register(organization=organization, card=card)
    SigningKey.objects.update(revoked_at=timezone.now(), revoked_reason="lost")
    another = keyfiles.generate("b").card(created=members.CREATED)

    with pytest.raises(KeyChangesTooMany):
        keys.register(organization=organization, card=another)

    SigningKey.objects.update(valid_from=timezone.now() - keys.PACE_PERIOD)
    assert len(keys.register(organization=organization, card=another)) == 3


@pytest.mark.parametrize("member", ["name", "document_key", "chain_address", "sealing_key"])
def test_a_changed_card_is_refused(member):
    card = keyfiles.generate("a").card(created=members.CREATED)
    other = keyfiles.generate("b").card(created=members.CREATED)
    card[member] = other[member]

    with pytest.raises(KeyCardInvalid):
        keys.register(organization=members.organization(), card=card)

    assert not SigningKey.objects.exists()


def test_a_card_without_a_signature_is_refused():
    card = keyfiles.generate("a").card(created=members.CREATED)
    del card["proof"]

    with pytest.raises(KeyCardInvalid):
        keys.register(organization=members.organization(), card=card)


def test_a_key_of_another_member_is_refused():
    first, second = members.organization(), members.organization()
    card = keyfiles.generate("a").card(created=members.CREATED)
    keys.register(organization=first, card=card)

    with pytest.raises(KeyTaken):
        keys.register(organization=second, card=card)


def test_rotated_keys_keep_their_past():
    organization = members.organization()
    with time_machine.travel("2026-11-01T00:00:00Z", tick=False):
        old = members.with_keys(organization)
    with time_machine.travel("2026-11-10T00:00:00Z", tick=False):
        new = members.with_new_keys(organization, old)

    early = SigningKey.objects.get(value=old.document_key)
    assert early.valid_to.isoformat() == "2026-11-10T00:00:00+00:00"
    assert keys.is_valid_key(organization, KeyPurpose.DOCUMENT, old.document_key, at=early.valid_from)
    assert not keys.is_valid_key(organization, KeyPurpose.DOCUMENT, old.document_key)
    assert keys.valid_key(organization, KeyPurpose.DOCUMENT) == new.document_key


def test_a_rotated_key_never_comes_back():
    organization = members.organization()
    old = members.with_keys(organization)
    new = members.with_new_keys(organization, old)

    with pytest.raises(KeyTaken):
        keys.rotate(organization=organization, document=members.rotation(organization, new, old))


def test_an_address_in_other_capitals_is_not_another_key():
    made = keyfiles.generate("a")
    card = {**made.card(created=members.CREATED), "chain_address": made.chain_address.lower()}
    signed = statements.sign(card, key=made.document, created=members.CREATED)

    with pytest.raises(KeyCardInvalid):
        keys.register(organization=members.organization(), card=signed)


def test_a_card_alone_replaces_nothing():
    organization = members.organization()
    old = members.with_keys(organization)

    with pytest.raises(KeyRotationMissing):
        keys.register(organization=organization, card=keyfiles.generate("thief").card(created=members.CREATED))

    assert keys.valid_key(organization, KeyPurpose.DOCUMENT) == old.document_key
    assert SigningKey.objects.count() == 3


def test_a_rotation_is_logged_with_its_document_once():
    organization = members.organization()
    old, new = members.with_keys(organization), keyfiles.generate("new")
    document = members.rotation(organization, old, new)

    first = keys.accept(organization=organization, document=document)
    again = keys.accept(organization=organization, document=document)

    assert [key.pk for key in first] == [key.pk for key in again]
    entries = Entry.objects.filter(kind="key.rotated", subject=organization.urn)
    assert entries.count() == 3
    payload = ledger.payload_of(entries.get(key=f"key-rotated:{key_documents.key_digest(new.document_key)}"))
    assert (payload["value"], payload["successor"]) == (old.document_key, new.document_key)
    key_documents.verify_rotation(payload["document"])


def test_a_rotation_and_its_entries_are_one_transaction(monkeypatch):
    organization = members.organization()
    old = members.with_keys(organization)
    monkeypatch.setattr(ledger, "record_rotation", lambda **_: 1 / 0)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        members.with_new_keys(organization, old)

    assert keys.valid_key(organization, KeyPurpose.DOCUMENT) == old.document_key


def test_a_rotation_from_keys_that_are_not_in_force_is_refused():
    organization = members.organization()
    first = members.with_keys(organization)
    members.with_new_keys(organization, first)

    with pytest.raises(KeyRotationInvalid):
        members.with_new_keys(organization, first)
    with pytest.raises(KeyRotationInvalid):
        members.with_new_keys(organization, keyfiles.generate("stranger"))


def test_a_rotation_of_another_organisation_is_refused():
    mine, other = members.organization(), members.organization()
    old = members.with_keys(mine)
    document = members.rotation(other, old, keyfiles.generate("new"))

    with pytest.raises(KeyRotationInvalid):
        keys.rotate(organization=mine, document=document)


def test_a_rotation_must_name_every_key_that_the_card_changes():
    organization = members.organization()
    old, new = members.with_keys(organization), keyfiles.generate("new")
    document = members.rotation(organization, old, new)
    document["keys"] = [item for item in document["keys"] if item["purpose"] != "chain"]
    for one in (old, new):
        document = statements.sign(document, key=one.document, created=members.CREATED)

    with pytest.raises(KeyRotationInvalid):
        keys.rotate(organization=organization, document=document)

    assert keys.valid_key(organization, KeyPurpose.CHAIN) == old.chain_address


def test_a_sealing_key_needs_a_document_key_in_force_to_vouch_for_it():
    organization = members.organization()
    old = members.with_keys(organization)
    held = [("document", old.document_key), ("chain", old.chain_address)]
    key_revocations.withdraw(document=members.revocation(organization, *held, by=old.document))
    thief = keyfiles.generate("thief")
    document = members.rotation(organization, keyfiles.KeyFile("x", thief.document, thief.chain, old.sealing), thief)
    with pytest.raises(KeyRotationInvalid):
        keys.rotate(organization=organization, document=document)
