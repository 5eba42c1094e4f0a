"""What nodes tell of their stages: kept in order and once, closed to every text, shown to the parties."""

import json

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from compute import endings, timeline
from compute.actions import computations
from compute.models import Computation, NodeTask, TaskEvent
from compute.protocol import stages
from tests.factories.compute import World, run_to_ready, settle

pytestmark = pytest.mark.django_db

CANARY = "131125199003071234"


@pytest.fixture
def world():
    return World()


@pytest.fixture
def nodes(world):
    computation = computations.submit(document=world.request(), by=world.buyer)
    found = world.nodes()
    for node in found:
        node.consent()
    assert settle(computation).state == "dispatched"
    return found


def event(sequence=0, **changes):
    made = stages.event(sequence=sequence, stage="link", percent=5, seconds=1.9, sent_bytes=700)
    return {**made, **changes}


def told(node, *events):
    return node.on_task("progress", stage="run", percent=10, events=list(events))


def test_events_are_kept_once_in_order_and_shown(world, nodes):
    run_to_ready(nodes)
    first, second = event(), event(1, stage="compute", percent=50, seconds=3)

    assert told(nodes[0], first, second).status == 200
    assert told(nodes[0], second, {**first, "percent": 99}).status == 200  # a repeat, and a changed one

    party = timeline.parties(Computation.objects.get())[0]
    assert [(item.stage, item.percent, item.seconds, item.bytes) for item in party.events] == [
        ("link", 5, 1, 1024),
        ("compute", 50, 3, 1024),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": CANARY},
        {"stage": "zhang_san"},
        {"note": CANARY},
        {"bytes": 131_125},  # an exact number of bytes is no band
        {"percent": 131},
        {"seconds": int(CANARY[:9])},
        {"sequence": 64},
        {"percent": CANARY},
    ],
)
def test_no_row_value_fits_into_an_event(nodes, changes):
    run_to_ready(nodes)

    answer = told(nodes[0], event(**changes))

    assert (answer.status, answer.code) == (400, "NODE_MESSAGE_INVALID")
    assert CANARY not in json.dumps(answer.body)
    assert TaskEvent.objects.count() == 0


def test_no_text_fits_into_progress(nodes):
    run_to_ready(nodes)

    answer = nodes[0].on_task("progress", stage="zhang_san", percent=10)

    assert (answer.status, answer.code) == (400, "NODE_MESSAGE_INVALID")
    assert "zhang_san" not in json.dumps(answer.body)


def test_more_events_than_a_run_has_are_refused(nodes):
    run_to_ready(nodes)

    assert told(nodes[0], *(event(number % 64) for number in range(65))).status == 400


def test_the_table_itself_takes_no_other_word(nodes):
    task = NodeTask.objects.first()
    row = {"task": task, "fencing_token": 1, "sequence": 0, "percent": 1, "seconds": 1, "size_bytes": 0}

    with pytest.raises(IntegrityError, match="task_event_stage_known"), transaction.atomic():
        TaskEvent.objects.create(**row, stage="zhang_san")
    with pytest.raises(IntegrityError, match="task_event_bounded"), transaction.atomic():
        TaskEvent.objects.create(**{**row, "size_bytes": int(CANARY)}, stage="link")


def test_the_buyer_cancels_a_run_and_the_nodes_hear_of_it(world, nodes):
    run_to_ready(nodes)
    found = Computation.objects.get()
    assert computations.can_withdraw(found, by=world.buyer)

    computations.withdraw(computation=found, by=world.buyer)

    found.refresh_from_db()
    assert (found.state, found.end_code) == ("withdrawn", "WITHDRAWN_BY_BUYER")
    for node in nodes:
        answer = node.progress()
        assert (answer.body["cancel"], answer.body["reason"]) == (True, "WITHDRAWN_BY_BUYER")
        assert node.submit().code == "TASK_CLOSED"
    assert world.escrow_fen() == 1_000_000
    assert found.contract.meter.reserved == 0


def test_a_charged_result_cannot_be_cancelled(world, nodes):
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().status == 200
    found = Computation.objects.get()
    from compute.actions import results

    results.accept(computation=found, now=timezone.now())
    found.refresh_from_db()

    assert found.state == "sealed"
    assert not computations.can_withdraw(found, by=world.buyer)


def test_a_run_that_ends_at_preflight_says_who_and_what_to_do(world, nodes):
    run_to_ready(nodes)
    report = nodes[1].report(outcome="failed", code="JOB_OUT_OF_TIME", stage="preflight")

    assert nodes[1].on_task("fail", report=report, events=[event()]).status == 200

    ending = endings.of(Computation.objects.get())
    assert (ending.code, ending.stage, ending.party) == ("JOB_OUT_OF_TIME", "preflight", nodes[1].organization)
    assert ending.fault == "party"
    assert "NTP" in ending.en
    assert "NTP" in ending.zh
    party = timeline.parties(Computation.objects.get())[1]
    assert (party.code, [item.stage for item in party.events]) == ("JOB_OUT_OF_TIME", ["link"])
