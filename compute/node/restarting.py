"""Starting a run's engine again after it was lost: within the same job, from what it had written down, a few times.

An engine that `goes_on` keeps a directory named by the job's digest below its state. Where it is there and the engine
process ended because it was killed, crashed or lost a peer, the node starts the engine once more: with the same signed
job, the same pinned one-job certificates and the same deadline, after looking again whether the run may go on at all
(term, revocations, grants, kill switch). Every party's node does the same by itself; one that does not reports why, and
the exchange ends the run for all. The run is one run: one unit, one report, and a journal line and an event for
each start after the first.

The directory goes with the run, whatever its end; a node that was restarted itself finds the run void, and removes it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compute.engines import registry
from compute.engines.base import Engine
from compute.node import preflight
from ledger.proofs import statements

MAX_RESTARTS = 3  # each shows a dishonest peer one bucket more, at most, that it should not have seen
STAGE = "restart"
_LOST = frozenset({"PEER_LOST", "ENGINE_CRASH"})


def may_go_on(job: Mapping[str, Any], *, home: Path, ending: Mapping[str, Any], restarts: int) -> bool:
    """Whether an engine that ended without a part is to be started again.

    Args:
        ending: how its process ended, as the launcher tells; a process that was stopped by this node was not lost.
        restarts: how many times it was started again before.
    """
    engine = preflight.engine_of(job)
    was_lost = ending["code"] in _LOST or (ending["code"] == "OOM" and ending["signal"] is not None)
    if not engine.goes_on or not was_lost or restarts >= MAX_RESTARTS:
        return False
    return kept(job, home=home).exists()


def state_of(home: Path, engine: str) -> Path:
    """Where engines of this id keep what outlives a process."""
    return home / "engine_state" / engine.replace("/", "-")


def kept(job: Mapping[str, Any], *, home: Path) -> Path:
    """Where the engine keeps what it has done of this job."""
    return state_of(home, job["engine"]) / statements.digest(job)


def forget(job: Mapping[str, Any], *, home: Path) -> None:
    """Remove what an engine kept of a run that is over."""
    if job["engine"] in registry.ids() and registry.get(job["engine"]).goes_on:
        shutil.rmtree(kept(job, home=home), ignore_errors=True)


def sweep(home: Path) -> None:
    """Remove what engines kept of any run; asked at start, when every unfinished run is void."""
    for engine in _that_go_on():
        for path in state_of(home, engine.id).glob("*"):
            shutil.rmtree(path, ignore_errors=True)


def _that_go_on() -> list[Engine]:
    return [found for found in map(registry.get, registry.ids()) if found.goes_on]
