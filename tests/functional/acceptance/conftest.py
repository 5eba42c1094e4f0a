"""The market of the acceptance cases: the told story's exchange, nodes and people."""

import pytest

from tests.functional.acceptance.market import Market


@pytest.fixture(scope="module")
def market(told) -> Market:
    return Market(told)
