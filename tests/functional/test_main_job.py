"""The main job on real parts: what the headless demo checks, as a test."""

import pytest

from exchange.runner import checks
from exchange.runner.world import MEMBERS

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_two_results_equal_the_reference_with_one_charge_each(told):
    summary = told.summary()

    assert [one["state"] for one in summary["computations"]] == ["released", "released"]
    assert all(one["equals_reference"] and one["cells"] > 0 for one in summary["computations"])
    assert summary["receipts_verified"]
    assert summary["statements_agree"]
    assert summary["anchored"]
    books = checks.books(told.stack.environment["DATABASE_URL"])
    assert (books.postings_sum, books.unbalanced_transfers, books.charges_per_result) == (0, 0, 1)


def test_planted_values_are_nowhere_in_the_exchange_and_a_leak_would_be_found(told):
    directory = told.stack.directory

    assert checks.canary_hits(told.canaries, run_directory=directory, members=directory / "members") == []
    leak = directory / "media" / "leak.log"
    leak.parent.mkdir(exist_ok=True)
    leak.write_text(told.canaries[0])
    try:
        assert checks.canary_hits(told.canaries, run_directory=directory, members=directory / "members")
    finally:
        leak.unlink()


def test_every_node_is_a_process_of_its_own(told):
    nodes = [process for process in told.stack.supervisor.processes if process.name.startswith("node-")]

    assert len({process.pid for process in nodes}) == len(MEMBERS)
    assert all(process.is_running() for process in nodes)
