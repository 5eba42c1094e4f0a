"""fund-a's node, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import node as factory


@pytest.fixture
def fund(tmp_path: Path) -> Iterator[factory.Provider]:
    made = factory.provider(tmp_path)
    yield made
    made.store.close()
