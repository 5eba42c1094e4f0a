"""Processes and lines that break: engines and nodes killed, relays cut, peers that are slow, silent or stopped."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings

from compute.node import leftovers
from compute.node.errors import ExchangeUnavailable
from tests.factories.links import RunningRelay
from tests.faults.compute_parties import armed_node
from tests.faults.compute_world import World
from tests.faults.verdicts import Broken, Verdict, detected, healed, scenario, sister

FUNDS = ("fund-a", "fund-b")
LOST = {"LINK_FAILED", "ENGINE_FAILED"}  # by the survivor, or by the victim's own node, whichever reports first


def ended(world: World, ref: str, *, codes: set[str], beside: str = "") -> Verdict:
    """It ended with one of the codes and left nothing, and another job was not touched."""
    code = world.check_void(ref)
    if code not in codes:
        raise Broken(f"ended with {code}, not with one of {', '.join(sorted(codes))}")
    world.check_next(beside)
    world.check_clean()
    return detected({code}, wanted=())


def struck(world: World, strike: Callable[[int], None], *, stage: tuple[str, ...], percent: int = 0) -> str:
    """A run whose engine was struck at a stage, at a party drawn from the seed; asked again when it was too fast."""
    victim = world.rng.choice(FUNDS)
    for _ in range(5):
        world.parties[victim].launcher.started.clear()
        ref = world.ask()
        pid = world.engine_at(victim, stage, percent=percent, of=ref)
        if pid is not None:
            with suppress(ProcessLookupError):
                strike(pid)
            if world.wait(ref)[0] != "released":
                return ref
        else:
            world.wait(ref)
    raise Broken("every run was over before the fault")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@scenario("engine_killed_at_link")
def engine_killed_at_link(world: World) -> Verdict:
    """kill -9 of one engine before the mesh stands; a second request waits behind."""
    world.agree()
    return ended(world, struck(world, kill, stage=("link",)), codes=LOST)


@scenario("engine_killed_at_run")
def engine_killed_at_run(world: World) -> Verdict:
    """kill -9 of one engine that is linked and at work."""
    world.agree()
    return ended(world, struck(world, kill, stage=("link", "load", "compute", "share"), percent=20), codes=LOST)


@scenario("node_killed_with_an_engine")
def node_killed_with_an_engine(world: World) -> Verdict:
    """kill -9 of a node whose engine has just started: the engine dies with it, the unit comes back at the start."""
    return _node_killed(world, "node.engine_started")


@scenario("node_killed_at_seal")
def node_killed_at_seal(world: World) -> Verdict:
    """kill -9 of a node with its part computed: before sealing, or sealed and the report not yet written."""
    return _node_killed(world, world.rng.choice(["node.before_seal", "node.sealed"]))


def _node_killed(world: World, point: str) -> Verdict:
    victim = world.rng.choice(FUNDS)
    world.agree(down=(victim,))
    process = armed_node(world.parties[victim], point)
    try:
        ref = world.ask()
        world.until(lambda: process.poll() is not None, f"the node never came to {point}: {world.tasks(ref)}")
    finally:
        process.kill()
    if process.returncode != -signal.SIGKILL:
        raise Broken(f"the node ended with {process.returncode} and not by the kill")
    world.parties[victim].start()
    return ended(world, ref, codes={"RUN_INTERRUPTED", "LINK_FAILED", "LEASE_LOST"})


@scenario("node_killed_after_seal")
def node_killed_after_seal(world: World) -> Verdict:
    """kill -9 with report and sealed part on disk and nothing sent: the same part is sent at the next start."""
    victim = world.rng.choice(FUNDS)
    world.agree(down=(victim,))
    process = armed_node(world.parties[victim], "node.finished")
    try:
        ref = world.ask()
        world.until(lambda: process.poll() is not None, f"the node never finished: {world.tasks(ref)}")
    finally:
        process.kill()
    world.parties[victim].start()
    world.check_next(ref)
    world.check_next()
    world.check_clean()
    return healed()


@scenario("relay_cut_in_the_run")
def relay_cut_in_the_run(world: World) -> Verdict:
    """The only line between the nodes dies with some of the engines' messages through; then it is back."""
    return _relay_cut(world, low=0.94, high=0.985)


@scenario("relay_cut_at_preflight")
def relay_cut_at_preflight(world: World) -> Verdict:
    """It dies while the nodes try their links."""
    return _relay_cut(world, low=0.02, high=0.40)


def _relay_cut(world: World, *, low: float, high: float) -> Verdict:
    relay = RunningRelay()
    world.closing.callback(relay.stop)
    world.agree(relay=relay.address, walled=True)
    world.wait(world.ask(), "released")  # it does work through the relay
    part = world.rng.uniform(low, high)
    # Runs differ in how often a peer dials: one that came through with fewer bytes is the next measure.
    for _ in range(5):
        whole = len(relay.seen)
        if not whole:
            raise Broken("nothing went through the relay")
        relay.chunks.clear()
        relay.cut_after = int(whole * part)
        ref = world.ask()
        if world.wait(ref)[0] != "released" or len(relay.seen) >= relay.cut_after:
            break
    if any(word in relay.seen for word in (b"district", b"North", b"base", b"columns")):
        raise Broken("the relay can read what passes")
    relay.stop()
    again = RunningRelay(port=int(relay.address.rpartition(":")[2]))
    world.closing.callback(again.stop)
    return ended(world, ref, codes={"LINK_FAILED"})


@scenario("slow_peer")
def slow_peer(world: World) -> Verdict:
    """An engine that is stopped and goes on after the deadline: the run ends at the deadline, for everybody."""
    settings.COMPUTATION_DEADLINE_SECONDS = 10
    world.agree()

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(world.rng.uniform(9, 12), _go_on, [pid]).start()

    ref = struck(world, stop, stage=("link", "load", "compute", "share"), percent=5)
    settings.COMPUTATION_DEADLINE_SECONDS = 60
    return ended(world, ref, codes={"DEADLINE_PASSED", "LINK_FAILED"})


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@scenario("stale_lease")
def stale_lease(world: World) -> Verdict:
    """A node that sleeps through its lease in the middle of a run: its late words are refused, nothing is charged."""
    settings.TASK_LEASE_SECONDS = 1
    world.agree()
    return _asleep(world)


def _asleep(world: World) -> Verdict:
    sleeper = world.parties[world.rng.choice(FUNDS)]
    at, slept, awake = world.rng.choice(["progress", "submit"]), threading.Event(), threading.Event()
    seconds = world.rng.uniform(1.5, 2.5)

    def sleep(verb: str) -> None:
        running = sleeper.launcher.started
        if verb == at and running and not slept.is_set():
            slept.set()
            threading.Timer(seconds, awake.set).start()
        if slept.is_set():  # both of its threads: either may send what the outbox holds
            awake.wait()

    sleeper.wire.called = sleep
    ref = world.ask()
    world.until(lambda: slept.is_set() or world.state(ref)[0] == "failed", "the node never came to sleep")
    world.wait(ref)
    settings.TASK_LEASE_SECONDS = 30
    return ended(world, ref, codes={"LEASE_LOST"})


@scenario("party_never_comes")
def party_never_comes(world: World) -> Verdict:
    """A party consents and never takes its task: the others are let go when the time for readiness is over."""
    settings.COMPUTATION_DEADLINE_SECONDS = 2
    world.agree()
    wire = world.parties[world.rng.choice(FUNDS)].wire

    def away(verb: str) -> None:
        if verb == "claim":
            raise ExchangeUnavailable("not now", zh="")

    wire.called = away
    ref = world.ask()
    world.wait(ref)
    settings.COMPUTATION_DEADLINE_SECONDS = 60
    wire.called = lambda verb: None
    return ended(world, ref, codes={"PARTIES_NOT_READY"})


@scenario("cancelled_while_running")
def cancelled_while_running(world: World) -> Verdict:
    """The buyer cancels with engines at work: both nodes stop within seconds, all is given back."""
    world.agree()
    victim = world.rng.choice(FUNDS)
    world.parties[victim].launcher.on_start = lambda run: os.kill(run._run.pid, signal.SIGSTOP)  # cannot finish first
    ref = world.ask()
    world.wait(ref, "executing")
    world.until(lambda: world.parties[victim].launcher.started, "the engine never started")
    world.withdraw(ref)
    began = time.monotonic()
    world.until(
        lambda: all(run.is_finished() for party in world.parties.values() for run in party.launcher.started),
        "an engine goes on after the buyer has cancelled",
        seconds=5,
    )
    if time.monotonic() - began > 5:
        raise Broken("an engine went on for more than 5 s after the buyer had cancelled")
    world.parties[victim].launcher.on_start = lambda run: None
    return ended(world, ref, codes={"WITHDRAWN_BY_BUYER"})


# --- sisters --------------------------------------------------------------------------------------------------


@sister("engine_killed_without_wiping")
def engine_killed_without_wiping(world: World) -> Verdict:
    """Nobody wipes a run's directory: its files are found."""
    genuine, leftovers.wipe = leftovers.wipe, lambda work_dir: None
    world.closing.callback(setattr, leftovers, "wipe", genuine)
    return engine_killed_at_run(world)


@sister("stale_lease_without_fencing")
def stale_lease_without_fencing(world: World) -> Verdict:
    """The exchange does not look at the lease: the sleeper's run goes on as if nothing had been."""
    from compute.actions import dispatch, node_tasks

    for module, name, nothing in (
        (node_tasks, "_check_lease", lambda *_: None),
        (dispatch, "_take_back_leases", lambda *_: 0),
    ):
        world.closing.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, nothing)
    return stale_lease(world)
