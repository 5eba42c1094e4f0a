"""Staff reviews: only where the policy asks, only by a reviewer, never by a party."""

import pytest

from compute import queues
from compute.actions import computations, reviews
from compute.errors import ReviewRefused
from contracts.models import Meter
from exchange.kernel.errors import PermissionRefused
from exchange.members.models import Membership
from exchange.members.permissions import Role
from ledger.models import Entry
from tests.factories.compute import World, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return World(choices={"review": "manual"})


@pytest.fixture
def waiting(world):
    return computations.submit(document=world.request(), by=world.buyer)


def test_a_contract_that_wants_a_review_waits_for_one(world, waiting):
    assert waiting.state == "reviewing"
    assert [item.pk for item in queues.to_review(by=world.reviewer)] == [waiting.pk]
    assert world.nodes()[0].call("poll").body["consent_requests"] == []


def test_approval_asks_the_parties_and_is_logged_once(world, waiting):
    approved = reviews.approve(computation=waiting, by=world.reviewer, reason="fits the purpose")
    again = reviews.approve(computation=waiting, by=world.reviewer, reason="fits the purpose")

    assert (approved.state, again.state) == ("consenting", "consenting")
    assert Entry.objects.filter(kind="computation.reviewed").count() == 1
    assert len(world.nodes()[0].call("poll").body["consent_requests"]) == 1


def test_rejection_ends_it_and_gives_the_quota_back(world, waiting):
    rejected = reviews.reject(computation=waiting, by=world.reviewer, reason="purpose unclear")

    assert (rejected.state, rejected.end_code) == ("rejected", "REVIEW_REJECTED")
    assert rejected.review_reason == "purpose unclear"
    assert Meter.objects.get().reserved == 0


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_decision_needs_a_reason(world, waiting, reason):
    with pytest.raises(ReviewRefused):
        reviews.approve(computation=waiting, by=world.reviewer, reason=reason)


def test_only_reviewers_review(world, waiting):
    clerk = member(world.exchange, Role.SETTLEMENT_CLERK)

    for by in (clerk, world.buyer, world.provider):
        with pytest.raises(PermissionRefused):
            reviews.approve(computation=waiting, by=by, reason="fine")
    waiting.refresh_from_db()
    assert waiting.state == "reviewing"


def test_a_reviewer_who_belongs_to_a_party_does_not_decide(world, waiting):
    Membership.objects.create(
        user=world.reviewer.user, organization=world.organizations["fund-b"], role=Role.PROVIDER.value
    )

    with pytest.raises(PermissionRefused):
        reviews.approve(computation=waiting, by=world.reviewer, reason="fine")


def test_nothing_is_reviewed_where_nothing_waits():
    world = World()
    computation = computations.submit(document=world.request(), by=world.buyer)

    with pytest.raises(ReviewRefused):
        reviews.approve(computation=computation, by=world.reviewer, reason="fine")


def test_the_queue_is_empty_for_who_may_not_review(world, waiting):
    assert list(queues.to_review(by=world.buyer)) == []
    assert list(queues.to_review(by=None)) == []
