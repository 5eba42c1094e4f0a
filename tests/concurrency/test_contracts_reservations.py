"""2,000 reservations from 16 connections on a quota of 200: exactly 200, and more once the guard is off."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from contracts.actions import meters
from contracts.errors import MeterExhausted
from contracts.models import Account, Meter, MeterDay, Posting, Reservation, Transfer
from exchange.kernel.errors import DomainError
from ledger.models import Entry
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
CONNECTIONS = 16
CALLS = 2_000
QUOTA = 200
PRICE_FEN = 50_000


def in_parallel(calls, work, *, workers=CONNECTIONS):
    """Run `work(number)` for every number on so many connections, all starting together; count the answers."""
    barrier = threading.Barrier(workers)

    def lane(numbers):
        try:
            connection.ensure_connection()
            barrier.wait(60)
            return Counter(answer(number) for number in numbers)
        finally:
            connections.close_all()

    def answer(number):
        try:
            work(number)
        except DomainError as refusal:
            return refusal.code
        return "granted"

    with ThreadPoolExecutor(workers) as pool:
        lanes = [pool.submit(lane, range(start, calls, workers)) for start in range(workers)]
        return sum((one.result() for one in lanes), Counter())


def agreement_of(quota):
    return factory.contract(limit=quota, unit_price_fen=PRICE_FEN, escrow_fen=PRICE_FEN * CALLS)


def reserve(agreement):
    def work(number):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)

    return work


def test_exactly_the_quota_is_granted():
    agreement = agreement_of(QUOTA)

    answers = in_parallel(CALLS, reserve(agreement))

    assert answers == {"granted": QUOTA, "QUOTA_EXHAUSTED": CALLS - QUOTA}
    assert (agreement.meter.reserved, agreement.meter.left) == (QUOTA, 0)
    assert MeterDay.objects.get().used == QUOTA
    assert Reservation.objects.count() == QUOTA
    assert Transfer.objects.filter(kind="hold").count() == QUOTA
    assert Entry.objects.filter(kind="quota.reserved").count() == QUOTA
    assert Account.objects.balance_of(agreement.contract, "held") == QUOTA * PRICE_FEN
    assert Account.objects.balance_of(agreement.contract, "escrow") == (CALLS - QUOTA) * PRICE_FEN
    assert sum(Posting.objects.values_list("amount_fen", flat=True)) == 0


def test_with_the_guard_off_more_is_granted(monkeypatch):
    agreement = agreement_of(20)

    def read_decide_write(meter, reservation, **_):
        found = Meter.objects.get(pk=meter.pk)
        if found.left < reservation.units:
            raise MeterExhausted("none left")
        found.reserved += reservation.units
        found.save()

    monkeypatch.setattr(meters, "_take", read_decide_write)
    answers = in_parallel(320, reserve(agreement))

    assert answers["granted"] > 20
    assert agreement.meter.reserved <= 20  # the constraint never fires: updates are lost, and nobody notices


def test_the_same_reservation_from_everywhere_is_one():
    agreement = agreement_of(QUOTA)

    def work(_number):
        meters.reserve(contract=agreement.contract, subject=subject(1), expires_at=LATER)

    assert in_parallel(64, work) == {"granted": 64}
    assert agreement.meter.reserved == 1
    assert Transfer.objects.filter(kind="hold").count() == 1


def test_commit_and_release_of_one_run_meet_and_one_of_them_wins():
    agreement = agreement_of(QUOTA)
    for number in range(40):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)

    def work(number):
        run = subject(number // 4)
        if number % 2:
            meters.commit(subject=run, units=1, report_digests=["a" * 64])
        else:
            meters.release(subject=run, reason="PARTY_FAILED")

    in_parallel(160, work)

    committed = Reservation.objects.filter(state="committed").count()
    released = Reservation.objects.filter(state="released").count()
    assert committed + released == 40
    assert (agreement.meter.reserved, agreement.meter.committed) == (0, committed)
    assert Transfer.objects.filter(kind="charge").count() == committed
    assert Entry.objects.filter(kind="settlement.charged").count() == committed
    assert Account.objects.balance_of(agreement.contract, "held") == 0
    assert Account.objects.balance_of(agreement.contract, "escrow") == (CALLS - committed) * PRICE_FEN


def test_an_escrow_for_five_runs_pays_for_five():
    agreement = factory.contract(limit=QUOTA, unit_price_fen=PRICE_FEN, escrow_fen=5 * PRICE_FEN + 1)

    answers = in_parallel(160, reserve(agreement))

    assert answers == {"granted": 5, "ESCROW_TOO_LOW": 155}
    assert agreement.meter.reserved == 5
    assert Account.objects.balance_of(agreement.contract, "escrow") == 1
