"""From a signed request to a verified receipt, with nodes that speak the real protocol in this process."""

import base64

import pytest
from django.test import Client
from django.utils import timezone

from compute.actions import computations, results
from compute.models import Authorization, Computation, NodeTask, Result
from compute.protocol import operations, sealing
from contracts.models import Account, Reservation, UsageRecord
from ledger import actions as ledger
from ledger.models import Entry
from ledger.proofs import canonical, receipts, statements
from tests.factories.compute import World, keys_of, run_to_ready, settle

pytestmark = pytest.mark.django_db(transaction=True)

OPERATIONS = [operations.JOINT_STATISTICS, operations.ALIGNED_STATISTICS]


def computed(world: World) -> Computation:
    """A computation taken to its end."""
    computation = computations.submit(document=world.request(), by=world.buyer)
    nodes = world.nodes()
    for node in nodes:
        assert [answer.status for answer in node.consent()] == [200]
    settle(computation)
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().body == {"accepted": True}
    return settle(computation)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_becomes_one_released_result_with_one_charge(operation):
    world = World(operation=operation)

    computation = computed(world)

    assert computation.state == "released"
    assert UsageRecord.objects.count() == 1
    assert UsageRecord.objects.get().report_digests == sorted(
        NodeTask.objects.filter(computation=computation).values_list("report_digest", flat=True)
    )
    assert Reservation.objects.get().state == "committed"
    assert world.escrow_fen() == 1_000_000 - 50_000
    assert sum(Account.objects.values_list("balance_fen", flat=True)) == 0
    kinds = list(Entry.objects.about(computation.urn).values_list("kind", flat=True))
    for kind in ("computation.requested", "computation.authorized", "result.accepted", "result.released"):
        assert kinds.count(kind) == 1
    assert kinds.count("settlement.charged") == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_receipt_verifies_offline_and_is_written_once(operation):
    world = World(operation=operation)
    computation = computed(world)

    bundle = results.receipt_of(computation)

    checks = receipts.verify(bundle, policy=ledger.trust_policy())
    assert [check.name for check in checks if check.status is receipts.Status.FAIL] == []
    assert receipts.accepted(checks)
    assert results.write_receipt(computation=computation, now=timezone.now()) == bundle
    assert canonical.parse_canonical(bundle)["number"] == Result.objects.get().number


def test_the_ranks_are_those_of_the_contract_and_the_buyer_is_no_party():
    world = World(operation=operations.ALIGNED_STATISTICS)
    computation = computed(world)

    job = Authorization.objects.get().job

    assert [world.name_of(party["organization"]) for party in job["parties"]] == ["fund-a", "fund-b", "helper"]
    assert [party["role"] for party in job["parties"]] == ["data", "data", "compute"]
    assert job["id"] == computation.urn


def test_the_buyer_fetches_parts_that_only_its_key_opens():
    world = World()
    computation = computed(world)
    http = Client()
    http.force_login(world.buyer.user)

    answer = http.get(f"/api/v1/computations/{computation.ref}/result/").json()

    assert answer["receipt_ready"] is True
    digest = statements.digest(answer["job"])
    for part in answer["parts"]:
        info = sealing.part_context(job_digest=digest, rank=part["rank"])
        opened = sealing.open_sealed(base64.b64decode(part["sealed_part"]), key=keys_of("bank").sealing, info=info)
        assert opened == b'{"shares":[1,2,3]}'


def test_before_release_there_is_no_result_and_no_receipt():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)
    http = Client()
    http.force_login(world.buyer.user)

    for what in ("result", "receipt"):
        answer = http.get(f"/api/v1/computations/{computation.ref}/{what}/")
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_RELEASED")


def test_a_provider_gets_the_receipt_but_never_the_parts():
    world = World()
    computation = computed(world)
    http = Client()
    http.force_login(world.provider.user)

    receipt = http.get(f"/api/v1/computations/{computation.ref}/receipt/")
    result = http.get(f"/api/v1/computations/{computation.ref}/result/")

    assert receipt.content == results.receipt_of(computation)
    assert receipt.headers["Content-Disposition"].startswith('attachment; filename="UMR-HS-')
    assert (result.status_code, result.json()["code"]) == (403, "PERMISSION_REFUSED")


def test_an_outsider_does_not_learn_that_a_computation_exists():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)
    from exchange.members.permissions import Role
    from tests.factories.compute import member, organization

    outsider = member(organization("outsider"), Role.BUYER)
    http = Client()
    http.force_login(outsider.user)

    answer = http.get(f"/api/v1/computations/{computation.ref}/")

    assert answer.status_code == 404


def test_the_detail_shows_progress_and_evidence():
    world = World()
    computation = computed(world)
    http = Client()
    http.force_login(world.buyer.user)

    answer = http.get(f"/api/v1/computations/{computation.ref}/").json()

    assert [party["state"] for party in answer["parties"]] == ["submitted", "submitted"]
    assert [party["percent"] for party in answer["parties"]] == [100, 100]
    assert all(step["checkpoint_size"] for step in answer["timeline"])
    assert answer["policy"]["rule"] == "P5"


def test_a_post_of_the_request_is_answered_once_and_makes_one_computation():
    world = World()
    http = Client()
    http.force_login(world.buyer.user)
    document = world.request()

    answers = [
        http.post("/api/v1/computations/", data={"request": document}, content_type="application/json")
        for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["ref"] for answer in answers}) == 1
    assert Computation.objects.count() == 1
    assert Reservation.objects.count() == 1
