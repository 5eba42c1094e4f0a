"""The closed words in which a node tells how far it is: progress for the page, and a bounded list of events.

An event has a stage of this list, a percentage, whole seconds since the claim, and a band of bytes sent (a power of
two). There is no member that could hold a text, so no row, name or identifier can ever stand in the log that all
parties of a run may read. Engines may use finer words of their own; a node sends `run` for one that is not here.
"""

from collections.abc import Mapping
from typing import Any

from compute.protocol import shapes

STAGES = (
    "admission",
    "dataset",
    "preflight",
    "waiting",
    "link",
    "load",
    "key",
    "match",
    "encrypt",
    "compute",
    "compare",
    "lookup",
    "score",
    "train",
    "share",
    "part",
    "run",
    "restart",
    "gate",
    "delivery",
)
OTHER = "run"
MAX_EVENTS = 64  # of one claim; more are not kept
MAX_SECONDS = 7 * 86_400
MAX_BYTES = 1 << 50


def known(stage: str) -> str:
    """The stage as it may be sent: itself when it is on the list, `run` otherwise."""
    return stage if stage in STAGES else OTHER


def band(size_bytes: int) -> int:
    """The smallest power of two that is not below; 0 for nothing. Exact sizes could tell how many rows matched."""
    return 0 if size_bytes <= 0 else min(1 << (size_bytes - 1).bit_length(), MAX_BYTES)


def event(*, sequence: int, stage: str, percent: int, seconds: float, sent_bytes: int) -> dict[str, Any]:
    """One event, every number within its bounds."""
    return {
        "sequence": sequence,
        "stage": known(stage),
        "percent": max(0, min(100, percent)),
        "seconds": max(0, min(MAX_SECONDS, int(seconds))),
        "bytes": band(sent_bytes),
    }


def _band(value: Any, path: str) -> None:
    shapes.integer(0, MAX_BYTES)(value, path)
    if band(value) != value:
        raise shapes.refuse(path, "must be 0 or a power of two")


EVENT_MEMBERS: Mapping[str, shapes.Shape] = {
    "sequence": shapes.integer(0, MAX_EVENTS - 1),
    "stage": shapes.choice(*STAGES),
    "percent": shapes.integer(0, 100),
    "seconds": shapes.integer(0, MAX_SECONDS),
    "bytes": _band,
}
EVENTS = shapes.list_of(shapes.members(EVENT_MEMBERS), high=MAX_EVENTS)
