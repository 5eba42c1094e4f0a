"""The meter: set aside, counted once, given back; never more than the quota, never a charge without a run."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from contracts.actions import meters
from contracts.errors import (
    ContractNotEffective,
    DailyQuotaExhausted,
    EscrowTooLow,
    MeterExhausted,
    RateExceeded,
    ReportsMissing,
    ReservationResolved,
    ReservationUnknown,
    SubjectReused,
)
from contracts.models import Account, Contract, Meter, MeterDay, Posting, Reservation, Transfer, UsageRecord
from contracts.states import ContractState, ReservationState
from contracts.usage import UsageInvalid
from ledger import actions as ledger
from ledger.models import ChainRecord, Entry
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject

pytestmark = pytest.mark.django_db
REPORTS = ["a" * 64, "b" * 64]


def balances(contract):
    """The balances of everybody this contract has paid, by kind."""
    rows = Account.objects.exclude(kind="bank").filter(balance_fen__gt=0)
    return {(row.kind, row.organization_id): row.balance_fen for row in rows}


def test_reserving_sets_quota_and_price_aside():
    agreement = factory.contract(limit=3, unit_price_fen=50_000, escrow_fen=120_000)

    reservation = meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    assert (reservation.state, reservation.held_fen) == ("pending", 50_000)
    assert (agreement.meter.reserved, agreement.meter.committed) == (1, 0)
    assert balances(agreement.contract) == {("escrow", None): 70_000, ("held", None): 50_000}
    assert [entry.kind for entry in Entry.objects.about(subject())] == ["quota.reserved"]


def test_reserving_twice_is_reserving_once():
    agreement = factory.contract()

    first = meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    second = meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    assert first == second
    assert agreement.meter.reserved == 1
    assert Transfer.objects.filter(kind="hold").count() == 1


def test_a_subject_cannot_reserve_something_else():
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    with pytest.raises(SubjectReused):
        meters.reserve(contract=agreement.contract, subject=subject(), units=2, expires_at=LATER)


@pytest.mark.parametrize(
    ("terms", "units", "refusal"),
    [
        pytest.param({"limit": 2}, 3, MeterExhausted, id="total quota"),
        pytest.param({"limit": 9, "per_day": 2}, 3, DailyQuotaExhausted, id="daily quota"),
        pytest.param({"unit_price_fen": 50_000, "escrow_fen": 149_999}, 3, EscrowTooLow, id="escrow"),
        pytest.param({"state": ContractState.SUSPENDED}, 1, ContractNotEffective, id="suspended"),
        pytest.param({"effective_to": factory.EARLIER + timedelta(days=1)}, 1, ContractNotEffective, id="term over"),
    ],
)
def test_a_refusal_changes_nothing(terms, units, refusal):
    agreement = factory.contract(**terms)
    before, escrow = Entry.objects.count(), balances(agreement.contract)

    with pytest.raises(refusal), transaction.atomic():
        meters.reserve(contract=agreement.contract, subject=subject(), units=units, expires_at=LATER)

    assert (agreement.meter.reserved, agreement.meter.committed) == (0, 0)
    assert not Reservation.objects.exists()
    assert balances(agreement.contract) == escrow
    assert Entry.objects.count() == before


def test_the_rate_is_counted_over_the_last_minute():
    agreement = factory.contract(rate_per_minute=2)
    now = timezone.now()
    for number in (1, 2):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER, now=now)

    with pytest.raises(RateExceeded), transaction.atomic():
        meters.reserve(contract=agreement.contract, subject=subject(3), expires_at=LATER, now=now)

    later = now + timedelta(seconds=61)
    assert meters.reserve(contract=agreement.contract, subject=subject(4), expires_at=LATER, now=later)


def test_committing_counts_charges_and_splits_once():
    agreement = factory.contract(unit_price_fen=50_000, escrow_fen=60_000)
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    first = meters.commit(subject=subject(), units=1, report_digests=REPORTS)
    second = meters.commit(subject=subject(), units=1, report_digests=list(reversed(REPORTS)))

    fund_a, fund_b = (provider.pk for provider in agreement.providers)
    assert first == second
    assert (agreement.meter.reserved, agreement.meter.committed) == (0, 1)
    assert balances(agreement.contract) == {
        ("escrow", None): 10_000,
        ("fees", None): 1_500,
        ("payable", fund_a): 24_250,
        ("payable", fund_b): 24_250,
    }
    assert Transfer.objects.filter(kind="charge").count() == 1
    payload = ledger.payload_of(meters.charge_entry(subject=subject()))
    assert (payload["amount_fen"], payload["units"], payload["reports"]) == (50_000, 1, REPORTS)


def test_units_that_were_not_used_return():
    agreement = factory.contract(limit=5, unit_price_fen=100, escrow_fen=500)
    meters.reserve(contract=agreement.contract, subject=subject(), units=3, expires_at=LATER)

    meters.commit(subject=subject(), units=1, report_digests=REPORTS)

    assert (agreement.meter.reserved, agreement.meter.committed, agreement.meter.left) == (0, 1, 4)
    assert MeterDay.objects.get().used == 1
    assert balances(agreement.contract)[("escrow", None)] == 400


def test_a_free_run_is_counted_without_a_transfer():
    agreement = factory.contract(unit_price_fen=0, escrow_fen=0)

    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    record = meters.commit(subject=subject(), units=1, report_digests=REPORTS)

    assert record.amount_fen == 0
    assert not Transfer.objects.exists()


def test_a_charge_needs_reports():
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    with pytest.raises(ReportsMissing):
        meters.commit(subject=subject(), units=1, report_digests=[])


def test_a_run_cannot_use_more_than_it_reserved():
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    with pytest.raises(MeterExhausted):
        meters.commit(subject=subject(), units=2, report_digests=REPORTS)


def test_what_was_not_reserved_cannot_be_committed():
    with pytest.raises(ReservationUnknown):
        meters.commit(subject=subject(), units=1, report_digests=REPORTS)


def test_releasing_gives_everything_back_and_twice_is_once():
    agreement = factory.contract(escrow_fen=60_000)
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    meters.release(subject=subject(), reason="PARTY_FAILED")
    again = meters.release(subject=subject(), reason="OTHER")

    assert (agreement.meter.reserved, agreement.meter.committed) == (0, 0)
    assert MeterDay.objects.get().used == 0
    assert balances(agreement.contract) == {("escrow", None): 60_000}
    assert (again.state, again.reason) == (ReservationState.RELEASED, "PARTY_FAILED")
    assert Transfer.objects.filter(kind="release").count() == 1


def test_releasing_what_was_never_reserved_is_nothing():
    assert meters.release(subject=subject(), reason="PARTY_FAILED") is None


def test_a_charged_run_cannot_be_released_nor_a_released_one_charged():
    agreement = factory.contract()
    for number in (1, 2):
        meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)
    meters.commit(subject=subject(1), units=1, report_digests=REPORTS)
    meters.release(subject=subject(2), reason="PARTY_FAILED")

    with pytest.raises(ReservationResolved), transaction.atomic():
        meters.release(subject=subject(1), reason="PARTY_FAILED")
    with pytest.raises(ReservationResolved), transaction.atomic():
        meters.commit(subject=subject(2), units=1, report_digests=REPORTS)

    assert (agreement.meter.reserved, agreement.meter.committed) == (0, 1)


def test_a_charge_cannot_be_repeated_on_other_reports():
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    meters.commit(subject=subject(), units=1, report_digests=REPORTS)

    with pytest.raises(ReservationResolved):
        meters.commit(subject=subject(), units=1, report_digests=["c" * 64])


def test_a_reservation_whose_time_is_over_returns_by_itself():
    agreement = factory.contract(escrow_fen=60_000)
    now = timezone.now()
    meters.reserve(contract=agreement.contract, subject=subject(1), expires_at=now + timedelta(seconds=5), now=now)
    early = meters.expire(now=now + timedelta(seconds=4))

    expired = meters.expire(now=now + timedelta(seconds=5))

    assert (early, expired, meters.expire(now=now + timedelta(seconds=6))) == (0, 1, 0)
    assert agreement.meter.reserved == 0
    assert balances(agreement.contract) == {("escrow", None): 60_000}
    with pytest.raises(ReservationResolved):
        meters.commit(subject=subject(1), units=1, report_digests=REPORTS)


def test_a_broken_transaction_leaves_nothing_behind(monkeypatch):
    agreement = factory.contract(escrow_fen=60_000)
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)

    def dies(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(meters, "_record_charge", dies)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        meters.commit(subject=subject(), units=1, report_digests=REPORTS)
    monkeypatch.undo()

    assert (agreement.meter.reserved, agreement.meter.committed) == (1, 0)
    assert not UsageRecord.objects.exists()
    assert balances(agreement.contract) == {("escrow", None): 10_000, ("held", None): 50_000}
    meters.commit(subject=subject(), units=1, report_digests=REPORTS)
    assert UsageRecord.objects.get().amount_fen == 50_000


@pytest.mark.parametrize("units", [0, -1, True, 1.0, "1"])
def test_only_whole_positive_units_are_counted(units):
    agreement = factory.contract()

    with pytest.raises(UsageInvalid):
        meters.reserve(contract=agreement.contract, subject=subject(), units=units, expires_at=LATER)


def test_the_database_itself_keeps_the_meter_within_its_limit():
    agreement = factory.contract(limit=3)

    with pytest.raises(IntegrityError, match="meter_never_beyond_limit"), transaction.atomic():
        Meter.objects.filter(contract=agreement.contract).update(reserved=2, committed=2)


def test_terms_are_frozen_in_the_database():
    agreement = factory.contract()

    with pytest.raises(Exception, match="terms_are_frozen"), transaction.atomic():
        Contract.objects.filter(pk=agreement.contract.pk).update(terms={})


def test_no_total_goes_to_a_chain_without_a_grant():
    agreement = factory.contract()
    meters.reserve(contract=agreement.contract, subject=subject(), expires_at=LATER)
    meters.commit(subject=subject(), units=1, report_digests=REPORTS)

    assert not ChainRecord.objects.exists()
    assert sum(Posting.objects.values_list("amount_fen", flat=True)) == 0
