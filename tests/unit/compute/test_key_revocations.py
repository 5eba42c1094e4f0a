"""A withdrawn key stops what it signed: what is asked for, what waits, what runs; and the nodes are told."""

from datetime import timedelta

import pytest
from django.utils import timezone

from compute.actions import computations
from compute.errors import RequestSignatureInvalid
from compute.models import Computation
from compute.protocol import key_documents
from contracts.models import Meter, UsageRecord
from exchange.members.actions import key_revocations, keys
from exchange.members.errors import KeyRevoked
from exchange.members.signals import key_revoked
from ledger import actions as ledger
from ledger import keys as ledger_keys
from ledger.models import Entry
from tests.factories import members
from tests.factories.compute import World, keys_of, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World()


def withdraw(world, name, *purposes):
    key = keys_of(name)
    texts = {"document": key.document_key, "chain": key.chain_address, "sealing": key.sealing_key}
    held = [(purpose, texts[purpose]) for purpose in purposes]
    document = members.revocation(world.organizations[name], *held, by=key.document)
    key_revocations.withdraw(document=document)
    return document


def outcome(computation):
    computation.refresh_from_db()
    return computation.state, computation.end_code, Meter.objects.get().reserved, UsageRecord.objects.count()


@pytest.mark.parametrize(("name", "purpose"), [("fund-a", "document"), ("fund-b", "chain"), ("bank", "sealing")])
def test_nothing_is_asked_for_under_a_contract_that_names_a_withdrawn_key(world, name, purpose):
    withdraw(world, name, purpose)

    with pytest.raises(KeyRevoked):
        computations.submit(document=world.request(), by=world.buyer)

    assert not Computation.objects.exists()


def test_a_request_of_a_withdrawn_key_is_refused(world):
    withdraw(world, "bank", "document")

    with pytest.raises(RequestSignatureInvalid):
        computations.submit(document=world.request(), by=world.buyer)


def test_a_key_that_was_replaced_in_order_stops_no_other_party(world):
    keys.rotate(
        organization=world.organizations["fund-b"],
        document=members.rotation(world.organizations["fund-b"], keys_of("fund-b"), keys_of("fund-b-next")),
    )

    assert computations.submit(document=world.request(), by=world.buyer).state == "consenting"


@pytest.mark.parametrize("state", ["consenting", "authorized", "dispatched"])
def test_what_is_under_way_ends_with_the_withdrawal(world, state):
    computation = computations.submit(document=world.request(), by=world.buyer)
    if state != "consenting":
        for node in world.nodes():
            node.consent()
    if state == "dispatched":
        assert settle(computation).state == "dispatched"

    withdraw(world, "fund-b", "document")

    assert outcome(computation) == ("withheld", "KEY_REVOKED", 0, 0)


def test_without_the_listener_it_ends_at_the_next_step(world):
    computation = computations.submit(document=world.request(), by=world.buyer)
    for node in world.nodes():
        node.consent()
    receivers, key_revoked.receivers = key_revoked.receivers, []
    key_revoked.sender_receivers_cache.clear()
    try:
        withdraw(world, "fund-b", "document")
    finally:
        key_revoked.receivers = receivers
        key_revoked.sender_receivers_cache.clear()

    computation.refresh_from_db()
    if computation.state == "consenting":
        settle(computation)
    assert outcome(computation)[:2] in {("rejected", "KEY_REVOKED"), ("withheld", "KEY_REVOKED")}


def test_the_exchanges_own_key_takes_all_its_jobs_with_it(world):
    computation = computations.submit(document=world.request(), by=world.buyer)
    for node in world.nodes():
        node.consent()
    assert settle(computation).state == "dispatched"
    own = ledger_keys.exchange_keys()
    document = members.revocation(world.exchange, ("document", own.document_key), by=own.document)

    key_revocations.withdraw(document=document)

    assert outcome(computation)[:2] == ("withheld", "KEY_REVOKED")


def test_nodes_are_told_of_their_partners_keys_and_of_no_others(world):
    fund, stranger = world.nodes()[0], members.organization()
    held = members.with_keys(stranger)
    key_revocations.withdraw(document=members.revocation(stranger, ("document", held.document_key), by=held.document))
    document = withdraw(world, "bank", "document", "sealing")

    answer = fund.call("poll")

    assert answer.body["key_revocations"] == [document]
    key_documents.verify_revocation(answer.body["key_revocations"][0])


def test_the_leaf_of_a_withdrawal_comes_behind_what_was_logged_before(world):
    computation = computations.submit(document=world.request(), by=world.buyer)
    ledger.seal()
    withdraw(world, "bank", "document")
    ledger.seal()

    (revoked,) = [item for item in ledger.trust_policy().revoked if item.key == keys_of("bank").document_key]
    requested = Entry.objects.get(kind="computation.requested", subject=computation.urn)
    policy = ledger.trust_policy()
    assert policy.counts_at(revoked.key, requested.leaf.index)
    ended = Entry.objects.get(kind="result.withheld", subject=computation.urn)
    assert not policy.counts_at(revoked.key, ended.leaf.index)
    assert timezone.now() - ended.at < timedelta(minutes=5)
