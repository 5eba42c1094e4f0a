"""Everything a node refuses before it opens a file, each with its code, and that no file was opened."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from compute.node import admission
from compute.protocol import terms
from compute.protocol.codes import Refused
from compute.protocol.shapes import write_time
from exchange.kernel.errors import DomainError
from ledger.proofs import canonical, statements
from ledger.proofs.errors import VerificationError
from tests.factories.node import NOW, Provider
from tests.unit.node import cases
from tests.unit.node.cases import case_of, genuine

_opened: list[str] = []
_watched: list[str] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(tuple(_watched)):
        _opened.append(arguments[0])


sys.addaudithook(_audit)


@contextmanager
def no_dataset_opened(fund: Provider) -> Iterator[None]:
    """Watch every open of this process; nothing below the datasets directory may be opened."""
    _opened.clear()
    _watched.append(str(fund.config.datasets))
    try:
        yield
    finally:
        _watched.clear()
    assert _opened == []


def test_a_genuine_job_is_admitted_and_one_unit_reserved(fund: Provider) -> None:
    bundle = genuine(fund)
    case = case_of(fund, bundle)

    with no_dataset_opened(fund):
        admission.admit(case)

    assert case.rank == 0
    assert case.dataset is not None
    assert case.dataset["name"] == "housing_fund"
    assert fund.store.meter(fund.contract["id"]) == {"quota": 20, "reserved": 1, "committed": 0}


def test_the_audit_hook_does_see_an_opened_dataset(fund: Provider) -> None:
    with pytest.raises(AssertionError), no_dataset_opened(fund):
        (fund.config.datasets / "housing_fund" / "1" / "003.column").read_bytes()


@pytest.mark.parametrize(("change", "code", "step"), cases.REFUSALS, ids=[row[0].__name__ for row in cases.REFUSALS])
def test_refused_before_any_dataset_is_opened(fund: Provider, change: cases.Change, code: str, step: str) -> None:
    bundle = change(fund, genuine(fund))
    before = fund.store.meter(fund.contract["id"])
    case = case_of(fund, bundle)

    with no_dataset_opened(fund), pytest.raises(Refused) as refused:
        admission.admit(case)

    assert (refused.value.code, case.step) == (code, step)
    assert fund.store.meter(fund.contract["id"]) == before


def test_a_dataset_that_cannot_be_opened_does_not_hinder_admission(fund: Provider) -> None:
    bundle = genuine(fund)
    (fund.config.datasets / "housing_fund").rename(fund.config.home / "elsewhere")

    admission.admit(case_of(fund, bundle))

    assert fund.store.meter(fund.contract["id"])["reserved"] == 1


def test_a_lease_that_has_run_out_reserves_nothing(fund: Provider) -> None:
    case = case_of(fund, genuine(fund))
    case.lease_until = 0.0

    with pytest.raises(Refused) as refused:
        admission.admit(case)

    assert refused.value.code == "LEASE_LOST"
    assert fund.store.meter(fund.contract["id"])["reserved"] == 0


def test_any_member_of_the_job_changed_is_refused_though_the_exchange_signs_and_logs_it(fund: Provider) -> None:
    bundle = genuine(fund)
    tried = 0
    for member in sorted(set(bundle["job"]) - {"not_before", "expires", "deadline_seconds", "proof"}):
        text = canonical.canonicalize(bundle["job"][member]).decode()
        for place in range(0, len(text), 9):
            try:
                other = "2" if text[place] == "1" else "1"
                value = canonical.parse((text[:place] + other + text[place + 1 :]).encode())
                changed = {**statements.unsigned(bundle["job"]), member: value}
                job = fund.world.sign(changed, "exchange")
                altered = fund.world.bundle(fund.contract, bundle["request"], job=job, consents=bundle["consents"])
            except (VerificationError, DomainError):
                continue  # such a job cannot even be written
            tried += 1
            with pytest.raises(Refused):
                admission.admit(case_of(fund, altered))
    assert tried > 40
    assert fund.store.meter(fund.contract["id"])["reserved"] == 0


def test_a_contract_out_of_its_term_is_refused_and_its_request_gets_a_no(fund: Provider) -> None:
    fund.world.now = NOW + timedelta(days=365)
    request = fund.world.request(fund.contract, expires=write_time(NOW + timedelta(days=366)))

    with pytest.raises(Refused) as refused:
        admission.check_contract_open(fund.contract, store=fund.store, now=fund.world.now)

    assert refused.value.code == "CONTRACT_NOT_IN_TERM"
    assert fund.consented(request)[0]["decision"] == "refused"
    assert fund.consented(request)[0]["reason"] == "CONTRACT_NOT_IN_TERM"


def test_grants_of_every_data_party_are_asked_for(fund: Provider) -> None:
    admission.admit(case_of(fund, genuine(fund)))

    parties = [terms.party(fund.contract, fund.world.orgs[code]) for code in ("fund-a", "fund-b")]
    assert fund.grants.asked == [party["chain_address"] for party in parties if party]


def test_without_a_chain_a_contract_that_requires_it_does_not_run(fund: Provider) -> None:
    case = case_of(fund, genuine(fund))
    case.grants = None

    with pytest.raises(Refused) as refused:
        admission.admit(case)

    assert refused.value.code == "CHAIN_UNAVAILABLE"
