"""Two workers at once, workers killed between steps: one dispatch, one charge, one release."""

import threading
from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import IntegrityError, connection, connections
from django.utils import timezone

from compute.actions import advance, computations, dispatch, moves, node_tasks, results
from compute.models import Authorization, Computation, NodeTask, Result
from compute.querysets import ComputationQuerySet
from contracts.actions import meters
from contracts.models import Meter, Reservation, Transfer, UsageRecord
from ledger import actions as ledger
from ledger.models import Entry
from tests.factories.compute import World, run_to_ready, settle

pytestmark = pytest.mark.django_db(transaction=True)


def together(*actions):
    """Run the actions in threads that start at once; returns what each raised, or None."""
    barrier = threading.Barrier(len(actions))
    raised = [None] * len(actions)

    def run(index, action):
        try:
            barrier.wait(timeout=20)
            action()
        except Exception as error:  # noqa: BLE001  the test looks at it
            raised[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index, action)) for index, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return raised


def consented(world) -> Computation:
    computation = computations.submit(document=world.request(), by=world.buyer)
    for node in world.nodes():
        node.consent()
    return computation


def delivered(world) -> Computation:
    """A computation whose parts are all in, and which nobody has accepted yet."""
    computation = consented(world)
    settle(computation)
    nodes = world.nodes()
    run_to_ready(nodes)
    for node in nodes:
        assert node.submit().status == 200
    return computation


@contextmanager
def without_locks():
    """Take the row locks away: readers no longer wait for each other, as in a naive implementation."""
    with (
        mock.patch.object(ComputationQuerySet, "locked", lambda self: self),
        mock.patch.object(ComputationQuerySet, "locked_if_free", lambda self: self),
    ):
        yield


def test_many_passes_at_once_authorize_and_dispatch_once():
    world = World()
    computation = consented(world)
    now = timezone.now()

    raised = together(*[lambda: advance.advance_all(now=now)] * 4)
    ledger.seal()
    raised += together(*[lambda: advance.advance_all(now=now)] * 4)

    assert raised == [None] * 8
    computation.refresh_from_db()
    assert computation.state == "dispatched"
    assert Authorization.objects.count() == 1
    assert NodeTask.objects.count() == 2
    assert Entry.objects.filter(kind="computation.authorized").count() == 1
    assert Entry.objects.filter(kind="computation.dispatched").count() == 1


def test_many_passes_at_once_charge_once():
    world = World()
    computation = delivered(world)
    now = timezone.now()

    assert together(*[lambda: advance.advance_all(now=now)] * 4) == [None] * 4

    assert UsageRecord.objects.count() == 1
    assert Result.objects.count() == 1
    assert Transfer.objects.filter(kind="charge").count() == 1
    assert Entry.objects.filter(kind="result.accepted").count() == 1
    assert settle(computation).state == "released"


def test_with_the_locks_off_two_workers_both_dispatch_and_only_the_constraint_is_left():
    """The sister: without row locks both workers see AUTHORIZED and both make tasks; the unique key stops one."""
    world = World()
    computation = consented(world)
    advance.advance_all(now=timezone.now())
    ledger.seal()
    first_looked = threading.Barrier(2)
    create = NodeTask.objects.bulk_create

    def slow_create(rows):
        first_looked.wait(timeout=20)  # both have decided that no task exists
        return create(rows)

    with without_locks(), mock.patch.object(NodeTask.objects, "bulk_create", slow_create):
        raised = together(*[lambda: dispatch.dispatch(computation=computation, now=timezone.now())] * 2)

    assert sorted(type(error).__name__ for error in raised) == ["IntegrityError", "NoneType"]
    assert NodeTask.objects.count() == 2


def test_with_locks_and_constraint_off_there_are_twice_as_many_tasks():
    """The sister of the sister: without the unique keys too, each party would be given its work twice."""
    world = World()
    computation = consented(world)
    advance.advance_all(now=timezone.now())
    ledger.seal()
    both = threading.Barrier(2)
    create = NodeTask.objects.bulk_create

    def slow_create(rows):
        both.wait(timeout=20)
        return create(rows)

    names = ("task_once_for_each_party", "task_once_for_each_rank")
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f'ALTER TABLE compute_nodetask DROP CONSTRAINT "{name}"')
    try:
        with (
            without_locks(),
            mock.patch.object(NodeTask.objects, "bulk_create", slow_create),
            mock.patch.object(moves, "move"),
        ):
            together(*[lambda: dispatch.dispatch(computation=computation, now=timezone.now())] * 2)
        assert NodeTask.objects.count() == 4
    finally:
        NodeTask.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                f'ALTER TABLE compute_nodetask ADD CONSTRAINT "{names[0]}" UNIQUE (computation_id, organization_id)'
            )
            cursor.execute(f'ALTER TABLE compute_nodetask ADD CONSTRAINT "{names[1]}" UNIQUE (computation_id, rank)')


def test_a_computation_held_by_another_worker_is_left_to_it():
    world = World()
    computation = consented(world)
    held, done = threading.Event(), threading.Event()

    def hold():
        from django.db import transaction

        with transaction.atomic():
            moves.lock(computation.pk)
            held.set()
            done.wait(timeout=20)

    def pass_by():
        held.wait(timeout=20)
        try:
            assert advance.advance_all(now=timezone.now()) == 0
        finally:
            done.set()

    assert together(hold, pass_by) == [None, None]
    computation.refresh_from_db()
    assert computation.state == "consenting"


def test_one_document_sent_by_many_at_once_is_one_computation_and_one_reservation():
    world = World()
    document = world.request()

    raised = together(*[lambda: computations.submit(document=document, by=world.buyer)] * 6)

    assert raised == [None] * 6
    assert Computation.objects.count() == 1
    assert Reservation.objects.count() == 1
    assert Meter.objects.get().reserved == 1
    assert world.escrow_fen() == 950_000


def test_many_requests_at_once_stay_within_what_may_run_at_once():
    world = World(choices={"max_concurrency": 2})
    wanted = [world.request() for _ in range(5)]

    raised = together(*[lambda one=one: computations.submit(document=one, by=world.buyer) for one in wanted])

    assert sorted(type(error).__name__ for error in raised).count("ConcurrencyExceeded") == 3
    assert Computation.objects.count() == 2
    assert Meter.objects.get().reserved == 2


def test_one_task_claimed_by_two_processes_of_one_node_is_claimed_once():
    world = World()
    settle(consented(world))
    task = NodeTask.objects.get(rank=0)

    def claim():
        node_tasks.claim(organization=task.organization, task=task.urn, now=timezone.now())

    raised = together(claim, claim, claim)

    assert sorted(type(error).__name__ for error in raised) == ["NoneType", "TaskNotAvailable", "TaskNotAvailable"]
    assert NodeTask.objects.get(rank=0).fencing_token == 1


def test_one_part_submitted_twice_at_once_is_one_part_and_one_charge():
    world = World()
    computation = consented(world)
    settle(computation)
    nodes = world.nodes()
    run_to_ready(nodes)
    parts = [node.part() for node in nodes]
    reports = [node.report(part=part) for node, part in zip(nodes, parts, strict=True)]

    raised = together(
        *[
            lambda node=node, part=part, report=report: node.submit(part=part, report=report)
            for node, part, report in zip(nodes, parts, reports, strict=True)
            for _ in range(3)
        ]
    )

    assert raised == [None] * 6
    assert settle(computation).state == "released"
    assert UsageRecord.objects.count() == 1


def test_a_revocation_and_an_acceptance_at_once_end_in_exactly_one_of_the_two():
    world = World()
    computation = delivered(world)

    raised = together(
        lambda: advance.advance_all(now=timezone.now()),
        lambda: computations.withhold_all(contract=world.contract),
    )

    assert raised == [None, None]
    settle(computation)
    charged = UsageRecord.objects.count()
    assert (computation.state, charged) in {("released", 1), ("withheld", 0)}
    assert Meter.objects.get().reserved == 0
    assert world.escrow_fen() == 1_000_000 - 50_000 * charged


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, the open transaction is lost."""


@pytest.mark.parametrize("step", ["commit", "record", "move"])
def test_a_worker_killed_while_it_accepts_leaves_nothing_and_the_next_pass_charges_once(step):
    world = World()
    computation = delivered(world)
    places = {"commit": (meters, "commit"), "record": (results.ledger, "record"), "move": (results.moves, "move")}

    def killed(*_, **__):
        raise Killed

    with mock.patch.object(*places[step], killed), pytest.raises(Killed):
        advance.advance_all(now=timezone.now())

    assert UsageRecord.objects.exists() is False
    assert Result.objects.exists() is False
    assert world.escrow_fen() == 950_000
    assert settle(computation).state == "released"
    assert UsageRecord.objects.count() == 1


def test_a_worker_killed_between_accept_and_release_releases_once_later():
    world = World()
    computation = delivered(world)

    def killed(*_, **__):
        raise Killed

    with mock.patch.object(results, "release", killed), pytest.raises(Killed):
        advance.advance_all(now=timezone.now())

    computation.refresh_from_db()
    assert computation.state == "sealed"
    assert UsageRecord.objects.count() == 1
    assert settle(computation).state == "released"
    assert UsageRecord.objects.count() == 1
    assert Entry.objects.filter(kind="result.released").count() == 1


def test_a_reservation_that_is_gone_when_the_parts_are_in_charges_nothing():
    world = World()
    computation = delivered(world)
    meters.release(subject=computation.urn, reason="RESERVATION_EXPIRED")

    assert settle(computation).state == "failed"

    assert computation.end_code == "RESERVATION_RESOLVED"
    assert UsageRecord.objects.exists() is False
    assert world.escrow_fen() == 1_000_000


def test_a_step_that_fails_does_not_stop_the_others(caplog):
    world = World(choices={"max_concurrency": 2})
    first, second = (computations.submit(document=world.request(), by=world.buyer) for _ in range(2))
    for node in world.nodes():
        node.consent()
    authorize = advance.authorizations.authorize

    def fragile(*, computation, now):
        if computation.pk == first.pk:
            raise IntegrityError("a fault of the test")
        return authorize(computation=computation, now=now)

    with mock.patch.object(advance.authorizations, "authorize", fragile):
        advance.advance_all(now=timezone.now())

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("consenting", "authorized")
    assert settle(first).state == "dispatched"
