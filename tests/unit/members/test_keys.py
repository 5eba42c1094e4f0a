"""Public keys: brought on a card, in force for an interval, never used twice."""

import pytest
import time_machine

from compute.protocol import keyfiles
from exchange.members.actions import keys
from exchange.members.errors import KeyCardInvalid, KeyMissing, KeyTaken
from exchange.members.models import SigningKey
from exchange.members.states import KeyPurpose
from ledger.models import Entry
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
        new = members.with_keys(organization)

    early = SigningKey.objects.get(value=old.document_key)
    assert early.valid_to.isoformat() == "2026-11-10T00:00:00+00:00"
    assert keys.is_valid_key(organization, KeyPurpose.DOCUMENT, old.document_key, at=early.valid_from)
    assert not keys.is_valid_key(organization, KeyPurpose.DOCUMENT, old.document_key)
    assert keys.valid_key(organization, KeyPurpose.DOCUMENT) == new.document_key


def test_a_rotated_key_never_comes_back():
    organization = members.organization()
    card = keyfiles.generate("a").card(created=members.CREATED)
    keys.register(organization=organization, card=card)
    members.with_keys(organization)

    with pytest.raises(KeyTaken):
        keys.register(organization=organization, card=card)


def test_a_revoked_key_counts_no_longer():
    organization = members.organization()
    members.with_keys(organization)
    key = organization.keys.current().for_purpose(KeyPurpose.DOCUMENT).get()

    keys.revoke(key=key, reason="laptop stolen")
    keys.revoke(key=key, reason="asked twice")

    with pytest.raises(KeyMissing):
        keys.valid_key(organization, KeyPurpose.DOCUMENT)
    assert Entry.objects.filter(kind="key.revoked").count() == 1
