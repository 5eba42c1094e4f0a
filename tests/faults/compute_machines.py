"""Machines that are not well: wrong clocks, full disks, too little memory; and tables that do not suit a run."""

import os
import resource
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from compute.node import preflight
from compute.protocol import operations
from tests.faults.compute_parties import Party
from tests.faults.compute_processes import FUNDS, ended, struck
from tests.faults.compute_world import CATEGORY, World
from tests.faults.verdicts import Broken, Skip, Verdict, healed, scenario, sister

DISK_MB = 96  # more than pre-flight wants to be free


# --- clocks ---------------------------------------------------------------------------------------------------


@scenario("clock_skew")
def clock_skew(world: World) -> Verdict:
    """One node's clock is one to four minutes off: it stops before its engine, or is not believed before."""
    world.agree()
    party = world.parties[world.rng.choice(FUNDS)]
    party.skew = timedelta(seconds=world.rng.choice([-1, 1]) * world.rng.uniform(62, 240))
    ref = world.ask()
    world.wait(ref)
    if any(one.launcher.started for one in world.parties.values()):
        raise Broken("an engine was started though a clock is off")
    party.skew = timedelta()
    return ended(world, ref, codes={"JOB_OUT_OF_TIME"})


@scenario("clock_skew_told_to_peers_only")
def clock_skew_told_to_peers_only(world: World) -> Verdict:
    """A node that does not compare itself with the exchange: its peers notice, from its greeting."""
    world.agree()
    party = world.parties[world.rng.choice(FUNDS)]
    offset = world.rng.choice([-1, 1]) * world.rng.randint(62, 86_400)
    genuine = preflight.greeting

    def wrong(**kwargs: Any) -> preflight.Greeting:
        mine = kwargs["rank"] == FUNDS.index(party.name)
        return genuine(**{**kwargs, "clock": kwargs["clock"] + (offset if mine else 0)})

    preflight.greeting = wrong
    world.closing.callback(setattr, preflight, "greeting", genuine)
    ref = world.ask()
    world.wait(ref)
    preflight.greeting = genuine
    return ended(world, ref, codes={"JOB_OUT_OF_TIME"})


# --- disks ----------------------------------------------------------------------------------------------------


@scenario("disk_full_before_the_run")
def disk_full_before_the_run(world: World) -> Verdict:
    """A node whose work directory has next to nothing left stops before anybody starts."""
    world.agree(down=FUNDS)
    _, disk = _on_a_small_disk(world)
    _start(world)
    fill(disk, leave_kb=world.rng.randint(0, 60_000))
    ref = world.ask()
    world.wait(ref)
    if any(one.launcher.started for one in world.parties.values()):
        raise Broken("an engine was started on a full disk")
    empty(disk)
    return ended(world, ref, codes={"ENGINE_FAILED"})


@scenario("disk_full_in_the_run")
def disk_full_in_the_run(world: World) -> Verdict:
    """The disk fills up under an engine at work: its part cannot be written."""
    world.agree(down=FUNDS)
    party, disk = _on_a_small_disk(world)
    party.launcher.on_start = lambda run: fill(disk, leave_kb=0)
    _start(world)
    ref = world.ask()
    world.wait(ref)
    party.launcher.on_start = lambda run: None
    empty(disk)
    return ended(world, ref, codes={"ENGINE_FAILED", "LINK_FAILED"})


@scenario("disk_full_at_seal")
def disk_full_at_seal(world: World) -> Verdict:
    """The node's own file cannot grow when the part is to be sealed: no report, no part; it recovers with the room."""
    world.agree(down=FUNDS)
    party, disk = _on_a_small_disk(world, whole=True)
    _start(world)
    from compute.node import runs

    genuine = runs.sealing.seal

    def seal(*args: Any, **kwargs: Any) -> bytes:
        if threading.current_thread() in _threads(party):
            other = sqlite3.connect(party.config.database, timeout=10)
            while other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                time.sleep(0.01)  # somebody reads; no room may be left in the write-ahead file
            other.close()
            fill(disk, leave_kb=0)
        return genuine(*args, **kwargs)

    runs.sealing.seal = seal
    world.closing.callback(setattr, runs.sealing, "seal", genuine)
    ref = world.ask()
    filled = disk / "filled"
    world.until(filled.exists, f"the node never came to seal: {world.tasks(ref)}")
    time.sleep(world.rng.uniform(0.2, 1.0))
    if party.thread is None or not party.thread.is_alive():
        raise Broken("the node has left with the disk full")
    runs.sealing.seal = genuine
    empty(disk)
    return ended(world, ref, codes={"RUN_INTERRUPTED", "ENGINE_FAILED"})


def _threads(party: Party) -> list[threading.Thread]:
    """The thread in which this party's daemon works: named alike for all, so it is told by its daemon."""
    return [
        thread
        for thread in threading.enumerate()
        if getattr(getattr(thread, "_target", None), "__self__", None) is party.daemon
    ]


def _on_a_small_disk(world: World, *, whole: bool = False) -> tuple[Party, Path]:
    """Put a node's work directory, or all of its home, onto a disk of its own."""
    party = world.parties[world.rng.choice(FUNDS)]
    place = party.config.home if whole else party.config.work
    kept = place.with_name(place.name + ".kept")
    place.rename(kept)
    place.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        raise Skip("this user may not mount a small disk")
    world.closing.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
    world.closing.callback(party.stop)
    subprocess.run(["cp", "-a", f"{kept}/.", str(place)], check=True)
    return party, place


def _start(world: World) -> None:
    for party in world.parties.values():
        party.start()


def fill(disk: Path, *, leave_kb: int) -> None:
    """Write until so much is left; with nothing to leave, until not one more page is taken."""
    left = os.statvfs(disk)
    size = max(0, left.f_bavail * left.f_bsize - leave_kb * 1024)
    with suppress(OSError), (disk / "filled").open("ab", buffering=0) as file:
        for block in (1 << 20, 4096):
            with suppress(OSError):
                while leave_kb == 0 or file.tell() + block <= size:
                    if file.write(bytes(block)) < block:
                        break


def empty(disk: Path) -> None:
    """Make room again."""
    (disk / "filled").unlink()


# --- memory ---------------------------------------------------------------------------------------------------


@scenario("memory_gone_in_the_engine")
def memory_gone_in_the_engine(world: World) -> Verdict:
    """An engine gets no more memory from one moment on."""
    world.agree()

    def choke(pid: int) -> None:
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (used, used))

    ref = struck(world, choke, stage=("link",), percent=0)
    return ended(world, ref, codes={"ENGINE_FAILED", "LINK_FAILED"})


@scenario("memory_short_by_the_estimate")
def memory_short_by_the_estimate(world: World) -> Verdict:
    """The owner allows less than the engine says it needs: no engine starts."""
    world.agree(down=FUNDS)
    party = world.parties[world.rng.choice(FUNDS)]
    path = party.config.home / "config.toml"
    genuine = path.read_text()
    path.write_text(f"engine_memory_mb = {world.rng.randint(128, 200)}\n{genuine}")
    _start(world)
    ref = world.ask()
    world.wait(ref)
    if any(one.launcher.started for one in world.parties.values()):
        raise Broken("an engine was started without the memory it needs")
    party.stop()
    path.write_text(genuine)
    party.start()
    return ended(world, ref, codes={"ENGINE_FAILED"})


# --- tables ---------------------------------------------------------------------------------------------------


@scenario("unequal_schemas")
def unequal_schemas(world: World) -> Verdict:
    """One owner's `base` is a category, the other's a number: refused from the descriptions, no file is read."""
    world.agree(base_column={world.rng.choice(FUNDS): CATEGORY})
    ref = world.ask()
    code = world.check_void(ref)
    if any(one.launcher.started for one in world.parties.values()):
        raise Broken("an engine was started over two schemas")
    if code not in {"CONSENT_REFUSED", "PARAMETERS_OUT_OF_TERMS"}:
        raise Broken(f"ended with {code}")
    world.check_clean()
    return _seen(code)


@scenario("a_table_of_a_few_rows")
def a_table_of_a_few_rows(world: World) -> Verdict:
    """One owner has 1 to 8 persons: stopped by the band of its rows, alike for all of these numbers."""
    few = world.rng.randint(1, 8)
    world.agree(rows={world.rng.choice(FUNDS): few})
    ref = world.ask()
    code = world.check_void(ref)
    if code != "PARAMETERS_OUT_OF_TERMS":
        raise Broken(f"ended with {code}")
    if any(one.launcher.started for one in world.parties.values()):
        raise Broken("an engine was started over a table that gives nothing")
    world.check_clean()
    return _seen(code)


@scenario("groups_below_the_least")
def groups_below_the_least(world: World) -> Verdict:
    """One owner's blocks are all below ten persons: released without them, in a part as large as any other."""
    world.agree(rows={world.rng.choice(FUNDS): world.rng.randint(9, 36)})
    world.check_next()
    world.check_clean()
    return healed()


@scenario("intersection_of_none_or_one")
def intersection_of_none_or_one(world: World) -> Verdict:
    """Two tables with no person, or one, in common: an ordinary run with an empty result; nobody is told apart."""
    if not _is_heavy_turn(world):
        raise Skip("every tenth seed: three processes with the matching library")
    world.agree(operation=operations.ALIGNED_STATISTICS, shared=world.rng.choice([0, 1]))
    ref = world.ask()
    state, code, _ = world.wait(ref, seconds=90)
    if state != "released" or world._opened(ref):
        raise Broken(f"ended {state} {code}, with {len(world._opened(ref))} groups")
    world.check_clean()
    return healed()


def _is_heavy_turn(world: World) -> bool:
    return world.seed % 10 == 0


def _seen(code: str) -> Verdict:
    from tests.faults.verdicts import detected

    return detected({code}, wanted=())


@sister("clock_skew_without_preflight")
def clock_skew_without_preflight(world: World) -> Verdict:
    """Nobody compares clocks: engines start by a clock that is minutes off."""
    genuine, preflight.check_clock = preflight.check_clock, lambda skew: None
    world.closing.callback(setattr, preflight, "check_clock", genuine)
    return clock_skew(world)


@sister("a_few_rows_unchecked")
def a_few_rows_unchecked(world: World) -> Verdict:
    """Nobody looks at the band of rows: engines start over a table that can give nothing."""
    genuine, preflight._is_grouped = preflight._is_grouped, lambda parameters: False
    world.closing.callback(setattr, preflight, "_is_grouped", genuine)
    return a_table_of_a_few_rows(world)
