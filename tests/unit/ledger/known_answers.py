"""Known answers from `tests/vectors`: one good document and named changes, each with the code it must give."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ledger.proofs.errors import VerificationError

VECTORS = Path(__file__).parents[2] / "vectors"


def load(name: str) -> dict[str, Any]:
    """One file of known answers."""
    return json.loads((VECTORS / name).read_text())


def changed(good: str, case: Mapping[str, Any]) -> bytes:
    """The good document with the case's change; code points U+DC80 to U+DCFF stand for bytes that are no UTF-8."""
    old, new = case.get("replace", ["", ""])
    assert old in good, f"the change of {case['name']!r} no longer applies"
    text = case.get("prepend", "") + good.replace(old, new, 1) + case.get("append", "")
    return text.encode("utf-8", "surrogateescape")


def code_of(call: Callable[[], Any]) -> str | None:
    """The code with which a check ends; None where all is well."""
    try:
        call()
    except VerificationError as error:
        return error.code
    return None


def name_of(case: Mapping[str, Any]) -> str:
    """A case's name, for the report of a test."""
    return str(case["name"])
