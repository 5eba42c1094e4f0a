"""The passes under the names that beat and wake-ups use, and a broker that is not there."""

from unittest import mock

import pytest
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from compute import schedule, tasks
from compute.actions import computations
from compute.models import Computation
from ledger import actions as ledger
from tests.factories.compute import World


@pytest.mark.parametrize("task", [tasks.advance_computations, tasks.expire_tasks])
def test_the_beat_knows_every_pass_by_name(task):
    assert task.name in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert task.name in current_app.tasks


@pytest.mark.django_db
def test_the_passes_take_a_computation_on_and_may_run_any_number_of_times():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)
    for node in world.nodes():
        node.consent()

    for _ in range(3):
        tasks.advance_computations()
        tasks.expire_tasks()
        ledger.seal()

    computation.refresh_from_db()
    assert computation.state == "dispatched"


@pytest.mark.django_db
def test_many_reasons_to_wake_are_one_wake_up(django_capture_on_commit_callbacks):
    with mock.patch.object(schedule, "_wake") as wake, django_capture_on_commit_callbacks(execute=True):
        schedule.advance_later()
        schedule.advance_later()

    assert wake.call_count == 1


@pytest.mark.django_db
def test_a_dead_broker_does_not_refuse_a_request(django_capture_on_commit_callbacks, caplog):
    world = World()

    with (
        mock.patch.object(schedule.current_app, "signature", side_effect=OperationalError("down")),
        django_capture_on_commit_callbacks(execute=True),
    ):
        computations.submit(document=world.request(), by=world.buyer)

    assert Computation.objects.count() == 1
    assert "computations advance at the next beat" in caplog.text
