"""How long a run may take, when its nodes are free for it, and how long its unit is held.

A party's signed consent says how long the run will take by its engine's own estimate. Nodes work on one task at a time,
and a party that is ready waits for the others no longer than a short run lasts; so while a long one keeps a node, no
other run is given to it, or to the others of its parties.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from compute.models import Computation

# Between the last sign of a party's life and the moment the exchange gives up: parts are sent in this time.
DELIVERY_SECONDS = 30
MARGIN = 4  # an estimate is of a machine with nothing else to do


def run_seconds(consents: Iterable[Mapping[str, Any]]) -> int:
    """Seconds that the parties have from their links to their reports, by the slowest of their estimates."""
    least: int = settings.COMPUTATION_DEADLINE_SECONDS - DELIVERY_SECONDS
    most: int = settings.COMPUTATION_LONGEST_SECONDS
    return max(DELIVERY_SECONDS, min(max(least, MARGIN * (estimated_seconds(consents) or 0)), most))


def estimated_seconds(consents: Iterable[Mapping[str, Any]]) -> int | None:
    """The longest of the parties' estimates; None where none says one."""
    return max((consent["seconds"] for consent in consents if "seconds" in consent), default=None)


def waits_for_node(computation: Computation) -> bool:
    """Whether a node of one of its parties is at work on a long run; it stays authorized until that has ended."""
    parties = [party["organization"] for party in computation.plan["parties"]]
    longer = {"authorization__job__deadline_seconds__gt": settings.COMPUTATION_DEADLINE_SECONDS}
    return Computation.objects.at_nodes_of(parties).filter(**longer).exclude(pk=computation.pk).exists()


def held_until(expires: datetime) -> datetime:
    """When a request's unit would lapse: after the longest run that begins as the request expires."""
    seconds = settings.COMPUTATION_DEADLINE_SECONDS + settings.COMPUTATION_LONGEST_SECONDS + 2 * DELIVERY_SECONDS
    return expires + timedelta(seconds=seconds)
