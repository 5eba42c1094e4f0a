"""A whole exchange with five nodes on real parts, started once for all tests of this folder that ask for it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.runner import demo
from exchange.runner.stack import Stack
from exchange.runner.story import Deal, Story
from exchange.runner.tables import synthetic


@pytest.fixture(scope="session")
def told() -> Iterator[Story]:
    """A running exchange on which the demo's whole story has been told: two contracts in force, two results."""
    # Short, and outside the test's own servers: it starts its own PostgreSQL, Valkey, chain, web, worker and nodes.
    with tempfile.TemporaryDirectory(prefix="hs-") as name, pytest.MonkeyPatch.context() as patch:
        for variable in ("DATABASE_URL", "REDIS_URL", "RUN_DIR", "SECRET_KEY", "EMAIL_URL"):
            patch.delenv(variable, raising=False)
        lines: list[str] = []
        stack = Stack(Path(name) / "run", say=lines.append, web_port=23000)
        try:
            demo.start(stack, demo.Clock())
            story = Story(stack, synthetic(), say=lines.append)
            story.tell()
            yield story
        finally:
            stack.supervisor.stop()


@pytest.fixture
def joint(told: Story) -> Deal:
    """The contract over both housing funds."""
    return told.deals[0]


@pytest.fixture
def aligned(told: Story) -> Deal:
    """The contract over housing fund and social security, with the neutral compute party."""
    return told.deals[1]
