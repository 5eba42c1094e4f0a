"""The contracts' passes. Each may run at any time, any number of times, on any worker."""

from celery import shared_task

from contracts.actions import chain_following, leases, lifecycle, meters


@shared_task(name="contracts.expire_reservations")
def expire_reservations() -> None:
    """Give quota and money of forgotten runs back; charge what leases have served."""
    meters.expire()
    leases.close_overdue()


@shared_task(name="contracts.advance_contracts")
def advance_contracts() -> None:
    """Move contracts on: funded, effective, exhausted, expired, closed; issue statements that are due."""
    lifecycle.advance()


@shared_task(name="contracts.follow_chain_events")
def follow_chain_events() -> None:
    """Make contracts follow what the chain reports of their grants."""
    chain_following.follow_chain_events()
