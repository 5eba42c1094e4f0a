"""When the chain was last seen, and how long the exchange may go on without it.

A look counts when the endpoint has shown the recorded chain, our code and the anchored root. Sales go on
while the last look is younger than CHAIN_DOWN_LIMIT_SECONDS, and no anchor has waited for longer: a chain
that answers but takes nothing is down, too. After that nothing new is authorized until the chain is seen
and takes the anchor. Where no chain is configured there is nothing to wait for.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ledger.actions import deployments
from ledger.errors import ChainDownTooLong
from ledger.models import AttemptState, ChainDeployment

SILENT_AFTER = timedelta(seconds=60)


def note(deployment: ChainDeployment, *, now: datetime | None = None) -> None:
    """Remember that the chain has just been seen."""
    moment = now or timezone.now()
    ChainDeployment.objects.filter(pk=deployment.pk).update(seen_at=moment)
    deployment.seen_at = moment


def last_look() -> datetime | None:
    """When the chain was last seen; None where no chain is configured or no contract deployed."""
    deployment = deployments.current_deployment() if settings.CHAIN_RPC_URL else None
    return None if deployment is None else deployment.seen_at or deployment.created


def silent_since(*, now: datetime) -> datetime | None:
    """When a chain that has not been seen for a minute was seen last; None while it answers or there is none."""
    seen = last_look()
    return None if seen is None or now - seen < SILENT_AFTER else seen


def is_down_too_long(*, now: datetime) -> bool:
    """Whether the last look, or the anchor that waits, is older than the bound; never where no chain is configured."""
    seen = last_look()
    if seen is None:
        return False
    waits = _anchor_waits_since()
    return now - min(seen, waits or seen) > timedelta(seconds=settings.CHAIN_DOWN_LIMIT_SECONDS)


def _anchor_waits_since() -> datetime | None:
    """When the step that the chain has not taken yet was first tried; None where nothing is on its way."""
    deployment = deployments.current_deployment()
    if deployment is None:
        return None
    waiting = deployment.attempts.filter(state__in=(AttemptState.PREPARED, AttemptState.SENT)).order_by("-pk").first()
    if waiting is None:
        return None
    newest = deployment.anchors.order_by("-confirmed_at").first()
    tried = deployment.attempts.filter(log=waiting.log_id, old_size=waiting.old_size)
    if newest is not None:
        tried = tried.filter(created__gt=newest.confirmed_at)
    first = tried.order_by("created").first()
    return waiting.created if first is None else first.created


def check(*, now: datetime) -> None:
    """Raise unless the chain was seen within the bound.

    Raises:
        ChainDownTooLong: it goes by itself with the next look at the chain.
    """
    if is_down_too_long(now=now):
        hours = settings.CHAIN_DOWN_LIMIT_SECONDS / 3600
        raise ChainDownTooLong(
            f"The chain has not been seen, or has taken nothing, for more than {hours:g} hours, so nothing new is"
            " authorized; ask again when the status page shows it."
        )
