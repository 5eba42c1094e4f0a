"""The security cards of the engines, as pages show them: drawn from the engines into `cards.json` beside this module.

The exchange's web and worker processes never load an engine; what an engine promises, they read here.
`scripts/draw-cards` writes the file, and a test compares it with the engines.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DRAWN = Path(__file__).with_name("cards.json")

Card = Mapping[str, Any]


@functools.cache
def cards() -> Mapping[str, Card]:
    """Every card by its engine's id."""
    found: dict[str, Card] = json.loads(_DRAWN.read_text(encoding="utf-8"))
    return found


def card(engine: str) -> Card | None:
    """The card of one engine; None for one that this version does not have."""
    return cards().get(engine)
