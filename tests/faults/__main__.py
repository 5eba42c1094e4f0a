"""`python -m tests.faults ledger --seeds 20`: run every scenario with every seed, print how each ended.

Exit code 0 when every case ended as it may, 1 when one did not, 2 when asked for what there is not.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.faults.verdicts import SCENARIOS, SISTERS, Broken, Case, Outcome, Scenario, Skip, Table

PROGRESS = 30  # cases between two lines about how far it is


@dataclass(frozen=True, slots=True)
class Target:
    """What faults may be asked for: where the scenarios are, and the module whose `world` makes a case's world."""

    modules: tuple[str, ...]
    world: str


TARGETS = {
    "ledger": Target(("crashes", "endpoints", "chains", "restores", "edits", "views", "outages"), "world"),
    "compute": Target(("compute_processes", "compute_machines", "compute_forgeries"), "compute_world"),
}


def main(arguments: list[str]) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from 0 on")
    parser.add_argument("--seed", type=int, help="this seed alone")
    parser.add_argument("--only", default="", help="names of scenarios, or how they begin, separated by commas")
    parser.add_argument("--sisters", action="store_true", help="the sisters, whose guard is off: each must end BROKEN")
    parser.add_argument("--jobs", type=int, default=2, help="processes that run cases side by side")
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    seeds = [options.seed] if options.seed is not None else list(range(options.seeds))
    if options.part:
        return _part(options, seeds)
    return _whole(options, arguments)


def _whole(options: argparse.Namespace, arguments: list[str]) -> int:
    """Share the cases out to processes and gather how they ended."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.faults", *arguments, "--part"]
    jobs = max(1, options.jobs)
    parts = [subprocess.Popen([*command, f"{n}/{jobs}"], stdout=subprocess.PIPE, text=True) for n in range(jobs)]
    table = Table(options.target, sisters=options.sisters)
    died = []
    for part in parts:
        for line in part.stdout or ():
            with suppress(ValueError, KeyError):
                table.cases.append(_read(json.loads(line)))
        if code := part.wait():
            died.append(code)
    table.cases.sort(key=lambda case: (_order(case), case.seed))
    _say("\n".join(table.lines()))
    summary = {**table.summary(), "seconds": round(time.monotonic() - began)}
    if died:
        _say(f"processes that ran cases ended with {died}; the cases behind were not run")
    summary["ok"] = summary["ok"] and not died
    _say(json.dumps(summary))
    return 0 if summary["ok"] else 1


_seen: dict[str, int] = {}


def _order(case: Case) -> int:
    return _seen.setdefault(case.scenario, len(_seen))


def _read(found: dict[str, Any]) -> Case:
    return Case(**{**found, "outcome": Outcome(found["outcome"]), "by": tuple(found["by"])})


def _part(options: argparse.Namespace, seeds: list[int]) -> int:
    """Run one share of the cases, one line of JSON for each."""
    from tests.faults.prepare import prepare

    prepare()
    target = TARGETS[options.target]
    for module in target.modules:
        import_module(f"tests.faults.{module}")
    known = SISTERS if options.sisters else SCENARIOS
    wanted = [name for name in options.only.split(",") if name]
    chosen = [one for name, one in known.items() if not wanted or any(name.startswith(start) for start in wanted)]
    if not chosen:
        sys.stderr.write(f"no such scenario; there are: {', '.join(known)}\n")
        return 2
    share, of = (int(number) for number in options.part.split("/"))
    cases = [(one, seed) for one in chosen for seed in seeds]
    for number, (one, seed) in enumerate(cases[share::of]):
        if not number % PROGRESS:
            sys.stderr.write(f"process {share + 1} of {of}: {number} of {len(cases[share::of])} cases\n")
        _say(json.dumps(run(one, seed, world=target.world).as_json()))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(one: Scenario, seed: int, *, world: str) -> Case:
    """One case, from an empty world to its verdict."""
    fresh = import_module(f"tests.faults.{world}").world
    began = time.monotonic()
    try:
        with fresh(one.name, seed) as here:
            verdict = one.run(here)
    except Broken as error:
        return Case(one.name, seed, Outcome.BROKEN, time.monotonic() - began, why=str(error))
    except Skip as reason:
        return Case(one.name, seed, Outcome.SKIPPED, time.monotonic() - began, why=str(reason))
    except Exception as error:  # noqa: BLE001  whatever it is, the table shows it
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
        # An accident is not what a sister is there to show.
        outcome = Outcome.SKIPPED if one.guardless else Outcome.BROKEN
        return Case(one.name, seed, outcome, time.monotonic() - began, why=why)
    return Case(one.name, seed, verdict.outcome, time.monotonic() - began, by=verdict.by)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
