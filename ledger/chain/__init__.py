"""The on-chain program as committed: its ABI, code and storage layout. Nothing is compiled at run time."""

import json
from functools import cache
from pathlib import Path
from typing import Any

ARTIFACT_PATH = Path(__file__).parent / "ExchangeLedger.json"
SOURCE_PATH = Path(__file__).parent / "ExchangeLedger.vy"


@cache
def artifact() -> dict[str, Any]:
    """The artifact written by `scripts/compile-chain`; callers must not change it."""
    loaded: dict[str, Any] = json.loads(ARTIFACT_PATH.read_text())
    return loaded
