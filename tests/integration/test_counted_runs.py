"""A costly run waits for the chain's total; without sight of the chain nothing new is authorized."""

from datetime import timedelta

import pytest
from django.utils import timezone

from compute.actions import advance, computations, dispatch
from compute.models import Computation, NodeTask
from compute.protocol import operations
from contracts.actions import grants
from contracts.models import Meter, Reservation, UsageRecord
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import anchoring, deployments
from ledger.backends.base import own_call
from ledger.backends.evm import EVMBackend
from ledger.errors import ChainDownTooLong
from ledger.models import ChainDeployment
from ledger.proofs import grants as chain_grants
from tests.factories.compute import World, keys_of, run_to_ready, settle
from tests.unit.ledger.test_chain_events import send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chain]


@pytest.fixture
def chain(chain_rpc, settings):
    settings.CHAIN_CONTRACT_ADDRESS = ""
    settings.CHAIN_RPC_URL = chain_rpc
    made = EVMBackend(chain_rpc)
    deployments.deploy(backend=made, anchor=own_keys.log_keys(), record=own_keys.exchange_keys())
    return made


@pytest.fixture
def world(chain) -> World:
    made = World(operation=operations.ALIGNED_STATISTICS, chain=True)
    for name in ("fund-a", "fund-b"):
        wanted = grants.expected(made.contract, organization=made.organizations[name].urn)
        keys = keys_of(name)
        chain.fund(keys.chain_address)
        send(chain, deployments.current_deployment(), own_call("grant", wanted), by=keys)
    # The providers told the chain, not us: the exchange reads it there.
    ledger.read_chain_events(backend=chain)
    assert made.contract.grants.count() == 2
    return made


def asked(world: World) -> tuple[Computation, list]:
    computation = computations.submit(document=world.request(), by=world.buyer)
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    return settle(computation), nodes


def totals(chain, world) -> set[int]:
    place = deployments.current_deployment().contract_address
    return {chain.grant(place, grant_id).used for grant_id in world.contract.grants.values_list("grant_id", flat=True)}


def test_a_costly_run_is_dispatched_once_the_chain_has_counted_it(chain, world):
    computation, nodes = asked(world)
    assert (computation.state, totals(chain, world)) == ("authorized", {0})
    assert not NodeTask.objects.exists()

    ledger.send_chain_records(backend=chain)
    computation = settle(computation)

    assert (computation.state, totals(chain, world)) == ("dispatched", {1})
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().body == {"accepted": True}
    settle(computation)
    anchoring.anchor_pass(backend=chain)
    assert settle(computation).state == "released"
    ledger.send_chain_records(backend=chain)
    assert totals(chain, world) == {1}


def test_a_run_under_a_grant_that_was_revoked_on_the_chain_ends_for_nothing(chain, world):
    computation, _ = asked(world)
    keys = keys_of("fund-a")
    grant_id = chain_grants.grant_id(grantor=keys.chain_address, terms_digest=world.contract.terms_digest)
    send(chain, deployments.current_deployment(), own_call("revoke", {"grant_id": grant_id}), by=keys)

    ledger.send_chain_records(backend=chain)
    computation = settle(computation)

    assert (computation.state, computation.end_code) == ("rejected", "CONTRACT_REVOKED")
    assert Reservation.objects.get().state == "released"
    assert (Meter.objects.get().reserved, UsageRecord.objects.count()) == (0, 0)
    assert not NodeTask.objects.exists()


def test_while_the_chain_is_silent_a_costly_run_waits_and_ends_with_its_request(chain, world):
    computation, _ = asked(world)
    for _ in range(2):
        computation = settle(computation)
    assert computation.state == "authorized"
    dispatch.expire(now=timezone.now() + timedelta(hours=3))
    computation.refresh_from_db()
    assert (computation.state, computation.end_code) == ("expired", "REQUEST_EXPIRED")
    assert Meter.objects.get().reserved == 0


def test_without_that_waiting_nodes_would_run_uncounted(chain, world, settings):
    """The sister: the operator's setting off, the run goes out at once."""
    settings.METER_ON_CHAIN_BEFORE = []
    computation, _ = asked(world)
    assert (computation.state, totals(chain, world)) == ("dispatched", {0})


def test_the_chain_may_be_silent_for_the_bound_and_no_longer(chain):
    world = World(choices={"max_concurrency": 4})
    anchoring.anchor_pass(backend=chain)
    first = computations.submit(document=world.request(), by=world.buyer)

    ChainDeployment.objects.update(seen_at=timezone.now() - timedelta(hours=3, minutes=59))
    second = computations.submit(document=world.request(), by=world.buyer)  # sales go on

    ChainDeployment.objects.update(seen_at=timezone.now() - timedelta(hours=4, minutes=1))
    for node in world.nodes():
        node.consent()
    assert {settle(first).state, settle(second).state} == {"consenting"}  # nothing new is authorized
    with pytest.raises(ChainDownTooLong):
        computations.submit(document=world.request(), by=world.buyer)

    anchoring.anchor_pass(backend=chain)  # the chain is back; nobody does anything
    advance.advance_all(now=timezone.now())
    assert settle(first).state == "dispatched"
    assert computations.submit(document=world.request(), by=world.buyer).state == "consenting"


def test_without_a_chain_there_is_no_such_bound(settings, chain):
    ChainDeployment.objects.update(seen_at=timezone.now() - timedelta(days=400))
    settings.CHAIN_RPC_URL = ""
    world = World()
    assert computations.submit(document=world.request(), by=world.buyer).state == "consenting"
