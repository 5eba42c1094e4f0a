"""Calls from 16 connections on one lease of 60: exactly 60 are served, and more once the guard is off."""

import pytest

from contracts.actions import leases
from contracts.models import Lease, Meter
from exchange.kernel.errors import DomainError
from tests.concurrency.test_contracts_reservations import in_parallel
from tests.factories import contracts as factory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
CALLS = 320
LIMIT = 60


@pytest.fixture
def agreement(settings):
    settings.METER_LEASE_UNITS = 20  # three leases, one after another; without a chain each is open at once
    return factory.contract(limit=LIMIT, unit_price_fen=1, escrow_fen=CALLS)


def test_exactly_what_the_quota_holds_is_served(agreement):
    answers = in_parallel(CALLS, lambda _: leases.take(agreement.contract))

    assert answers["granted"] == LIMIT
    assert sum(Lease.objects.values_list("served", flat=True)) == LIMIT
    assert list(Lease.objects.order_by("pk").values_list("total", flat=True)) == [20, 40, 60]
    assert Meter.objects.get().reserved == LIMIT


def test_with_the_guard_off_more_is_served(agreement, monkeypatch):
    def read_decide_write(rows, units):
        found = rows.get()
        if found.confirmed_at is None or found.served + units > found.units:
            return False
        Lease.objects.filter(pk=found.pk).update(served=found.served + units)
        return True

    monkeypatch.setattr(type(Lease.objects.all()), "serve", read_decide_write)
    answers = in_parallel(CALLS, lambda _: leases.take(agreement.contract))

    assert answers["granted"] > LIMIT
    assert sum(Lease.objects.values_list("served", flat=True)) <= LIMIT  # nobody would notice


def test_a_refusal_is_one_of_ours(agreement):
    in_parallel(CALLS, lambda _: leases.take(agreement.contract))
    with pytest.raises(DomainError, match="left"):
        leases.take(agreement.contract)
