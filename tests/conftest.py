"""Fixtures that every test may ask for."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pgtrigger
import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import TransactionTestCase

from exchange.runner import embedded, supervisor
from tests.services import worker_number

_ROOT = Path(__file__).parent
_LONGEST_FIRST = ("functional", "faults", "concurrency", "integration", "solidity")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Give whole files to workers, and all tests of the running exchange to one: it is started once.

    The directories that take longest come first, so that no worker is left alone with them at the end. Groups are
    named before pytest-xdist reads them, the order is made after pytest-randomly's.
    """
    for item in items:
        place = item.path.relative_to(_ROOT)
        item.add_marker(pytest.mark.xdist_group("functional" if place.parts[0] == "functional" else str(place)))
    yield
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    named = [number for number, name in enumerate(_LONGEST_FIRST) if name in item.path.relative_to(_ROOT).parts]
    return named[0] if named else len(_LONGEST_FIRST)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database ends with nobody in it: a thread of a page's server may still hold a connection."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


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


@pytest.fixture(autouse=True, scope="session")
def _passwords_are_cheap() -> Iterator[None]:
    """Argon2 at its least costs a thousandth; a tenth of a second each is for attackers, not for tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, least in (("time_cost", 1), ("memory_cost", 8), ("parallelism", 1)):
            patch.setattr(Argon2PasswordHasher, name, least)
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
