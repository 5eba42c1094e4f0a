"""A chain that is away for hours, by the clock that is handed in."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from ledger import actions as ledger
from ledger.actions import chain_looks
from ledger.errors import ChainDownTooLong
from tests.faults import outside, proxy
from tests.faults.verdicts import Broken, Verdict, detected, scenario, sister

if TYPE_CHECKING:
    from tests.faults.world import World


@scenario("chain_down_4_hours")
def chain_down_4_hours(world: "World") -> Verdict:
    """Log and sales go on, the page says since when; after four hours nothing new is authorized; then all heals."""
    return _away(world)


def _away(world: "World") -> Verdict:
    from ledger.actions import chain_alarms

    world.start_chain()
    world.grow(world.some())
    world.settle()
    went = timezone.now()
    liar = proxy.Proxy(world.chain_url)
    world.closing.callback(liar.stop)
    liar.mode = lambda method, answer: b""
    real = world.chain_url
    world.look_at(real, through=liar.url)
    for _ in range(world.rng.randint(1, 3)):
        size = world.grow(world.some())
        if world.anchor().outcome != "unreachable":
            raise Broken("a chain that is away was called something else")
    if ledger.anchored_size() >= size:
        raise Broken("something was called anchored without a chain")
    limit = timedelta(seconds=settings.CHAIN_DOWN_LIMIT_SECONDS)
    early = went + timedelta(seconds=world.rng.randint(61, int(limit.total_seconds()) - 60))
    late = went + limit + timedelta(seconds=world.rng.randint(5, 86_400))
    chain_looks.check(now=early)  # raises where it must not
    by = []
    if "chain_silent" in chain_alarms.chain_alarms(now=early):
        by.append("health page")
    try:
        chain_looks.check(now=late)
    except ChainDownTooLong:
        by.append("authorizations")
    if "chain_down_too_long" not in chain_alarms.chain_alarms(now=late):
        raise Broken("the page does not say that the bound has passed")
    if world.seal_refused():
        raise Broken("the log stopped signing because a chain is away")
    liar.mode = None
    world.settle()
    world.look_at(real)
    outside.check_whole(world)
    chain_looks.check(now=timezone.now())
    return detected(by, wanted=["health page", "authorizations"])


@sister("chain_down_without_a_bound")
def chain_down_without_a_bound(world: "World") -> Verdict:
    """No bound: authorizations go on for ever."""
    bound = chain_looks.is_down_too_long
    chain_looks.is_down_too_long = lambda *, now: False
    try:
        return _away(world)
    finally:
        chain_looks.is_down_too_long = bound
