"""The demo: start the parts, play the story of one purchase, and either check every promise or stay up."""

import json
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.kernel.errors import DomainError
from exchange.runner import checks, tables
from exchange.runner.parties import StepFailed
from exchange.runner.stack import Stack
from exchange.runner.story import Story
from exchange.runner.supervisor import StartFailed
from exchange.runner.world import MEMBERS, PASSWORD, STAFF

READY_LINE = "Ctrl-C stops everything"


@dataclass(slots=True)
class Clock:
    """Prints lines with the seconds since the start in front."""

    began: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        print(f"[{self.seconds:6.1f}s] {line}", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def start(stack: Stack, clock: Clock) -> None:
    """Stores, tables, keys, on-chain contract, web and worker; the first page is up when this returns."""
    clock.say("starting PostgreSQL, Valkey and the chain")
    stack.start_stores()
    web = stack.launch_web()
    accounts = _accounts_file(stack)
    try:
        stack.prepare("--accounts", str(accounts))
    finally:
        accounts.unlink()
    clock.say("tables, keys and the on-chain contract are there")
    stack.start_exchange(web)
    clock.say(f"first page at {stack.url}/")


def interactive(directory: Path, *, source: Path | None, mapping: Path | None) -> int:
    """Start, play the story unless this directory has played it, and stay up until Ctrl-C."""
    clock = Clock()
    told = directory / "story.json"
    if (directory / "members").exists() and not told.exists():
        clock.say("an earlier story stopped halfway; beginning anew")
        _forget(directory)
    stack = Stack(directory, say=clock.say)
    try:
        start(stack, clock)
        if told.exists():
            stack.supervisor.start(*(stack.node(member.code) for member in MEMBERS))
            clock.say("the data nodes are ready; the story was told on an earlier start (make reset forgets it)")
        else:
            story = Story(stack, _world(source, mapping), say=clock.say)
            story.tell()
            told.write_text(json.dumps(story.summary(), ensure_ascii=False))
        _write_status(stack)
        _print_accounts(stack)
        while (ended := stack.supervisor.ended()) is None:
            time.sleep(0.5)
        clock.say(f"✗ {ended.name} ended by itself; see {directory / 'logs' / ended.name}.log")
    except KeyboardInterrupt:
        return 0
    else:
        return 1
    finally:
        _stop(stack, clock)


def once(directory: Path, *, source: Path | None, mapping: Path | None) -> int:
    """Headless: play the story on fresh parts, check every promise, print one line of JSON, stop everything."""
    clock = Clock()
    stack = Stack(directory, say=clock.say, web_port=18000)
    verdict: dict[str, Any] = {"ok": False}
    try:
        start(stack, clock)
        story = Story(stack, _world(source, mapping), say=clock.say)
        story.tell()
        verdict = _verdict(stack, story, clock)
    except KeyboardInterrupt:
        verdict["interrupted"] = True
    except (StartFailed, StepFailed, DomainError) as error:
        verdict["error"] = str(error)
        clock.say(f"✗ {error}")
    finally:
        _stop(stack, clock)
    if verdict.get("computations"):
        # Once more with everything stopped: what the servers write on their way out counts too.
        hits = checks.canary_hits(
            story.canaries,
            run_directory=directory,
            members=directory / "members",
            extra=[*_places(stack), *_named_database(stack)],
        )
        verdict["canary_hits"] = len(hits)
        verdict["ok"] = verdict["ok"] and not hits
        for hit in hits:
            clock.say(f"✗ canary found in {hit.path} as {hit.form}")
    if verdict["ok"] and not os.environ.get("KEEP"):
        for place in (directory, *_places(stack)):
            shutil.rmtree(place, ignore_errors=True)
    else:
        clock.say(f"left for you to look at: {directory}")
    verdict["seconds"] = round(clock.seconds, 1)
    print(json.dumps(verdict, ensure_ascii=False), flush=True)
    return 0 if verdict["ok"] else 1


def _forget(directory: Path) -> None:
    """Remove a demo's state, but for the files of the runner that is running now."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {"supervisor.pid", "demo.log"}:
            path.unlink(missing_ok=True)


def _stop(stack: Stack, clock: Clock) -> None:
    clock.say("stopping")
    stack.supervisor.stop()
    clock.say("stopped")


def _world(source: Path | None, mapping: Path | None) -> tables.World:
    return tables.from_file(source, mapping=mapping) if source else tables.synthetic()


def _accounts_file(stack: Stack) -> Path:
    accounts = [
        {"username": one.username, "name": one.name, "password": PASSWORD, "staff_role": one.role} for one in STAFF
    ] + [{"username": member.code, "name": member.name_zh, "password": PASSWORD} for member in MEMBERS]
    descriptor, name = tempfile.mkstemp(dir=stack.directory, prefix="accounts-")
    with os.fdopen(descriptor, "w") as file:
        json.dump(accounts, file, ensure_ascii=False)
    return Path(name)


def _places(stack: Stack) -> list[Path]:
    """Where our own stores lie outside the run directory: its path was too long for sockets, or root needed another."""
    elsewhere = [stack.sockets] if stack.sockets != stack.directory else []
    if stack.cluster is not None:
        elsewhere.append(stack.cluster)
    return [place for place in elsewhere if stack.directory not in place.parents]


def _named_database(stack: Stack) -> list[Path]:
    """The directory behind a DATABASE_URL of the caller's own, where it is a socket on this machine."""
    database = os.environ.get("DATABASE_URL", "")
    return [Path(database.partition("host=")[2].partition("&")[0])] if "host=/" in database else []


def _verdict(stack: Stack, story: Story, clock: Clock) -> dict[str, Any]:
    clock.say("checking the promises from outside")
    books = checks.books(stack.environment.get("DATABASE_URL") or os.environ["DATABASE_URL"])
    summary = story.summary()
    computations = summary["computations"]
    verdict = {
        "ok": False,
        **summary,
        "charges_per_result": books.charges_per_result,
        "postings_sum": books.postings_sum,
        "node_pids": [process.pid for process in stack.supervisor.processes if process.name.startswith("node-")],
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }
    verdict["ok"] = (
        len(computations) == 2
        and all(one["state"] == "released" and one["cells"] > 0 and one["equals_reference"] for one in computations)
        and books.charges_per_result == 1
        and books.postings_sum == 0
        and books.unbalanced_transfers == 0
        and summary["receipts_verified"]
        and summary["statements_agree"]
        and summary["anchored"]
        and summary["witnessed"]
        and summary["proven_on_chain"]
        and len(set(verdict["node_pids"])) == len(MEMBERS)
    )
    return verdict


def _write_status(stack: Stack) -> None:
    parts = [
        {"name": process.name, "pid": process.pid, "log": str(stack.directory / "logs" / f"{process.name}.log")}
        for process in stack.supervisor.processes
    ]
    (stack.directory / "status.json").write_text(json.dumps(parts))


def _print_accounts(stack: Stack) -> None:
    print(f"\n  {stack.url}/   衡数 Hengshu is up. {READY_LINE}.\n")
    print(f"  accounts (password {PASSWORD}):")
    for member in MEMBERS:
        print(f"    {member.code:<12}{member.role:<22}{member.name_zh} {member.name_en}")
    for account in STAFF:
        print(f"    {account.username:<12}{account.role:<22}{account.name}")
    print(f"\n  members' own machines: {stack.directory / 'members'}   logs: {stack.directory / 'logs'}\n", flush=True)
