"""Fixtures that every test may ask for."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pgtrigger
import pytest
from django.test import TransactionTestCase

from exchange.runner import embedded, supervisor
from tests.services import worker_number

_PLACES = {name: place for place, name in enumerate(("functional", "faults", "concurrency", "integration", "solidity"))}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give whole files to workers, and all tests of the running exchange to one: it is started once.

    The directories that take longest come first, so that no worker is left alone with them at the end.
    """
    root = Path(__file__).parent

    def group(item: pytest.Item) -> tuple[int, str]:
        place = item.path.relative_to(root)
        folder = next((part for part in place.parts if part in _PLACES), None)
        return (_PLACES.get(folder or "", len(_PLACES)), "functional" if folder == "functional" else str(place))

    items.sort(key=group)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)[1]))


@pytest.fixture(scope="session")
def chain_rpc() -> Iterator[str]:
    """A fresh anvil chain on loopback for this test run; yields its RPC address."""
    port = supervisor.free_ports(1, start=28545 + 100 * worker_number())[0]
    process = subprocess.Popen(embedded.anvil_command(port=port, state=None))
    ready = supervisor.port_answers(port)
    try:
        for _ in range(200):
            try:
                if ready():
                    break
            except OSError:
                if process.poll() is not None:
                    pytest.fail("anvil did not start")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(autouse=True, scope="session")
def _tables_can_be_emptied_between_tests() -> Iterator[None]:
    """Transactional tests are cleaned up by TRUNCATE, which tables of evidence refuse to everybody else."""
    empty = TransactionTestCase._fixture_teardown

    def teardown(case: TransactionTestCase) -> None:
        with pgtrigger.ignore():
            empty(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield


@pytest.fixture(autouse=True)
def _own_key_files(request: pytest.FixtureRequest) -> None:
    """Give each test with a database the exchange's key files, and a log that has signed nothing yet.

    The log remembers its last signed checkpoint outside the database; a rolled-back test must not leave it.
    """
    marked = request.node.get_closest_marker("django_db") is not None
    if marked or {"db", "transactional_db"} & set(request.fixturenames):
        from tests.factories import ledger as ledger_factory

        ledger_factory.exchange_key_files(
            request.getfixturevalue("settings"), request.getfixturevalue("tmp_path_factory").mktemp("keys")
        )
