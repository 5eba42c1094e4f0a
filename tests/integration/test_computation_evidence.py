"""When evidence must exist: a checkpoint before dispatch and release, and an anchor where the contract says so."""

import pytest
from django.utils import timezone

from compute.actions import advance, computations, results
from compute.errors import NotReleased
from compute.models import NodeTask
from compute.protocol import documents
from contracts.models import UsageRecord
from ledger import actions as ledger
from ledger.models import Anchor, ChainDeployment, Checkpoint
from ledger.proofs import canonical, receipts
from tests.factories.compute import World, run_to_ready, settle

pytestmark = pytest.mark.django_db(transaction=True)


def delivered(world):
    computation = computations.submit(document=world.request(), by=world.buyer)
    nodes = world.nodes()
    for node in nodes:
        node.consent()
    settle(computation)
    run_to_ready(nodes)
    for node in nodes:
        node.submit()
    return computation


def anchor_everything() -> Anchor:
    """What the anchoring pass writes once the chain has confirmed the newest checkpoint."""
    deployment, _ = ChainDeployment.objects.get_or_create(
        chain_id=31337,
        genesis_hash="0x" + "1" * 64,
        contract_address="0x" + "2" * 40,
        defaults={"code_hash": "0x" + "3" * 64, "epoch": 1},
    )
    newest = Checkpoint.objects.latest_or_none()
    return Anchor.objects.create(
        deployment=deployment,
        log=newest.log,
        size=newest.size,
        root=newest.root,
        block_number=newest.size,
        block_hash="0x" + "4" * 64,
        transaction_hash="0x" + "5" * 64,
    )


def test_nothing_is_dispatched_before_the_authorization_is_under_a_checkpoint():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)
    for node in world.nodes():
        node.consent()

    advance.advance_all(now=timezone.now())
    advance.advance_all(now=timezone.now())
    computation.refresh_from_db()
    assert computation.state == "authorized"
    assert NodeTask.objects.exists() is False

    ledger.seal()
    advance.advance_all(now=timezone.now())
    computation.refresh_from_db()
    assert computation.state == "dispatched"


def test_nothing_is_released_before_the_acceptance_is_under_a_checkpoint():
    world = World()
    computation = delivered(world)

    advance.advance_all(now=timezone.now())
    computation.refresh_from_db()
    assert computation.state == "sealed"
    assert UsageRecord.objects.count() == 1

    assert settle(computation).state == "released"


def test_a_contract_that_wants_the_chain_waits_for_it(settings):
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"
    world = World(chain=True)
    computation = delivered(world)

    assert settle(computation).state == "sealed"
    anchor_everything()
    assert settle(computation).state == "released"
    with pytest.raises(NotReleased):
        results.receipt_of(computation)

    anchor = anchor_everything()
    settle(computation)
    bundle = canonical.parse_canonical(results.receipt_of(computation))
    documents.check_receipt_bundle(bundle)
    assert bundle["anchor"]["size"] == anchor.size
    checks = receipts.verify(results.receipt_of(computation), policy=ledger.trust_policy())
    assert receipts.accepted(checks)
    assert next(check for check in checks if check.name == "anchor").status is receipts.Status.PASS
    assert UsageRecord.objects.count() == 1


def test_without_a_chain_the_log_alone_is_the_evidence(settings):
    settings.CHAIN_RPC_URL = ""
    world = World(chain=True)
    computation = delivered(world)

    assert settle(computation).state == "released"
    assert canonical.parse_canonical(results.receipt_of(computation))["anchor"] is None
