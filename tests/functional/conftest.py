"""A browser; pages with people and things in them; and a whole exchange with its nodes on real parts."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections
from playwright.sync_api import Browser, sync_playwright

from exchange.runner import demo
from exchange.runner.stack import Stack
from exchange.runner.story import Deal, Story
from exchange.runner.tables import synthetic
from tests.factories import pages
from tests.functional.site import CHROMIUM, FLAGS

# Playwright's synchronous API keeps an event loop in this thread; the database is used beside it, never inside it.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(autouse=True)
def _closed_windows(request: pytest.FixtureRequest) -> Iterator[None]:
    """No window outlives a test of the server in this process: it would go on asking it, where there is no database."""
    yield
    if {"live_server", "browser"} <= set(request.fixturenames):
        for context in request.getfixturevalue("browser").contexts:
            context.close()


@pytest.fixture
def scene(transactional_db, settings, monkeypatch) -> pages.Scene:
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    # The server's threads must not keep connections: the test database is dropped at the end.
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    return pages.scene()


@contextmanager
def without_own_servers() -> Iterator[None]:
    """The environment as it is outside a test run; what follows is a stack of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("DATABASE_URL", "REDIS_URL", "RUN_DIR", "SECRET_KEY", "EMAIL_URL"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="package")
def told() -> Iterator[Story]:
    """A running exchange on which the demo's whole story has been told: two contracts in force, two results.

    It ends with this package: its nodes poll and its workers tick, which the tests after it would pay for.
    """
    # Short, and outside the test's own servers: it starts its own PostgreSQL, Valkey, chain, web, worker and nodes.
    with tempfile.TemporaryDirectory(prefix="hs-") as name:
        lines: list[str] = []
        with without_own_servers():
            stack = Stack(Path(name) / "run", say=lines.append, web_port=23000)
        try:
            with without_own_servers():
                demo.start(stack, demo.Clock())
            story = Story(stack, synthetic(), say=lines.append)
            story.tell()
            yield story
        finally:
            stack.supervisor.stop()
            if stack.cluster is not None:
                shutil.rmtree(stack.cluster, ignore_errors=True)


@pytest.fixture
def joint(told: Story) -> Deal:
    """The contract over both housing funds."""
    return told.deals[0]


@pytest.fixture
def aligned(told: Story) -> Deal:
    """The contract over housing fund and social security, with the neutral compute party."""
    return told.deals[1]
