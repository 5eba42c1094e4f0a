"""What pages say while the chain is silent."""

from typing import Any

from django import template
from django.conf import settings
from django.utils import timezone

from ledger.actions import chain_looks

register = template.Library()


@register.inclusion_tag("components/chain_outage.html")
def chain_outage() -> dict[str, Any]:
    """Since when the chain is silent, and whether that is too long; nothing while it answers or there is none."""
    now = timezone.now()
    since = chain_looks.silent_since(now=now)
    return {
        "since": since,
        "is_too_long": since is not None and chain_looks.is_down_too_long(now=now),
        "hours": f"{settings.CHAIN_DOWN_LIMIT_SECONDS / 3600:g}",
    }
