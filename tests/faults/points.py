"""Named moments at which a worker or a node can be stopped: a function, and whether before or after it.

They are armed by wrapping the function inside a forked worker; the code that ships knows nothing of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """Before or after a function, given as `module:name` or `module:Class.name`."""

    place: str
    after: bool


POINTS = {
    "log.before_commit": Point("ledger.actions.log:append", after=True),  # everything written, nothing committed
    "log.leaves_placed": Point("ledger.actions.log:_leaves", after=True),  # taken from the queue, hashed in memory
    "log.leaves_written": Point("ledger.actions.log:_store", after=False),  # leaves in the table, tiles not
    "log.sequenced": Point("ledger.actions.log:sequence", after=True),  # a batch committed, nothing signed
    "log.remembered": Point("ledger.actions.log:remember", after=True),  # in the file, not in the database
    "anchor.before_persist": Point("ledger.actions.anchoring:_persist", after=False),  # signed, not saved
    "anchor.persisted": Point("ledger.actions.anchoring:_persist", after=True),  # saved, not sent
    "anchor.before_send": Point("ledger.backends.evm:EVMBackend.send", after=False),  # saved, by whomever; about to go
    "anchor.sent": Point("ledger.backends.evm:EVMBackend.send", after=True),  # sent, not noted
    "node.engine_started": Point("compute.node.launching:WorkerLauncher.start", after=True),
    "node.before_seal": Point("compute.protocol.sealing:seal", after=False),  # the part is there, in the clear
    "node.sealed": Point("compute.protocol.sealing:seal", after=True),  # nothing is written of it
    "node.finished": Point("compute.node.store:Store.finish", after=True),  # committed, not sent
}


def arm(name: str, then: Callable[[], None], *, nth: int = 1) -> None:
    """Call `then` when the moment comes for the nth time. Lasts as long as the process does."""
    point = POINTS[name]
    owner, attribute = _find(point.place)
    plain = getattr(owner, attribute)
    passed = 0

    def reached() -> None:
        nonlocal passed
        passed += 1
        if passed == nth:
            then()

    @wraps(plain)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not point.after:
            reached()
        result = plain(*args, **kwargs)
        if point.after:
            reached()
        return result

    setattr(owner, attribute, wrapped)


def _find(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *owners, attribute = path.split(".")
    owner: Any = import_module(module)
    for name in owners:
        owner = getattr(owner, name)
    return owner, attribute
