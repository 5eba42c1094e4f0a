"""Large tables take long: the nodes say so, and the exchange gives them the time."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from compute import deadlines
from compute.actions import computations, dispatch
from compute.models import NodeTask
from compute.protocol.shapes import DocumentInvalid
from contracts.models import Meter, Reservation
from tests.factories.compute import World, run_to_ready, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World(choices={"max_concurrency": 2})


def dispatched(world, *, expects):
    """A computation at its nodes, whose first one says how many seconds it expects, and the second a few."""
    computation, nodes = computations.submit(document=world.request(), by=world.buyer), world.nodes()
    nodes[0].expects, nodes[1].expects = expects, None if expects is None else 3
    for node in nodes:
        node.consent()
    return settle(computation), nodes


@pytest.mark.parametrize(
    ("expects", "seconds"),
    [(None, 150), (1, 150), (37, 150), (38, 152), (2_190, 8_760), (5_400, 21_600), (80_000, 21_600)],
)
def test_a_run_has_four_times_what_the_slowest_node_expects(world, expects, seconds):
    computation, _ = dispatched(world, expects=expects)

    assert computation.authorization.job["deadline_seconds"] == seconds


def test_a_long_run_lives_as_long_as_it_was_given_and_its_unit_with_it(world):
    computation, nodes = dispatched(world, expects=1_000)
    run_to_ready(nodes)
    NodeTask.objects.update(lease_until=timezone.now() + timedelta(days=1))
    computation.refresh_from_db()
    begun = computation.state_since

    dispatch.expire(now=begun + timedelta(seconds=4_000))

    computation.refresh_from_db()
    assert computation.state == "executing"
    assert Reservation.objects.get().expires_at > begun + timedelta(seconds=4_030)
    for node in nodes:
        node.submit()
    assert settle(computation).state == "released"


def test_the_same_run_without_an_estimate_ends_before(world):
    """The sister: what a table of 10^8 rows would meet."""
    computation, nodes = dispatched(world, expects=None)
    run_to_ready(nodes)
    NodeTask.objects.update(lease_until=timezone.now() + timedelta(days=1))

    dispatch.expire(now=timezone.now() + timedelta(seconds=4_000))

    computation.refresh_from_db()
    assert (computation.state, computation.end_code) == ("failed", "DEADLINE_PASSED")
    assert Meter.objects.get().reserved == 0


def test_what_comes_behind_a_long_run_waits_for_it(world):
    long, nodes = dispatched(world, expects=1_000)
    behind, _ = dispatched(world, expects=1)
    assert (long.state, behind.state) == ("dispatched", "authorized")

    run_to_ready(nodes)
    assert settle(behind).state == "authorized"
    for node in nodes:
        node.submit()

    assert settle(behind).state == "dispatched"


def test_what_comes_behind_a_short_run_queues_at_the_nodes(world):
    dispatched(world, expects=30)
    behind, _ = dispatched(world, expects=1)

    assert behind.state == "dispatched"


def test_with_the_rule_off_peers_of_a_busy_node_would_be_kept_waiting(world, monkeypatch):
    """The sister."""
    monkeypatch.setattr(deadlines, "waits_for_node", lambda computation: False)
    dispatched(world, expects=1_000)
    behind, _ = dispatched(world, expects=1)

    assert behind.state == "dispatched"


def test_what_waits_too_long_behind_a_long_run_ends_with_its_request(world):
    dispatched(world, expects=5_000)
    behind, _ = dispatched(world, expects=1)

    dispatch.expire(now=behind.deadline + timedelta(seconds=1))

    behind.refresh_from_db()
    assert (behind.state, behind.end_code) == ("expired", "REQUEST_EXPIRED")


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 1.5])
def test_an_estimate_outside_its_bounds_is_no_consent(world, seconds):
    computations.submit(document=world.request(), by=world.buyer)
    (node, *_) = world.nodes()
    node.expects = seconds

    with pytest.raises(DocumentInvalid):
        node.consent()


def test_page_and_api_say_what_the_nodes_expect_and_for_what_a_run_waits(world):
    computation, nodes = dispatched(world, expects=1_000)
    behind, _ = dispatched(world, expects=None)
    client = Client(headers={"accept-language": "en"})
    client.force_login(world.buyer.user)

    page = client.get(f"/computations/{computation.ref}/").content.decode()
    assert "expect the run to take about 17 minutes" in page
    run_to_ready(nodes)
    assert "at the latest" in client.get(f"/computations/{computation.ref}/").content.decode()
    assert "at work on a long run" in client.get(f"/computations/{behind.ref}/").content.decode()
    assert client.get(f"/api/v1/computations/{computation.ref}/").json()["estimated_seconds"] == 1_000
    assert client.get(f"/api/v1/computations/{behind.ref}/").json()["estimated_seconds"] is None
