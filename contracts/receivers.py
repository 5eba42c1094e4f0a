"""News from below: what the chain reports of grants takes effect at once."""

from typing import Any

from contracts.actions import chain_following
from ledger.signals import chain_events_recorded


def follow_chain(sender: object, **_: Any) -> None:
    """Make contracts follow the events just written; the pass of `contracts.tasks` repeats it every 2 seconds."""
    chain_following.follow_chain_events()


def connect() -> None:
    """Listen to the ledger; called once when Django is ready."""
    chain_events_recorded.connect(follow_chain, dispatch_uid="contracts.follow_chain")
