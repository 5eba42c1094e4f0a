"""When the chain was last seen, and how long the exchange may go on without it.

A look counts when the endpoint has shown the recorded chain, our code and the anchored root. Sales go on
while the last look is younger than CHAIN_DOWN_LIMIT_SECONDS; after that nothing new is authorized until
the chain is seen again. Where no chain is configured there is nothing to wait for.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ledger.actions import deployments
from ledger.errors import ChainDownTooLong
from ledger.models import ChainDeployment

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
    """Whether the last look is older than the bound; never where no chain is configured."""
    seen = last_look()
    return seen is not None and now - seen > timedelta(seconds=settings.CHAIN_DOWN_LIMIT_SECONDS)


def check(*, now: datetime) -> None:
    """Raise unless the chain was seen within the bound.

    Raises:
        ChainDownTooLong: it goes by itself with the next look at the chain.
    """
    if is_down_too_long(now=now):
        hours = settings.CHAIN_DOWN_LIMIT_SECONDS / 3600
        raise ChainDownTooLong(
            f"The chain has not been seen for more than {hours:g} hours, so nothing new is authorized;"
            " ask again when the status page shows it."
        )
