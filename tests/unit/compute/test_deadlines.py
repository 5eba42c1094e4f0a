"""No state lasts for ever: whatever a run has come to, it has a deadline or is at its end, and so has every task."""

import logging
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from compute.actions import computations, dispatch
from compute.models import Computation, NodeTask
from compute.states import COMPUTATION, LEASED_TASKS, TASK, ComputationState, TaskState
from ledger import actions as ledger
from tests.factories.compute import World, settle

pytestmark = pytest.mark.django_db


def holds(computation: Computation) -> None:
    """Every open state has a moment at which somebody acts."""
    computation.refresh_from_db()
    assert COMPUTATION.is_final(ComputationState(computation.state)) == (computation.deadline is None), computation
    for task in NodeTask.objects.filter(computation=computation):
        if task.state in LEASED_TASKS:
            assert task.lease_until is not None
        if TASK.is_final(TaskState(task.state)):
            assert task.lease_until is None


@pytest.mark.parametrize("seed", range(12))
def test_every_state_on_any_way_has_a_deadline_or_is_an_end(seed):
    """Random steps of nodes, buyer and time; after each of them the promise holds, and at last everything has ended."""
    rng, world = random.Random(seed), World()
    computation, now = computations.submit(document=world.request(), by=world.buyer), timezone.now()
    nodes = world.nodes()
    steps = [
        lambda: rng.choice(nodes).consent(),
        lambda: settle(computation),
        lambda: rng.choice(nodes).claim(),
        lambda: [node.offer() for node in nodes if node.bundle],
        lambda: [node.progress() for node in nodes if node.bundle],
        lambda: [node.submit() for node in nodes if node.bundle] if rng.random() < 0.7 else rng.choice(nodes).fail(),
        lambda: dispatch.expire(now=now + timedelta(seconds=rng.choice([1, 20, 40]))),
        lambda: rng.random() < 0.1 and computations.withdraw(computation=computation, by=world.buyer),
    ]
    holds(computation)
    for place in range(24):
        step = steps[place % 7] if rng.random() < 0.8 else rng.choice(steps)
        try:
            step()
        except (KeyError, StopIteration):  # a node asked to speak of a task that it has not claimed
            continue
        except computations.DomainError:
            pass
        holds(computation)
    for _ in range(4):  # left alone, time ends it
        dispatch.expire(now=now + timedelta(days=30))
        holds(computation)
    computation.refresh_from_db()
    assert COMPUTATION.is_final(ComputationState(computation.state)) or computation.state == "sealed"


def test_a_charged_result_that_waits_is_said_again_and_again(caplog, monkeypatch):
    world = World()
    computation, nodes = computations.submit(document=world.request(), by=world.buyer), world.nodes()
    for node in nodes:
        node.consent()
    settle(computation)
    for step in ("claim", "offer", "progress", "submit"):
        for node in nodes:
            assert getattr(node, step)().status == 200
    monkeypatch.setattr(ledger, "is_sealed", lambda entry: False)
    from compute.actions import results

    results.accept(computation=computation, now=timezone.now())

    with caplog.at_level(logging.ERROR):
        for hours in (2, 4):
            assert dispatch.expire(now=timezone.now() + timedelta(hours=hours)) == 1
    computation.refresh_from_db()
    assert computation.state == "sealed"
    assert len([line for line in caplog.messages if "waits for its evidence" in line]) == 2
