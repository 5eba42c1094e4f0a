"""How many persons two tables share, from the buyer's request to what the engine is given: exact once, then noised."""

import json
from pathlib import Path
from typing import Any

import pytest

from compute.engines.privacy import noised
from compute.node import admission, budget, consents, noises, verdicts
from compute.protocol import operations
from tests.factories.node import NOW, Provider, provider
from tests.factories.privacy import LAPLACE
from tests.unit.node import cases


@pytest.fixture
def fund(tmp_path: Path) -> Provider:
    return provider(tmp_path, operation=operations.MATCHING)


def ask(fund: Provider, contract: dict[str, Any], **changes: Any) -> dict[str, Any]:
    receiver = contract["objects"][0]["provider"]
    return fund.world.request(contract, parameters=operations.matching(receiver=receiver, **changes))


def admitted(fund: Provider, contract: dict[str, Any], **changes: Any) -> admission.Case:
    request = ask(fund, contract, **changes)
    case = cases.case_of(fund, fund.world.bundle(contract, request, consents=fund.consented(request)))
    admission.admit(case)
    return case


def another_version(fund: Provider) -> dict[str, Any]:
    """A contract with the same two owners, over another version of the other one's table."""
    (own,) = [item["dataset_commitment"] for item in fund.contract["objects"] if item["dataset_commitment"] != "b" * 64]
    made = fund.world.contract({"fund-a": own, "fund-b": "c" * 64}, operation=operations.MATCHING)
    consents.accept_contract(made, config=fund.config, keys=fund.world.keys["fund-a"], store=fund.store)
    consents.set_standing(store=fund.store, contract=made["id"], expires=None, per_day=None, chosen=None)
    return made


def test_a_second_version_of_the_other_table_is_counted_with_noise_or_not_at_all(
    fund: Provider, tmp_path: Path
) -> None:
    exact = [admitted(fund, fund.contract) for _ in range(2)]
    second = another_version(fund)

    request = ask(fund, second)
    assert fund.consented(request)[0]["decision"] == "refused"
    assert fund.store.consent(request["id"])["reason"] == "PARTITION_DIFFERS"
    noisy = [admitted(fund, contract, privacy=LAPLACE) for contract in (fund.contract, fund.contract, second)]

    assert all(case.verdict is not None and case.verdict.tier == verdicts.FIXED_BLOCKS for case in exact)
    drawn = []
    for number, case in enumerate(noisy):
        (tmp_path / str(number)).mkdir()
        noises.prepare(case, into=tmp_path / str(number))
        drawn.append(json.loads((tmp_path / str(number) / noised.NOISE_FILE).read_bytes()))
    assert drawn[0] == drawn[1], "the same question has the same noise"
    queries = [case.verdict.spending.query for case in noisy if case.verdict and case.verdict.spending]
    assert queries[0] == queries[1] != queries[2], "another version is another question"
    left = budget.balance(
        fund.store.connection(), dataset="housing_fund", limits=fund.config.privacy, now=fund.world.clock()
    )
    assert left.left_micro == 800_000, "two questions, three runs"
    member = verdicts.gate_member(
        noisy[1].verdict, computation=noisy[1].job["id"], min_group=10, store=fund.store, now=NOW
    )
    assert (member["tier"], member["epsilon"], member["spent"]) == (verdicts.NOISED, "0.1", "0")
