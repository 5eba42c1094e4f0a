"""The market of the acceptance cases: the told story's exchange, nodes and people; and taps between its nodes."""

from collections.abc import Iterator

import pytest

from tests.functional.acceptance.market import Market
from tests.functional.acceptance.wire import Wire, tapped


@pytest.fixture(scope="module")
def market(told) -> Market:
    return Market(told)


@pytest.fixture(scope="package")
def wire(told) -> Iterator[Wire]:
    """Taps in front of the nodes of bank, housing fund, civil affairs and social security."""
    with tapped(told, ("bank", "fund-a", "civil", "social")) as found:
        yield found
