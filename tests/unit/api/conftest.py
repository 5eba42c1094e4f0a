"""Each test starts with empty throttles."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _empty_throttles():
    cache.clear()
