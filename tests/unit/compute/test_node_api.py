"""What nodes may say to the exchange, and every code with which they are turned down."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from compute.actions import computations, dispatch
from compute.models import DataNode, NodeTask, SealedPart, SeenMessage
from compute.protocol import shapes
from contracts.models import Meter, UsageRecord
from exchange.members.models import SigningKey
from ledger.models import Entry
from ledger.proofs import statements
from tests.factories.compute import World, keys_of, run_to_ready, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World()


@pytest.fixture
def nodes(world):
    return world.nodes()


@pytest.fixture
def computation(world):
    return computations.submit(document=world.request(), by=world.buyer)


@pytest.fixture
def dispatched(computation, nodes):
    """A computation whose tasks wait to be claimed."""
    for node in nodes:
        node.consent()
    assert settle(computation).state == "dispatched"
    return computation


def code(answer):
    return answer.status, answer.code


def outcome(computation):
    computation.refresh_from_db()
    return computation.state, computation.end_code, Meter.objects.get().reserved, UsageRecord.objects.count()


# --- the envelope --------------------------------------------------------------------------------------------


def test_a_poll_registers_the_node_and_shows_the_request(world, nodes, computation):
    answer = nodes[0].call("poll")

    assert answer.status == 200
    assert [pair["request"]["id"] for pair in answer.body["consent_requests"]] == [computation.urn]
    assert len(answer.body["consent_requests"][0]["contract"]["proof"]) == 3
    assert answer.body["tasks"] == []
    assert answer.body["revocations"] == []
    assert DataNode.objects.get().organization == world.organizations["fund-a"]
    assert Entry.objects.filter(kind="node.registered").count() == 1


def test_a_message_is_taken_once(nodes):
    message = nodes[0].message("poll", {})

    assert nodes[0].send("poll", message).status == 200
    assert code(nodes[0].send("poll", message)) == (409, "MESSAGE_REPLAYED")
    assert SeenMessage.objects.count() == 1


def test_two_organisations_may_use_one_nonce(nodes):
    nonce = "ab" * 16

    for node in nodes:
        message = node.message("poll", {}, nonce=nonce)
        assert node.send("poll", message).status == 200


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_from_another_time_is_refused(nodes, minutes):
    nodes[0].clock = lambda: timezone.now() + timedelta(minutes=minutes)

    assert code(nodes[0].call("poll")) == (401, "MESSAGE_OUT_OF_TIME")
    assert SeenMessage.objects.exists() is False


def test_a_message_for_another_verb_or_exchange_is_refused(nodes):
    node = nodes[0]

    assert code(node.send("claim", node.message("poll", {}))) == (400, "NODE_MESSAGE_INVALID")
    other = node.message("poll", {}, audience=keys_of("bank").document_key)
    assert code(node.send("poll", other)) == (400, "NODE_MESSAGE_INVALID")
    assert code(node.send("dance", node.message("poll", {}))) == (400, "NODE_MESSAGE_INVALID")


def test_a_message_signed_by_another_key_is_refused(nodes):
    nodes[0].keys = keys_of("stranger")

    assert code(nodes[0].call("poll")) == (401, "NODE_UNKNOWN")
    assert SeenMessage.objects.exists() is False


def test_a_changed_message_is_refused(nodes):
    message = nodes[0].message("poll", {})
    message["body"] = {"version": "9"}

    assert code(nodes[0].send("poll", message)) == (401, "NODE_UNKNOWN")


def test_a_revoked_key_is_refused(world, nodes):
    SigningKey.objects.filter(organization=world.organizations["fund-a"]).update(revoked_at=timezone.now())

    assert code(nodes[0].call("poll")) == (401, "NODE_UNKNOWN")


def test_a_suspended_organisation_is_refused(world, nodes):
    type(world.exchange).objects.filter(pk=world.organizations["fund-a"].pk).update(status="suspended")

    assert code(nodes[0].call("poll")) == (401, "NODE_UNKNOWN")


def test_a_body_without_its_members_is_refused(nodes):
    assert code(nodes[0].call("claim")) == (400, "NODE_MESSAGE_INVALID")
    assert code(nodes[0].call("claim", task="urn:hengshu:task:1")) == (400, "NODE_MESSAGE_INVALID")


def test_old_nonces_are_forgotten(nodes):
    nodes[0].call("poll")

    dispatch.expire(now=timezone.now() + timedelta(minutes=14))
    assert SeenMessage.objects.count() == 1
    dispatch.expire(now=timezone.now() + timedelta(minutes=16))
    assert SeenMessage.objects.count() == 0


# --- consent -------------------------------------------------------------------------------------------------


def test_consent_is_recorded_once(nodes, computation):
    pair = nodes[0].call("poll").body["consent_requests"][0]
    document = nodes[0].consent_to(pair)

    assert nodes[0].call("consent", consent=document).body == {"recorded": True}
    assert nodes[0].call("consent", consent=document).body == {"recorded": True}

    assert Entry.objects.filter(kind="consent.granted").count() == 1
    assert nodes[0].call("poll").body["consent_requests"] == []
    assert code(nodes[0].call("consent", consent=nodes[0].consent_to(pair))) == (409, "CONSENT_CLOSED")


def test_a_refusal_ends_the_computation_and_returns_the_quota(nodes, computation):
    nodes[1].consent(decision="refused", basis="per_run")

    assert outcome(computation) == ("rejected", "CONSENT_REFUSED", 0, 0)
    assert computation.end_party.name_en == "fund-b"


@pytest.mark.parametrize(
    "change",
    [
        {"request_digest": "0" * 64},
        {"terms_digest": "0" * 64},
        {"organization": "urn:hengshu:org:01JD00000000000000000000A1"},
        {"expires": "2026-01-01T00:00:00Z", "issued": "2025-01-01T00:00:00Z"},
    ],
    ids=["request", "terms", "organization", "expired"],
)
def test_a_consent_to_something_else_is_refused(nodes, computation, change):
    pair = nodes[0].call("poll").body["consent_requests"][0]
    document = statements.unsigned(nodes[0].consent_to(pair)) | change

    assert code(nodes[0].call("consent", consent=nodes[0].sign(document))) == (400, "CONSENT_INVALID")


def test_a_consent_signed_by_another_party_is_refused(nodes, computation):
    pair = nodes[0].call("poll").body["consent_requests"][0]
    document = statements.unsigned(nodes[0].consent_to(pair))

    assert code(nodes[0].call("consent", consent=nodes[1].sign(document))) == (400, "CONSENT_INVALID")


def test_a_contract_with_approval_per_run_wants_consent_for_the_run():
    world = World(choices={"approval": "per_run"})
    computations.submit(document=world.request(), by=world.buyer)
    node = world.nodes()[0]

    assert [code(answer) for answer in node.consent()] == [(400, "CONSENT_INVALID")]
    assert [answer.status for answer in node.consent(basis="per_run")] == [200]


# --- tasks ---------------------------------------------------------------------------------------------------


def test_nothing_is_dispatched_before_every_party_has_agreed(nodes, computation):
    nodes[0].consent()

    assert settle(computation).state == "consenting"
    assert NodeTask.objects.exists() is False


def test_a_task_is_claimed_once_with_all_that_must_be_checked(dispatched, nodes):
    answer = nodes[0].claim()

    assert (answer.status, answer.body["fencing_token"], answer.body["lease_seconds"]) == (200, 1, 30)
    assert set(answer.body["bundle"]) == {"contract", "request", "job", "consents", "authorization", "checkpoint"}
    assert answer.body["bundle"]["authorization"]["payload"]["job_digest"] == statements.digest(
        answer.body["bundle"]["job"]
    )
    assert code(nodes[0].claim()) == (409, "TASK_NOT_AVAILABLE")


def test_another_organisations_task_is_not_there(dispatched, nodes):
    nodes[0].claim()
    nodes[1].task, nodes[1].fencing_token = nodes[0].task, 1

    assert code(nodes[1].call("claim", task=nodes[0].task)) == (409, "TASK_NOT_AVAILABLE")
    assert code(nodes[1].progress()) == (409, "TASK_NOT_AVAILABLE")


def test_all_parties_are_ready_before_any_may_go(dispatched, nodes):
    for node in nodes:
        node.claim()
    nodes[0].offer()

    assert nodes[0].progress("waiting").body == {"go": False, "offers": [], "cancel": False, "reason": None}

    nodes[1].offer()
    answer = nodes[0].progress("waiting").body
    assert answer["go"] is True
    assert [offer["rank"] for offer in answer["offers"]] == [0, 1]
    dispatched.refresh_from_db()
    assert dispatched.state == "executing"


def test_an_offer_is_idempotent_and_kept(dispatched, nodes):
    nodes[0].claim()
    document = nodes[0].link_offer()

    assert nodes[0].on_task("offer", offer=document).body == {"accepted": True}
    assert nodes[0].on_task("offer", offer=document).body == {"accepted": True}
    other = nodes[0].sign(statements.unsigned(document) | {"addresses": ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]})
    assert code(nodes[0].on_task("offer", offer=other)) == (400, "OFFER_INVALID")


@pytest.mark.parametrize("change", [{"rank": 1}, {"job_digest": "0" * 64}, {"expires": "2026-01-01T00:00:00Z"}])
def test_an_offer_for_something_else_is_refused(dispatched, nodes, change):
    nodes[0].claim()
    document = nodes[0].sign(statements.unsigned(nodes[0].link_offer()) | change)

    assert code(nodes[0].on_task("offer", offer=document)) == (400, "OFFER_INVALID")


def test_a_refusal_before_all_are_ready_costs_nothing(dispatched, nodes):
    for node in nodes:
        node.claim()
    nodes[0].offer()

    assert nodes[1].refuse("GRANT_MISSING").body == {"recorded": True}

    assert outcome(dispatched) == ("failed", "GRANT_MISSING", 0, 0)
    assert (dispatched.end_party.name_en, dispatched.end_stage) == ("fund-b", "admission")
    assert nodes[0].progress().body["cancel"] is True
    assert nodes[0].progress().body["reason"] == "GRANT_MISSING"


def test_a_failure_report_is_taken_once_and_another_is_refused(dispatched, nodes):
    run_to_ready(nodes)
    report = nodes[0].report(outcome="failed", code="ENGINE_FAILED")

    assert nodes[0].on_task("fail", report=report).body == {"recorded": True}
    assert nodes[0].on_task("fail", report=report).body == {"recorded": True}
    assert code(nodes[0].fail()) == (409, "REPORT_CONFLICT")
    assert outcome(dispatched) == ("failed", "ENGINE_FAILED", 0, 0)


def test_a_report_after_the_end_is_kept_and_changes_nothing(dispatched, nodes):
    run_to_ready(nodes)
    nodes[0].fail("ENGINE_FAILED")

    assert nodes[1].fail("LINK_FAILED").body == {"recorded": True}

    assert outcome(dispatched) == ("failed", "ENGINE_FAILED", 0, 0)
    assert NodeTask.objects.get(rank=1).state == "cancelled"
    assert NodeTask.objects.get(rank=1).report["code"] == "LINK_FAILED"


# --- results -------------------------------------------------------------------------------------------------


def test_a_part_is_taken_once(dispatched, nodes):
    run_to_ready(nodes)
    part = nodes[0].part()
    report = nodes[0].report(part=part)

    assert nodes[0].submit(part=part, report=report).body == {"accepted": True}
    assert nodes[0].submit(part=part, report=report).body == {"accepted": True}
    assert code(nodes[0].submit()) == (409, "REPORT_CONFLICT")
    assert SealedPart.objects.count() == 1


def test_one_part_alone_is_no_result(dispatched, nodes):
    run_to_ready(nodes)
    nodes[0].submit()

    assert settle(dispatched).state == "executing"
    assert UsageRecord.objects.exists() is False


def test_a_result_before_go_is_refused(dispatched, nodes):
    nodes[0].claim()
    nodes[0].offer()

    assert code(nodes[0].submit()) == (409, "TASK_NOT_AVAILABLE")


@pytest.mark.parametrize(
    "change",
    [
        {"job_digest": "0" * 64},
        {"request_digest": "0" * 64},
        {"terms_digest": "0" * 64},
        {"rank": 1},
        {"datasets": []},
        {
            "gate": {"tier": 1, "min_group": 10, "rule": "fixed blocks"},
            "datasets": [{"dataset": "x", "commitment": "0" * 64}],
        },
        {"started": "2026-11-22T00:00:00Z", "finished": "2026-11-21T00:00:00Z"},
    ],
    ids=["job", "request", "terms", "rank", "no dataset", "other dataset", "times"],
)
def test_a_report_about_something_else_is_refused(dispatched, nodes, change):
    run_to_ready(nodes)
    part = nodes[0].part()

    answer = nodes[0].submit(part=part, report=nodes[0].report(part=part, **change))

    assert code(answer) == (400, "REPORT_INVALID")
    assert SealedPart.objects.exists() is False


def test_a_report_with_another_engine_is_refused(dispatched, nodes):
    run_to_ready(nodes)
    part = nodes[0].part()
    engine = nodes[0].report(part=part)["engine"] | {"id": "reference/1"}

    assert code(nodes[0].submit(part=part, report=nodes[0].report(part=part, engine=engine))) == (400, "REPORT_INVALID")


def test_a_report_signed_by_the_other_party_is_refused(dispatched, nodes):
    run_to_ready(nodes)
    part = nodes[0].part()
    report = nodes[1].sign(statements.unsigned(nodes[0].report(part=part)))

    assert code(nodes[0].submit(part=part, report=report)) == (400, "REPORT_INVALID")


def test_other_bytes_than_reported_are_refused(dispatched, nodes):
    run_to_ready(nodes)
    report = nodes[0].report(part=nodes[0].part())

    assert code(nodes[0].submit(part=nodes[0].part(), report=report)) == (400, "PART_INVALID")
    assert code(nodes[0].on_task("submit", report=report, sealed_part="not base64")) == (400, "PART_INVALID")


def test_a_part_larger_than_agreed_is_refused(dispatched, nodes):
    run_to_ready(nodes)
    part = nodes[0].part(b"x" * 1_048_576)

    assert code(nodes[0].submit(part=part)) == (413, "PART_TOO_LARGE")


def test_completed_is_no_refusal(dispatched, nodes):
    run_to_ready(nodes)
    part = nodes[0].part()

    assert code(nodes[0].on_task("refuse", report=nodes[0].report(part=part))) == (400, "REPORT_INVALID")
    failed = nodes[0].report(outcome="failed", code="ENGINE_FAILED")
    answer = nodes[0].on_task("submit", report=failed, sealed_part=base64.b64encode(part).decode())
    assert code(answer) == (400, "REPORT_INVALID")


# --- leases --------------------------------------------------------------------------------------------------


def lapse():
    NodeTask.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    dispatch.expire(now=timezone.now())


def test_a_lapsed_claim_goes_back_and_the_newer_claim_wins(dispatched, nodes):
    nodes[0].claim()
    lapse()

    answer = nodes[0].claim()
    assert answer.body["fencing_token"] == 2
    nodes[0].fencing_token = 1
    assert code(nodes[0].progress()) == (409, "LEASE_LOST")
    nodes[0].fencing_token = 2
    assert nodes[0].progress().status == 200


def test_a_claim_that_lapses_again_and_again_ends_the_computation(dispatched, nodes):
    for _ in range(dispatch.MAX_CLAIMS):
        assert nodes[0].claim().status == 200
        lapse()

    assert outcome(dispatched) == ("failed", "LEASE_LOST", 0, 0)


def test_a_lost_lease_of_a_running_task_ends_the_computation_without_a_charge(dispatched, nodes, world):
    run_to_ready(nodes)
    nodes[1].submit()
    lapse()

    assert outcome(dispatched) == ("failed", "LEASE_LOST", 0, 0)
    assert dispatched.end_party.name_en == "fund-a"
    assert world.escrow_fen() == 1_000_000
    assert SealedPart.objects.exists() is False
    assert code(nodes[0].submit()) == (409, "LEASE_LOST")


def test_a_node_that_slept_through_its_lease_cannot_submit_even_before_the_sweep(dispatched, nodes):
    run_to_ready(nodes)
    NodeTask.objects.filter(rank=0).update(lease_until=timezone.now() - timedelta(seconds=1))

    assert code(nodes[0].submit()) == (409, "LEASE_LOST")
    assert SealedPart.objects.exists() is False


def test_parties_that_are_not_ready_in_time_end_it(dispatched, nodes):
    nodes[0].claim()
    nodes[0].offer()
    NodeTask.objects.filter(rank=0).update(lease_until=timezone.now() + timedelta(hours=1))

    dispatch.expire(now=timezone.now() + timedelta(minutes=4))

    assert outcome(dispatched) == ("expired", "PARTIES_NOT_READY", 0, 0)
    assert dispatched.end_party.name_en == "fund-b"


def test_a_run_beyond_its_deadline_ends(dispatched, nodes):
    run_to_ready(nodes)
    NodeTask.objects.update(lease_until=timezone.now() + timedelta(hours=1))

    dispatch.expire(now=timezone.now() + timedelta(minutes=4))

    assert outcome(dispatched) == ("failed", "DEADLINE_PASSED", 0, 0)


def test_a_deadline_does_not_end_what_is_already_delivered(dispatched, nodes):
    run_to_ready(nodes)
    for node in nodes:
        node.submit()

    dispatch.expire(now=timezone.now() + timedelta(minutes=4))

    assert settle(dispatched).state == "released"
    assert UsageRecord.objects.count() == 1


def test_a_request_that_nobody_answers_expires(computation):
    dispatch.expire(now=shapes.parse_time(computation.request["expires"]) + timedelta(seconds=1))

    assert outcome(computation) == ("expired", "REQUEST_EXPIRED", 0, 0)


def test_a_revocation_under_way_closes_the_tasks(dispatched, nodes, world):
    run_to_ready(nodes)
    computations.withhold_all(contract=world.contract)

    assert outcome(dispatched) == ("withheld", "CONTRACT_REVOKED", 0, 0)
    assert nodes[0].progress().body["reason"] == "CONTRACT_REVOKED"
    assert code(nodes[0].submit()) == (409, "TASK_CLOSED")
