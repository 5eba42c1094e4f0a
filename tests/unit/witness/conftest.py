"""One log and one witness, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.witness.server import Listener
from ledger.witness.witness import Witness
from tests.unit.witness.small_log import SmallLog, opened


@pytest.fixture(scope="session")
def log() -> SmallLog:
    return SmallLog()


@pytest.fixture
def witness(log: SmallLog, tmp_path: Path) -> Iterator[Witness]:
    yield from opened(log, tmp_path)


@pytest.fixture
def listener(witness: Witness) -> Iterator[Listener]:
    found = Listener(witness, request_seconds=1.0)
    found.start()
    yield found
    found.stop()
