"""What every run's report says of its engine has room in the report's closed shape."""

import json
from pathlib import Path

import pytest

from compute.protocol import layouts

CARDS = json.loads((Path(layouts.__file__).parent / "cards.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", sorted(CARDS))
def test_every_card_fits_into_a_report(engine: str) -> None:
    """A longer text would let the node fail while it reports, and the run end as a lost lease."""
    assert all(1 <= len(CARDS[engine][member]) <= 200 for member in ("protocol", "adversary_model"))
