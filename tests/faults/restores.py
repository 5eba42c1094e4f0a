"""Databases that come back from a backup: ten leaves short, and grown again with other entries."""

import shutil
from typing import TYPE_CHECKING

from ledger import actions as ledger
from ledger import keys
from ledger.actions import log
from ledger.actions.anchoring import AnchorOutcome
from tests.faults import outside
from tests.faults.verdicts import Broken, Verdict, detected, healed, scenario, sister

if TYPE_CHECKING:
    from tests.factories.witnesses import Running
    from tests.faults.world import World

LOST = 10


def restored(world: "World") -> outside.Visitor:
    """A log whose database was put back by ten leaves after all of it was signed and anchored."""
    world.start_chain()
    world.grow(world.some())
    world.settle()
    world.grow(world.rng.randint(1, 60))
    backup = world.backup()
    world.grow(LOST)
    world.settle()
    seen = outside.visitor(world)
    world.restore(backup)
    return seen


def witness_refuses(running: "Running") -> bool:
    """Ask the witnesses for the newest checkpoint; whether this one refused it."""
    done = ledger.ask_witnesses()
    return any(name == running.row.name for name, _ in done.troubles)


def whoever_notices(world: "World", seen: outside.Visitor) -> list[str]:
    """Everybody who may look, asked in turn; who noticed."""
    by = []
    if world.seal_refused():
        by.append("sealer (file)")
    if world.anchor().outcome == AnchorOutcome.ALARM:
        by.append("anchoring pass (chain)")
    if world.findings():
        by.append("verify_ledger")
    if seen.look(world):
        by.append("outside verifier")
    if alarmed(world):
        by.append("health page")
    return by


def alarmed(world: "World") -> bool:
    """Whether the page that the staff sees names an alarm."""
    from exchange.desk import queues

    return bool(queues.alarms())


def signed_nothing_else(world: "World", seen: outside.Visitor) -> None:
    """No second history left the house: no new note, no new event.

    Raises:
        Broken: one did.
    """
    size, root = outside.head(world.chain_url, world.address)
    if (size, root) != (seen.size, seen.root.hex()):
        raise Broken("the chain was moved on by a log that was restored")
    if world.sql("SELECT count(*) FROM ledger_checkpoint WHERE size > %s", seen.size) != [(0,)]:
        raise Broken("a second history was signed")


@scenario("restored_10_leaves_back")
def restored_10_leaves_back(world: "World") -> Verdict:
    """The backup lacks ten leaves: nothing is signed until the newest state is back, and then all goes on."""
    seen = restored(world)
    newest = world.database.rsplit("_", 1)[0]
    by = whoever_notices(world, seen)
    signed_nothing_else(world, seen)
    verdict = detected(
        by, wanted=["sealer (file)", "anchoring pass (chain)", "verify_ledger", "outside verifier", "health page"]
    )
    world.restore(newest)
    world.anchor()
    world.record(world.some())
    world.settle()
    outside.check_whole(world)
    if trouble := seen.look(world):
        raise Broken(f"after the newest state was back: {trouble}")
    return verdict


@scenario("restored_and_grown_past_the_chain")
def restored_and_grown_past_the_chain(world: "World") -> Verdict:
    """The restored database takes other entries, more than were lost: nothing of it is signed or anchored."""
    running = world.witness("witness.example") if world.rng.random() < 0.5 else None
    seen = restored(world)
    world.record(LOST + world.rng.randint(1, 200))
    by = whoever_notices(world, seen)
    signed_nothing_else(world, seen)
    if running and world.sql("SELECT size FROM ledger_log")[0][0] <= seen.size:
        raise Broken("the log did not grow past the chain")
    return detected(
        by, wanted=["sealer (file)", "anchoring pass (chain)", "verify_ledger", "outside verifier", "health page"]
    )


@scenario("restored_with_its_files")
def restored_with_its_files(world: "World") -> Verdict:
    """The whole machine is put back, the file too: the chain and whoever looked before still notice."""
    world.start_chain()
    running = world.witness("witness.example")
    world.grow(world.rng.randint(12, 200))
    world.settle()
    ledger.ask_witnesses()
    path = keys.signed_checkpoint_file()
    shutil.copy(path, path.with_suffix(".backup"))
    backup = world.backup()
    world.grow(LOST)
    world.settle()
    ledger.ask_witnesses()
    seen = outside.visitor(world)
    world.restore(backup)
    path.with_suffix(".backup").replace(path)
    past = world.rng.random() < 0.5
    world.record(LOST * 3 if past else LOST // 2)
    ledger.seal()
    by = ["witness"] if witness_refuses(running) else []
    by += whoever_notices(world, seen)
    size, root = outside.head(world.chain_url, world.address)
    if (size, root) != (seen.size, seen.root.hex()):
        raise Broken("the chain took a second history")
    return detected(
        by, wanted=["witness", "anchoring pass (chain)", "verify_ledger", "outside verifier", "health page"]
    )


@sister("restored_without_the_file")
def restored_without_the_file(world: "World") -> Verdict:
    """Nobody compares with the file outside, and no chain has been asked yet: a second history is signed."""
    seen = restored(world)
    world.record(LOST + world.rng.randint(1, 200))
    check = log.check_not_behind
    log.check_not_behind = lambda shard, *, newest: None
    try:
        ledger.seal()
        signed_nothing_else(world, seen)
    finally:
        log.check_not_behind = check
    return healed()


@sister("restored_and_nobody_asked")
def restored_and_nobody_asked(world: "World") -> Verdict:
    """A visitor who keeps nothing sees nothing: the harness does not call that detected."""
    restored(world)
    forgetful = outside.visitor(world)
    return detected(["outside verifier"] if forgetful.look(world) else [], wanted=["outside verifier"])
