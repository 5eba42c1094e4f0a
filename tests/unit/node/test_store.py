"""The node's memory: exactly the quota under any concurrency, and nothing lost or doubled by kill -9."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from compute.node import journal
from compute.node.errors import JournalBroken
from compute.node.partitions import Use
from compute.node.store import JobState, Store
from compute.protocol.codes import Refused
from exchange.kernel.identifiers import make_urn, new_ulid
from ledger.proofs import statements
from tests.factories import node as factory
from tests.factories.node import NOW, Provider

THREADS = 16


def job_of(contract: dict[str, Any]) -> dict[str, Any]:
    return {"id": make_urn("computation", new_ulid()), "contract": contract["id"]}


class UnguardedStore(Store):
    """Read, decide, write: what a meter must not do."""

    def reserve(
        self, *, job: dict[str, Any], task: str, fencing_token: int, units: int = 1, uses: Sequence[Use] = ()
    ) -> None:
        meter = self.meter(job["contract"])
        if meter["reserved"] + meter["committed"] >= meter["quota"]:
            raise Refused("QUOTA_EXHAUSTED")
        time.sleep(0.005)
        self.connection().execute(
            "UPDATE meters SET reserved = ? WHERE contract = ?", (meter["reserved"] + 1, job["contract"])
        )


def race(store: Store, contract: dict[str, Any], *, each: int) -> int:
    """Sixteen threads reserve as fast as they can; how many were granted."""
    granted: list[int] = []
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        barrier.wait()
        for _ in range(each):
            try:
                store.reserve(job=job_of(contract), task="t", fencing_token=1)
            except Refused:
                continue
            granted.append(1)
        store.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(granted)


def test_sixteen_threads_get_exactly_the_quota(fund: Provider) -> None:
    assert race(fund.store, fund.contract, each=4) == 20
    assert fund.store.meter(fund.contract["id"]) == {"quota": 20, "reserved": 20, "committed": 0}


def test_without_the_guard_the_same_race_grants_more(fund: Provider) -> None:
    unguarded = UnguardedStore(fund.config.database, clock=fund.world.clock)

    assert race(unguarded, fund.contract, each=4) > 20


def test_one_job_id_is_taken_once_by_sixteen_threads(fund: Provider) -> None:
    job, taken, codes = job_of(fund.contract), [], set()

    def work() -> None:
        try:
            fund.store.reserve(job=job, task="t", fencing_token=1)
            taken.append(1)
        except Refused as refused:
            codes.add(refused.code)
        finally:
            fund.store.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
    assert codes == {"JOB_REPLAYED"}
    assert fund.store.meter(fund.contract["id"])["reserved"] == 1


def test_a_voided_unit_comes_back_once_but_its_job_id_never(fund: Provider) -> None:
    job = job_of(fund.contract)
    fund.store.reserve(job=job, task="t", fencing_token=1)

    fund.store.void(job["id"], code="RUN_CANCELLED")
    fund.store.void(job["id"], code="RUN_CANCELLED")

    assert fund.store.meter(fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 0}
    with pytest.raises(Refused) as refused:
        fund.store.reserve(job=job, task="t", fencing_token=1)
    assert refused.value.code == "JOB_REPLAYED"


def test_a_run_takes_all_its_units_or_none(tmp_path: Path) -> None:
    made = factory.provider(tmp_path, quota={"total": 100, "per_day": 90})
    first, second = job_of(made.contract), job_of(made.contract)
    made.store.reserve(job=first, task="t", fencing_token=1, units=45)
    made.store.reserve(job=second, task="t", fencing_token=1, units=45)
    with pytest.raises(Refused) as refused:
        made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1, units=1)  # the day's ninety are used
    assert refused.value.code == "QUOTA_EXHAUSTED"

    made.store.void(first["id"], code="RUN_CANCELLED")

    assert made.store.meter(made.contract["id"]) == {"quota": 100, "reserved": 45, "committed": 0}
    with pytest.raises(Refused):
        made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1, units=46)
    assert made.store.meter(made.contract["id"])["reserved"] == 45


def test_a_file_of_an_earlier_version_learns_of_units(tmp_path: Path) -> None:
    made = factory.provider(tmp_path)
    kept = job_of(made.contract)
    made.store.reserve(job=kept, task="t", fencing_token=1)
    made.store.connection().execute("ALTER TABLE jobs DROP COLUMN units")
    made.store.close()

    again = Store(made.config.database, clock=made.world.clock)
    again.void(kept["id"], code="RUN_CANCELLED")

    assert again.meter(made.contract["id"])["reserved"] == 0


def test_the_day_has_a_limit_of_its_own(tmp_path: Path) -> None:
    made = factory.provider(tmp_path, quota={"total": 20, "per_day": 2})
    for _ in range(2):
        made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1)
    with pytest.raises(Refused):
        made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1)

    made.world.now = NOW.replace(day=22)

    made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1)


def test_the_minute_has_a_limit_of_its_own(tmp_path: Path) -> None:
    made = factory.provider(tmp_path, quota={"rate_per_minute": 1})
    made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1)
    with pytest.raises(Refused) as refused:
        made.store.reserve(job=job_of(made.contract), task="t", fencing_token=1)
    assert refused.value.code == "QUOTA_EXHAUSTED"


def test_revocations_win_by_sequence_and_never_go_back(fund: Provider) -> None:
    def document(sequence: int) -> dict[str, Any]:
        return {"contract": fund.contract["id"], "organization": "o", "sequence": sequence}

    assert fund.store.add_revocation(document(2))
    assert not fund.store.add_revocation(document(1))
    assert not fund.store.add_revocation(document(2))
    assert fund.store.is_revoked(fund.contract["id"])


@pytest.mark.parametrize("sql", ["UPDATE journal SET line = '{}'", "DELETE FROM journal", "DELETE FROM reports"])
def test_journal_and_reports_are_append_only(fund: Provider, sql: str) -> None:
    fund.store.finish(computation="c", verb="refuse", body={}, report=_report)
    with pytest.raises(Exception, match="append-only"):
        fund.store.connection().execute(sql)


def test_a_journal_changed_behind_its_back_is_found_by_line(fund: Provider) -> None:
    connection = fund.store.connection()
    count = journal.verify(connection)
    connection.execute("DROP TRIGGER journal_no_update")
    connection.execute("UPDATE journal SET line = replace(line, 'dataset.added', 'dataset.gone') WHERE sequence = 1")

    with pytest.raises(JournalBroken, match="Line 1 "):
        journal.verify(connection)
    assert count >= 2


# --- kill -9 ------------------------------------------------------------------------------------------------

_CHILD = """
import json, os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from compute.node.partitions import Use
from compute.node.store import Store
path, contract, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = Store(path, clock=lambda: datetime(2026, 11, 21, 5, 30, tzinfo=UTC))
job = {"id": sys.argv[4], "contract": contract}
store.reserve(job=job, task="t", fencing_token=3)
if point == "reserved":
    os.kill(os.getpid(), signal.SIGKILL)
store.start(job["id"])
def report(sequence, previous):
    made = {"sequence": sequence, "previous": previous, "outcome": "completed", "code": None,
            "computation": job["id"], "contract": contract}
    if point == "in_transaction":
        store.connection().execute("INSERT INTO outbox (verb, computation, body, written_at) VALUES ('x','x','x','x')")
        os.kill(os.getpid(), signal.SIGKILL)
    return made
store.finish(computation=job["id"], verb="submit", body={"task": "t", "fencing_token": 3, "sealed_part": "AAAA"},
             report=report)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed_at(fund: Provider, point: str) -> str:
    computation = make_urn("computation", new_ulid())
    arguments = [sys.executable, "-c", _CHILD, str(fund.config.database), fund.contract["id"], point, computation]
    ended = subprocess.run(arguments, cwd=Path(__file__).parents[3], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL
    return computation


def test_killed_between_reserve_and_run_the_reservation_is_known_and_voidable(fund: Provider) -> None:
    computation = _killed_at(fund, "reserved")

    assert [item["computation"] for item in fund.store.unfinished()] == [computation]
    assert fund.store.meter(fund.contract["id"])["reserved"] == 1
    fund.store.void(computation, code="RUN_INTERRUPTED")
    assert fund.store.meter(fund.contract["id"])["reserved"] == 0


def test_killed_inside_the_sealing_transaction_nothing_of_it_stays(fund: Provider) -> None:
    computation = _killed_at(fund, "in_transaction")

    assert fund.store.job_state(computation) is JobState.RUNNING
    assert fund.store.reports() == []
    assert fund.store.waiting() == []
    assert fund.store.meter(fund.contract["id"]) == {"quota": 20, "reserved": 1, "committed": 0}


def test_killed_after_seal_before_send_the_identical_report_waits(fund: Provider) -> None:
    computation = _killed_at(fund, "sealed")

    (first,) = fund.store.waiting()
    again = Store(fund.config.database, clock=fund.world.clock)
    (second,) = again.waiting()
    assert first == second
    assert first[3]["report"] == fund.store.reports()[0]
    assert statements.digest(first[3]["report"]) == statements.digest(json.loads(json.dumps(second[3]["report"])))
    assert fund.store.job_state(computation) is JobState.SEALED
    assert fund.store.unfinished() == []
    again.settle(first[0], answer="recorded")
    assert fund.store.job_state(computation) is JobState.SENT
    assert fund.store.meter(fund.contract["id"]) == {"quota": 20, "reserved": 0, "committed": 1}
    again.close()


def _report(sequence: int, previous: str | None) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "previous": previous,
        "outcome": "refused",
        "code": "JOB_REPLAYED",
        "computation": "c",
        "contract": "c",
    }
