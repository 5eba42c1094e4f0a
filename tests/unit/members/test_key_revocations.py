"""Withdrawn keys: who may withdraw which, once, in the log, and what stops then."""

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from compute.protocol import key_documents, keyfiles
from compute.protocol.key_documents import Reason
from exchange.kernel.errors import DomainError
from exchange.members.actions import key_revocations, keys
from exchange.members.errors import KeyMissing, KeyRevocationInvalid, KeyRevoked, ReasonMissing
from exchange.members.exchange_keys import exchange_keys
from exchange.members.models import SigningKey
from exchange.members.states import KeyPurpose
from ledger import actions as ledger
from ledger.actions.key_life import logged_revocations
from ledger.models import Entry
from tests.factories import members

pytestmark = pytest.mark.django_db


class World:
    def __init__(self):
        self.organization = members.organization()
        self.keys = members.with_keys(self.organization)
        self.document = ("document", self.keys.document_key)
        self.chain = ("chain", self.keys.chain_address)
        self.sealing = ("sealing", self.keys.sealing_key)

    def withdraw(self, *held, by):
        document = members.revocation(self.organization, *held, by=by)
        return key_revocations.withdraw(document=document)

    def in_force(self):
        return {key.purpose for key in self.organization.keys.current()}


def test_a_stolen_key_withdraws_itself():
    world = World()

    world.withdraw(world.document, by=world.keys.document)

    assert world.in_force() == {"chain", "sealing"}
    with pytest.raises(KeyMissing):
        keys.valid_key(world.organization, KeyPurpose.DOCUMENT)


@pytest.mark.parametrize("by", ["document", "chain"])
def test_a_key_in_force_withdraws_all_of_its_organisation(by):
    world = World()

    world.withdraw(world.document, world.chain, world.sealing, by=getattr(world.keys, by))

    assert world.in_force() == set()
    assert Entry.objects.filter(kind="key.revoked", subject=world.organization.urn).count() == 3


def test_the_exchange_withdraws_a_lost_key_and_the_entry_says_so():
    world = World()
    key = world.organization.keys.get(purpose="document")

    key_revocations.revoke(key=key, reason="laptop stolen", code=Reason.LOST)
    key_revocations.revoke(key=key, reason="asked twice")

    entry = Entry.objects.get(kind="key.revoked")
    payload = ledger.payload_of(entry)
    assert (payload["author"], payload["reason"]) == ("exchange", "lost")
    assert payload["document"]["revoked_by"] == exchange_keys().document_key
    key_documents.verify_revocation(payload["document"])
    assert "laptop" not in str(payload)
    key.refresh_from_db()
    assert key.revoked_reason == "laptop stolen"
    with pytest.raises(ReasonMissing):
        key_revocations.revoke(key=key, reason=" ")


def test_staff_withdraw_a_lost_key_by_command():
    world = World()

    call_command("revoke_key", world.keys.document_key, reason="the disk is gone")
    call_command("revoke_key", world.keys.document_key, reason="the disk is gone")
    with pytest.raises(CommandError):
        call_command("revoke_key", "did:key:z6MkUnknown", reason="a typing error")

    assert world.in_force() == {"chain", "sealing"}
    assert Entry.objects.filter(kind="key.revoked").count() == 1


def test_after_a_loss_a_new_card_is_enough():
    world = World()
    for key in world.organization.keys.current():
        key_revocations.revoke(key=key, reason="the disk is gone", code=Reason.LOST)

    new = members.with_keys(world.organization)

    assert keys.valid_key(world.organization, KeyPurpose.DOCUMENT) == new.document_key


def test_nobody_else_withdraws_a_key():
    world, other = World(), World()

    for by in (other.keys.document, other.keys.chain, keyfiles.generate("thief").document):
        with pytest.raises(KeyRevocationInvalid):
            world.withdraw(world.document, by=by)
    with pytest.raises(KeyRevocationInvalid):
        other.withdraw(world.document, by=other.keys.document)  # registered by somebody else

    assert world.in_force() == {"document", "chain", "sealing"}
    assert not Entry.objects.filter(kind="key.revoked").exists()


def test_a_withdrawn_key_withdraws_nothing_more():
    world = World()
    world.withdraw(world.document, by=world.keys.document)

    with pytest.raises(KeyRevocationInvalid):
        world.withdraw(world.chain, by=world.keys.document)
    with pytest.raises(KeyRevocationInvalid):
        world.withdraw(world.document, world.chain, by=world.keys.document)

    assert world.in_force() == {"chain", "sealing"}


def test_a_key_that_was_replaced_can_still_be_withdrawn():
    world = World()
    members.with_new_keys(world.organization, world.keys)

    world.withdraw(world.document, by=world.keys.document)

    assert SigningKey.objects.get(value=world.keys.document_key).revoked_at is not None
    assert world.in_force() == {"document", "chain", "sealing"}
    with pytest.raises(KeyRevoked):
        key_revocations.check_none_revoked([world.keys.document_key])


def test_a_key_rotated_out_in_order_still_counts_for_what_it_signed():
    world = World()
    members.with_new_keys(world.organization, world.keys)

    key_revocations.check_none_revoked([world.keys.document_key])


def test_a_document_changed_on_the_way_withdraws_nothing():
    world = World()
    document = members.revocation(world.organization, world.document, by=world.keys.chain)
    document["keys"].append({"purpose": "sealing", "key": world.keys.sealing_key})

    with pytest.raises(KeyRevocationInvalid):
        key_revocations.withdraw(document=document)

    assert world.in_force() == {"document", "chain", "sealing"}


def test_an_address_in_other_capitals_is_the_same_key():
    world = World()

    world.withdraw(("chain", world.keys.chain_address.lower()), by=world.keys.document)

    assert world.in_force() == {"document", "sealing"}


def test_the_policy_lists_withdrawn_keys_with_their_leaf():
    world = World()
    world.withdraw(world.document, by=world.keys.document)
    assert list(logged_revocations()) == []  # not before it is in the log

    ledger.seal()

    (found,) = logged_revocations()
    entry = Entry.objects.get(kind="key.revoked")
    assert (found.key, found.index) == (world.keys.document_key, entry.leaf.index)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_withdraw_a_key_once_and_a_rotation_does_not_slip_between():
    world = World()
    withdrawal = members.revocation(world.organization, world.document, by=world.keys.document)
    rotation = members.rotation(world.organization, world.keys, keyfiles.generate("new"))
    barrier, outcomes = threading.Barrier(3), []

    def work(act, document):
        try:
            barrier.wait()
            act(document)
            outcomes.append("done")
        except DomainError as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    acts = [
        (lambda document: key_revocations.withdraw(document=document), withdrawal),
        (lambda document: key_revocations.withdraw(document=document), withdrawal),
        (lambda document: keys.rotate(organization=world.organization, document=document), rotation),
    ]
    threads = [threading.Thread(target=work, args=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Entry.objects.filter(kind="key.revoked").count() == 1
    assert SigningKey.objects.get(value=world.keys.document_key).revoked_at is not None
    assert outcomes.count("done") >= 2
    assert set(outcomes) <= {"done", "KeyRotationInvalid"}
    for purpose in KeyPurpose:
        assert world.organization.keys.current().for_purpose(purpose).count() <= 1
