"""Leases: what the chain counts before it is used. Always at least the real use, never above the cap."""

from datetime import timedelta

import pytest
from django.utils import timezone

from contracts.actions import grants, leases, lifecycle, meters, revocations
from contracts.errors import ContractRevoked, LeasePending, LeaseRefused, MeterExhausted
from contracts.models import Contract, Grant, Lease, Meter, Reservation, UsageRecord
from contracts.states import ContractState
from exchange.members.permissions import Role
from ledger import actions as ledger
from ledger import keys as own_keys
from ledger.actions import deployments
from ledger.backends.base import own_call
from ledger.backends.memory import MemoryBackend
from ledger.models import ChainRecord
from ledger.proofs import grants as chain_grants
from tests.factories import contracts as factory
from tests.factories.contracts import LATER, subject
from tests.factories.ledger import exchange_key_files
from tests.unit.contracts.test_grants_and_revocations import revocation, signed_grant
from tests.unit.ledger.test_chain_events import send

pytestmark = [pytest.mark.django_db, pytest.mark.chain]
LIMIT = 6


@pytest.fixture(autouse=True)
def _own_keys(settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""
    settings.CHAIN_RPC_URL = "http://127.0.0.1:1"  # one is configured; the tests pass the backend themselves
    settings.METER_LEASE_UNITS = 4


@pytest.fixture
def chain() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def deployment(chain):
    return deployments.deploy(backend=chain, anchor=own_keys.log_keys(), record=own_keys.exchange_keys())


@pytest.fixture
def agreement(chain, deployment):
    made = factory.contract(state=ContractState.SIGNED, chain=True, limit=LIMIT, operation="aligned_statistics")
    for index, provider in enumerate(made.providers):
        by = factory.membership(provider, Role.PROVIDER)
        grants.grant(contract=made.contract, document=signed_grant(made, index), by=by)
    carry(chain)
    lifecycle.advance()
    made.contract.refresh_from_db()
    assert made.contract.state == ContractState.EFFECTIVE
    return made


def carry(chain) -> None:
    for _ in range(3):
        ledger.send_chain_records(backend=chain)


def reserve(agreement, number: int) -> Reservation:
    return meters.reserve(contract=agreement.contract, subject=subject(number), expires_at=LATER)


def totals(chain, deployment) -> set[int]:
    found = [
        chain.grant(deployment.contract_address, grant_id)
        for grant_id in Grant.objects.values_list("grant_id", flat=True)
    ]
    return {one.used for one in found}


def run(agreement, chain, number: int) -> Lease:
    lease = leases.ask(reservation=reserve(agreement, number))
    assert not leases.look(lease)
    carry(chain)
    assert leases.look(lease)
    return lease


def test_a_run_waits_until_every_grants_total_includes_it(chain, deployment, agreement):
    assert leases.is_needed(agreement.contract, operation="aligned_statistics")
    run(agreement, chain, 1)
    assert totals(chain, deployment) == {1}
    run(agreement, chain, 2)
    assert totals(chain, deployment) == {2}


def test_asking_twice_is_asking_once(chain, agreement):
    reservation = reserve(agreement, 1)
    assert leases.ask(reservation=reservation).pk == leases.ask(reservation=reservation).pk
    assert ChainRecord.objects.filter(kind="meter").count() == len(agreement.providers)


def test_a_failed_runs_unit_is_used_by_the_next_and_the_total_never_falls(chain, deployment, agreement):
    run(agreement, chain, 1)
    meters.release(subject=subject(1), reason="PARTY_FAILED")
    run(agreement, chain, 2)
    assert totals(chain, deployment) == {1}  # one unit in use, one in the total
    run(agreement, chain, 3)
    meters.commit(subject=subject(2), units=1, report_digests=["a" * 64])
    meters.commit(subject=subject(3), units=1, report_digests=["b" * 64])
    carry(chain)
    assert totals(chain, deployment) == {2}


def test_whatever_fails_and_succeeds_the_total_covers_the_use_and_stays_within_the_cap(chain, deployment, agreement):
    for number, outcome in enumerate("fcffcfccfcfcf", start=1):
        try:
            run(agreement, chain, number)
        except MeterExhausted:
            break
        meter = Meter.objects.get()
        assert all(meter.reserved + meter.committed <= total <= LIMIT for total in totals(chain, deployment))
        if outcome == "f":
            meters.release(subject=subject(number), reason="PARTY_FAILED")
        else:
            meters.commit(subject=subject(number), units=1, report_digests=[f"{number:064x}"])
        carry(chain)
        meter.refresh_from_db()
        assert all(meter.committed <= total <= LIMIT for total in totals(chain, deployment))
    assert Meter.objects.get().committed == LIMIT
    assert totals(chain, deployment) == {LIMIT}


def test_after_a_revocation_on_the_chain_nothing_is_counted_any_more(chain, deployment, agreement):
    lease = leases.ask(reservation=reserve(agreement, 1))
    _end_on_chain(chain, deployment, agreement)
    carry(chain)
    with pytest.raises(ContractRevoked):
        leases.look(lease)


def test_a_unit_left_over_from_a_failed_run_does_not_outlive_the_grant(chain, deployment, agreement):
    """The total stands already; only the question whether the grant is open keeps the run back."""
    run(agreement, chain, 1)
    meters.release(subject=subject(1), reason="PARTY_FAILED")
    _end_on_chain(chain, deployment, agreement)
    lease = leases.ask(reservation=reserve(agreement, 2))
    assert lease.total == 1
    carry(chain)
    with pytest.raises(ContractRevoked):
        leases.look(lease)


def test_without_that_question_it_would(chain, deployment, agreement, monkeypatch):
    """The sister."""
    from ledger.actions import chain_records

    run(agreement, chain, 1)
    meters.release(subject=subject(1), reason="PARTY_FAILED")
    _end_on_chain(chain, deployment, agreement)
    monkeypatch.setattr(chain_records, "_is_over", lambda *args: False)
    lease = leases.ask(reservation=reserve(agreement, 2))
    carry(chain)
    assert leases.look(lease)


def test_a_silent_chain_keeps_the_run_waiting(chain, deployment, agreement):
    lease = leases.ask(reservation=reserve(agreement, 1))
    assert [leases.look(lease) for _ in range(3)] == [False, False, False]


def test_without_a_chain_nothing_is_waited_for(agreement, settings):
    settings.CHAIN_RPC_URL = ""
    assert not leases.is_needed(agreement.contract, operation="aligned_statistics")
    assert leases.look(leases.ask(reservation=reserve(agreement, 1)))


def test_the_operator_may_turn_it_off(agreement, settings):
    settings.METER_ON_CHAIN_BEFORE = []
    assert not leases.is_needed(agreement.contract, operation="aligned_statistics")


def test_calls_are_served_from_a_lease_that_the_chain_has_counted(chain, deployment, agreement):
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)
    carry(chain)
    assert totals(chain, deployment) == {4}
    served = [leases.take(agreement.contract) for _ in range(4)]
    assert {lease.pk for lease in served} == {Lease.objects.get().pk}
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)  # the next one, of what is left of the quota
    carry(chain)
    assert totals(chain, deployment) == {LIMIT}
    leases.take(agreement.contract, 2)
    with pytest.raises(MeterExhausted):
        leases.take(agreement.contract)


def test_after_a_revocation_here_or_on_the_chain_no_call_is_served(chain, deployment, agreement):
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)
    _end_on_chain(chain, deployment, agreement)
    carry(chain)
    with pytest.raises(ContractRevoked):
        leases.take(agreement.contract)
    assert Meter.objects.get().reserved == 0  # what the chain refused is given back


def test_a_revocation_here_stops_a_lease_that_is_open(chain, agreement):
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)
    carry(chain)
    leases.take(agreement.contract)
    by = factory.membership(agreement.providers[0], Role.PROVIDER)
    revocations.revoke(contract=agreement.contract, document=revocation(agreement), by=by)
    with pytest.raises(ContractRevoked):
        leases.take(agreement.contract)


def test_what_was_served_is_charged_and_the_rest_returns(chain, deployment, agreement):
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)
    carry(chain)
    lease = leases.take(agreement.contract, 3)
    record = leases.close(lease)
    assert record == leases.close(lease) == UsageRecord.objects.get()
    assert UsageRecord.objects.get().units == 3
    meter = Meter.objects.get()
    assert (meter.reserved, meter.committed) == (0, 3)
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)


def test_a_forgotten_lease_is_charged_for_what_it_served_and_no_more(chain, agreement):
    with pytest.raises(LeasePending):
        leases.take(agreement.contract)
    carry(chain)
    leases.take(agreement.contract, 2)  # and then the server dies
    late = timezone.now() + leases.LIFE + timedelta(minutes=1)
    assert meters.expire(now=late) == 0
    assert leases.close_overdue(now=late) == 1
    assert UsageRecord.objects.get().units == 2
    assert Reservation.objects.get().state == "committed"


def test_another_word_of_the_contract_is_told_as_it_is(chain, agreement):
    lease = leases.ask(reservation=reserve(agreement, 1))
    ChainRecord.objects.filter(kind="meter").update(state="failed", error_code="NOT_RECORDER")
    with pytest.raises(LeaseRefused, match="NOT_RECORDER"):
        leases.look(lease)


def _end_on_chain(chain, deployment, agreement) -> None:
    keys = agreement.keys_of(agreement.providers[0])
    contract = Contract.objects.get()
    grant_id = chain_grants.grant_id(grantor=keys.chain_address, terms_digest=contract.terms_digest)
    send(chain, deployment, own_call("revoke", {"grant_id": grant_id}), by=keys)
