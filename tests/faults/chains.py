"""Chains that take blocks back, and a chain that begins anew."""

from typing import TYPE_CHECKING

from ledger.actions.anchoring import AnchorOutcome
from tests.faults import outside
from tests.faults.verdicts import Broken, Verdict, healed, scenario, sister
from tests.faults.world import Anvil

if TYPE_CHECKING:
    from tests.faults.world import World


def _reorganised(world: "World", depth: int) -> Verdict:
    """Take so many blocks back, with the anchors in them; never the contract itself."""
    world.start_chain()
    world.rpc("anvil_mine", hex(depth))
    for blocks in [world.rng.randint(0, 2) for _ in range(world.rng.randint(1, min(depth, 4)))]:
        world.grow(world.some(120))
        if blocks:
            world.rpc("anvil_mine", hex(blocks))
        world.settle()
    before = outside.events(world.chain_url, world.address)
    world.rpc("anvil_reorg", depth, [])
    if len(outside.events(world.chain_url, world.address)) >= len(before):
        raise Broken("the reorganisation took no anchor back")
    world.settle()
    world.record(world.some(120))
    world.settle()
    outside.check_whole(world)
    return healed()


@scenario("reorg_1")
def reorg_1(world: "World") -> Verdict:
    """One block taken back, with the anchor in it."""
    return _reorganised(world, 1)


@scenario("reorg_3")
def reorg_3(world: "World") -> Verdict:
    """Three blocks taken back."""
    return _reorganised(world, 3)


@scenario("reorg_10")
def reorg_10(world: "World") -> Verdict:
    """Ten blocks taken back, with several anchors in them."""
    return _reorganised(world, 10)


@scenario("chain_reset")
def chain_reset(world: "World") -> Verdict:
    """The chain begins anew with another genesis: refused until an epoch is begun, then anchored again."""
    first = world.start_chain()
    world.grow(world.some())
    world.settle()
    before = world.genesis
    first.stop()
    second = Anvil(born=1_700_000_000 + world.rng.randrange(10**6))
    world.closing.callback(second.stop)
    world.look_at(second.url)
    if world.rng.random() < 0.5:
        world.grow(world.some())
    found = world.anchor().outcome
    if found != AnchorOutcome.WRONG_CHAIN:
        raise Broken(f"another genesis was taken for our chain: {found}")
    epoch = world.deploy().epoch
    if epoch != 2 or world.genesis == before:
        raise Broken(f"no second epoch was begun: {epoch}, genesis {before[:10]} and {world.genesis[:10]}")
    world.record(world.some())
    world.settle()
    outside.check_whole(world)
    if world.sql("SELECT count(DISTINCT deployment_id) FROM ledger_anchor") != [(2,)]:
        raise Broken("the old epoch's anchors lost their label")
    return healed()


@sister("reorg_without_another_look")
def reorg_without_another_look(world: "World") -> Verdict:
    """A log that believes its rows and never asks the chain again: the anchor stays away."""
    world.start_chain()
    world.grow(world.some())
    world.settle()
    world.rpc("anvil_reorg", 1, [])
    outside.check_whole(world)
    return healed()
