"""One budget for each table: exact, never overspent by any race, spent for good, and free for the same question."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from compute.engines.privacy import noised
from compute.node import admission, budget, noises, preflight, verdicts
from compute.node import config as configuration
from compute.node.budget import Limits, Spending
from compute.node.errors import ConfigInvalid
from compute.node.store import Store
from compute.protocol import layouts, operations
from compute.protocol.codes import Refused
from exchange.kernel.identifiers import make_urn, new_ulid
from tests.factories.node import NOW, Provider
from tests.factories.privacy import PreparedJob, description
from tests.unit.node import cases

LAPLACE = {"mechanism": "discrete_laplace", "epsilon": "0.1"}
BUYER = make_urn("org", new_ulid())
DESCRIPTION = description()


def wanted(number: int = 0, **changes: Any) -> Spending:
    values = {
        "dataset": "housing_fund",
        "commitment": "a" * 64,
        "query": f"{number:064d}",
        "contract": "c",
        "buyer": BUYER,
        "epsilon_micro": 100_000,
        "delta_pico": 0,
        "limits": Limits(),
    }
    return Spending(**{**values, **changes})


def job_of(contract: dict[str, Any]) -> dict[str, Any]:
    return {"id": make_urn("computation", new_ulid()), "contract": contract["id"]}


def reserve(fund: Provider, spending: Spending) -> str:
    job = job_of(fund.contract)
    fund.store.reserve(job=job, task="t", fencing_token=1, spending=spending)
    return job["id"]


def left(fund: Provider) -> int:
    connection = fund.store.connection()
    return budget.balance(connection, dataset="housing_fund", limits=Limits(), now=fund.world.clock()).left_micro


def test_ten_answers_of_a_tenth_are_one_whole_and_the_eleventh_is_refused(fund):
    for number in range(10):
        reserve(fund, wanted(number, commitment=f"{number % 2:064d}", contract=f"c{number}"))  # versions, contracts

    with pytest.raises(Refused) as refused:
        reserve(fund, wanted(10))

    assert refused.value.code == "QUOTA_EXHAUSTED"
    assert left(fund) == 0
    assert fund.store.meter(fund.contract["id"])["reserved"] == 10  # the refused one took no unit either
    reserve(fund, wanted(10, dataset="another_table", commitment="f" * 64))


def test_the_same_question_is_paid_once_by_whoever_asks_first(fund):
    first = reserve(fund, wanted(1))
    second = reserve(fund, wanted(1, buyer=make_urn("org", new_ulid()), contract="other"))

    assert left(fund) == 900_000
    assert budget.taken(fund.store.connection(), computation=first) == 100_000
    assert budget.taken(fund.store.connection(), computation=second) == 0
    reserve(fund, wanted(1, commitment="b" * 64))  # another version is another answer
    assert left(fund) == 800_000


def test_a_run_that_came_to_nothing_has_spent_all_the_same(fund):
    computation = reserve(fund, wanted())
    fund.store.void(computation, code="ENGINE_FAILED")

    assert fund.store.meter(fund.contract["id"])["reserved"] == 0  # the unit is given back
    assert left(fund) == 900_000
    for statement in ("DELETE FROM spendings", "UPDATE spendings SET epsilon_micro = 1"):
        with pytest.raises(sqlite3.IntegrityError):
            fund.store.connection().execute(statement)


def test_what_was_spent_counts_for_a_whole_year_wherever_the_year_begins(fund):
    reserve(fund, wanted(1, epsilon_micro=1_000_000))
    fund.world.now = NOW + timedelta(days=364)  # a new calendar year has begun
    with pytest.raises(Refused):
        reserve(fund, wanted(2))

    fund.world.now = NOW + timedelta(days=366)
    reserve(fund, wanted(2))


def test_a_clock_set_back_frees_nothing(fund):
    reserve(fund, wanted(1, epsilon_micro=1_000_000))
    fund.world.now = NOW - timedelta(days=400)

    with pytest.raises(Refused):
        reserve(fund, wanted(2))


def test_delta_has_a_budget_of_its_own(fund):
    reserve(fund, wanted(1, epsilon_micro=1, delta_pico=999_999))
    with pytest.raises(Refused):
        reserve(fund, wanted(2, epsilon_micro=1, delta_pico=2))
    reserve(fund, wanted(3, epsilon_micro=1, delta_pico=1))


# --- races --------------------------------------------------------------------------------------------------


class UnguardedStore(Store):
    """Looks what is left, then takes: what a budget must not do."""

    def reserve(self, *, spending: Spending, **job: Any) -> None:
        connection = self.connection()
        found = budget.balance(connection, dataset=spending.dataset, limits=spending.limits, now=self.clock())
        if found.left_micro < spending.epsilon_micro:
            raise Refused("QUOTA_EXHAUSTED")
        time.sleep(0.01)
        unlimited = replace(spending, limits=replace(spending.limits, epsilon_micro=10**9))
        budget.spend(connection, unlimited, computation=job["job"]["id"], now=self.clock())


def race(fund: Provider, store: Store) -> int:
    """Twelve threads ask different questions as fast as they can; the millionths that were spent in all."""
    barrier = threading.Barrier(12)

    def work(thread: int) -> None:
        barrier.wait()
        for number in range(3):
            spending = wanted(thread * 10 + number, epsilon_micro=70_000)
            try:
                store.reserve(job=job_of(fund.contract), task="t", fencing_token=1, spending=spending)
            except Refused:
                continue
        store.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(store.connection().execute("SELECT sum(epsilon_micro) FROM spendings").fetchone()[0])


def test_parallel_reservations_never_overspend(fund):
    assert race(fund, fund.store) == 14 * 70_000  # the fifteenth would be 1.05


def test_without_the_guard_the_same_race_overspends(fund):
    assert race(fund, UnguardedStore(fund.config.database, clock=fund.world.clock)) > 1_000_000


# --- crash --------------------------------------------------------------------------------------------------

_CHILD = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from compute.node import budget, noises
from compute.node.budget import Limits, Spending
from compute.node.store import Store
home, contract, computation, point = Path(sys.argv[1]), *sys.argv[2:]
store = Store(home / "node.sqlite3", clock=lambda: datetime(2026, 11, 21, 5, 30, tzinfo=UTC))
spent = Spending("housing_fund", "a" * 64, "q" * 64, contract, "buyer", 100_000, 0, Limits())
if point == "in the transaction":
    taken = budget.spend
    def spend(*args, **kwargs):
        taken(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    budget.spend = spend
store.reserve(job={"id": computation, "contract": contract}, task="t", fencing_token=1, spending=spent)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("point", "expected"), [("in the transaction", 1_000_000), ("after it", 900_000)])
def test_killed_the_epsilon_is_spent_with_the_reservation_or_not_at_all(fund, point, expected):
    computation = make_urn("computation", new_ulid())
    arguments = [sys.executable, "-c", _CHILD, str(fund.config.home), fund.contract["id"], computation, point]
    ended = subprocess.run(arguments, cwd=Path(__file__).parents[3], check=False, env={**os.environ, "PYTHONPATH": "."})

    assert ended.returncode == -signal.SIGKILL
    assert left(fund) == expected
    assert (fund.store.job_state(computation) is not None) == (expected == 900_000)
    if expected == 900_000:
        fund.store.void(computation, code="RUN_INTERRUPTED")  # as the daemon does at its next start
        assert left(fund) == expected


# --- noise --------------------------------------------------------------------------------------------------


def asking(fund: Provider, **changes: Any) -> dict[str, Any]:
    return cases.asking(
        fund, **{"privacy": LAPLACE, "filters": [{"column": "base", "from": "1000", "to": "1020"}], **changes}
    )


def admitted(fund: Provider, request: dict[str, Any]) -> admission.Case:
    bundle = fund.world.bundle(fund.contract, request, consents=fund.consented(request))
    case = cases.case_of(fund, bundle)
    admission.admit(case)
    return case


def prepared(case: admission.Case, path: Path) -> dict[str, Any]:
    path.mkdir()
    noises.prepare(case, into=path)
    return json.loads((path / noised.NOISE_FILE).read_text())


def test_a_noised_request_is_admitted_and_a_repeat_by_another_gets_the_same_noise(fund, tmp_path):
    first = admitted(fund, asking(fund))
    second = admitted(fund, asking(fund, min_group=30))
    other = admitted(fund, asking(fund, filters=[]))

    noise = [prepared(case, tmp_path / f"run{number}") for number, case in enumerate((first, second, other))]

    assert noise[0] == noise[1]
    assert noise[0] != noise[2]
    assert left(fund) == 800_000
    member = verdicts.gate_member(second.verdict, computation=second.job["id"], min_group=10, store=fund.store, now=NOW)
    assert (member["tier"], member["epsilon"], member["spent"], member["left"]) == (2, "0.1", "0", "0.8")


def test_what_the_node_prepares_is_what_real_engines_compute_with(fund, tmp_path):
    """From admission to the opened answer over stored rows; the same table stands in for the other owner's."""
    case = admitted(fund, asking(fund, group_by=["age_band"]))
    drawn = prepared(case, tmp_path / "run")["noise"]
    files = [{noised.NOISE_FILE: (tmp_path / "run" / noised.NOISE_FILE).read_text()}] * 2
    stored = fund.config.datasets / "housing_fund" / "1"
    parameters = case.request["parameters"]

    found = PreparedJob(tmp_path, "joint_statistics", parameters, [stored, stored], files=files).result()

    # Twenty persons from 1,000.50 to 1,019.50, in turn two of each age band.
    for place, band in enumerate(("20-29", "30-39")):
        wages = [1000 + n + Fraction(1, 2) for n in range(20) if n // 2 % 2 == place]
        count = 2 * (len(wages) + drawn[0][place])
        cell = next(item for item in found["cells"] if item["group"]["age_band"] == band)
        if count < 10:
            assert cell["withheld"]
        else:
            assert cell["count"] == count
            assert Fraction(cell["sum"]) == 2 * (sum(wages) + Fraction(drawn[1][place], 100))


def test_the_number_of_persons_in_common_has_another_noise_with_another_table(fund):
    """Two answers with one noise, less one another, would be exact: whether the other table's new person is here."""
    parameters = operations.matching(receiver=BUYER, privacy=LAPLACE)

    def asked(commitment: str, *, rank: int = 0) -> Spending:
        parties = [
            {"organization": fund.config.organization, "rank": rank, "role": "data", "dataset_commitment": "a" * 64},
            {"organization": BUYER, "rank": 1 - rank, "role": "data", "dataset_commitment": commitment},
        ]
        request = {"operation": "matching", "parameters": parameters, "contract": "c"}
        description = {**DESCRIPTION, "name": "housing_fund", "commitment": "a" * 64}
        found = verdicts.judge(
            request, description, parties=parties, recipient=BUYER, config=fund.config, min_group=10
        ).spending
        assert found is not None
        return found

    same, again, other, as_second = asked("b" * 64), asked("b" * 64), asked("c" * 64), asked("b" * 64, rank=1)

    assert same == again
    assert len({one.query for one in (same, other, as_second)}) == 3
    for one in (same, again, other, as_second):
        reserve(fund, one)
    assert left(fund) == 700_000


def test_the_stored_noise_is_sealed_and_never_drawn_a_second_time(fund, tmp_path):
    case = admitted(fund, asking(fund))
    kept = prepared(case, tmp_path / "run1")
    (sealed,) = fund.store.connection().execute("SELECT sealed FROM noises").fetchone()

    assert str(kept["noise"][1][0]) not in sealed
    (fund.config.home / noises.KEY_FILE).unlink()
    with pytest.raises(Refused) as refused:
        prepared(case, tmp_path / "run2")  # a second draw would be a second answer for one price
    assert refused.value.code == "ENGINE_FAILED"


def test_no_noise_without_a_spending(fund, tmp_path):
    case = admitted(fund, asking(fund))
    case.verdict = replace(case.verdict, spending=replace(case.verdict.spending, query="0" * 64))

    with pytest.raises(Refused) as refused:
        prepared(case, tmp_path / "run")
    assert refused.value.code == "REQUEST_MISMATCH"


def test_two_runs_at_the_same_time_keep_one_noise(fund, tmp_path):
    case = admitted(fund, asking(fund))
    found: list[Any] = []
    barrier = threading.Barrier(4)

    def slow(plan: Any) -> list[list[int]]:
        barrier.wait()  # all four have found nothing stored
        return [[threading.get_ident() % 10_000] * 2, [1, 1]]

    def work(number: int) -> None:
        into = tmp_path / f"run{number}"
        into.mkdir()
        noises.place(
            case.request["parameters"],
            description=case.dataset,
            wanted=case.verdict.spending,
            store=fund.store,
            home=fund.config.home,
            into=into,
            draw=slow,
        )
        found.append((into / noised.NOISE_FILE).read_text())
        fund.store.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len(set(found)) == 1


def test_admission_refuses_what_an_answer_may_not_take_and_what_is_not_left(fund):
    greedy = asking(fund, privacy={**LAPLACE, "epsilon": "0.2"})
    with pytest.raises(Refused) as refused:
        admitted_without_our_consent(fund, greedy)
    assert refused.value.code == "PARAMETERS_OUT_OF_TERMS"

    reserve(fund, wanted(1, epsilon_micro=950_000))
    request = asking(fund)
    assert fund.consented(request)[0]["decision"] == "refused"  # said before anybody is troubled
    assert fund.store.consent(request["id"])["reason"] == "QUOTA_EXHAUSTED"


def admitted_without_our_consent(fund: Provider, request: dict[str, Any]) -> None:
    bundle = cases._around(fund, request)
    admission.admit(cases.case_of(fund, bundle))


def test_the_reports_gate_says_mechanism_and_budget_and_keeps_its_shape(fund):
    case = admitted(fund, asking(fund))
    member = verdicts.gate_member(case.verdict, computation=case.job["id"], min_group=10, store=fund.store, now=NOW)

    assert member == {
        "tier": 2,
        "min_group": 10,
        "rule": "differential privacy, one person is one row",
        "mechanism": "discrete_laplace",
        "epsilon": "0.1",
        "spent": "0.1",
        "left": "0.9",
    }
    layouts.SHAPES[layouts.EXECUTION_REPORT]["gate"](member, "gate")


def test_pre_flight_tells_peers_of_a_noised_query_nothing_that_depends_on_a_row(fund):
    told = []
    for rows in (8, 9):  # two bands
        case = admitted(fund, asking(fund, min_group=10 + rows))
        described = {**case.dataset, "rows": rows}
        arguments = {"job": case.job, "digest": "d" * 64, "rank": 0, "dataset": described, "clock": 0.0}
        request = {**case.request, "parameters": {**case.request["parameters"], "min_group": 10}}
        told.append(preflight.greeting(request=request, **arguments).rows)
        exact = {**request, "parameters": {**cases.asking(fund)["parameters"]}}
        told.append(preflight.greeting(request=exact, **arguments).rows)

    assert told == [0, 8, 0, 16]


def test_the_owner_sets_the_budget_in_decimals_and_not_in_floats(fund):
    home = fund.config.home
    found = configuration.add_table(home, "privacy", {"epsilon": "0.5", "per_answer": "0.05", "days": 30})
    assert found.privacy == Limits(epsilon_micro=500_000, per_answer_micro=50_000, delta_pico=1_000_000, days=30)

    path = home / configuration.FILE_NAME
    path.write_text(path.read_text().replace('epsilon = "0.5"', "epsilon = 0.5"))
    with pytest.raises(ConfigInvalid):
        configuration.load(home)
