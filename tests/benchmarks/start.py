"""How long a warm start takes to the first page, and what idle nodes and a web process take in memory and CPU."""

import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from exchange.runner import demo
from exchange.runner.stack import Stack
from exchange.runner.story import Story
from exchange.runner.tables import synthetic
from exchange.runner.world import MEMBERS

PAGES = ("/", "/catalogue/", "/ledger/", "/about/", "/api/v1/products/", "/accounts/login/")


def run() -> Iterator[tuple[str, str]]:
    """Starts a stack cold, stops it, starts it warm; then weighs resident memory, shared pages counted in full."""
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    try:
        cold, _ = _first_page(directory)
        yield "cold start to first page (empty database, new keys)", f"{cold:6.1f} s"
        began = time.monotonic()
        stack = Stack(directory, say=lambda line: None, web_port=19000)
        try:
            demo.start(stack, _Silent())
            _fetch(stack.url)
            yield "warm start to first page", f"{time.monotonic() - began:6.1f} s   (target < 10 s)"
            story = Story(stack, synthetic(), say=lambda line: None)
            story.join()
            story.open_nodes()
            nodes = [process.pid or 0 for process in stack.supervisor.processes if process.name.startswith("node-")]
            busy = _idle_cpu(nodes)
            weights = [_rss_mb(pid) for pid in nodes]
            yield (
                f"idle memory of a data node, resident, largest of {len(MEMBERS)}",
                f"{max(weights):6.1f} MB  (target < 80 MB)",
            )
            yield "idle CPU of a data node, polling, mean", f"{busy / len(nodes) * 100:6.2f} % of a core"
            web = next(process.pid or 0 for process in stack.supervisor.processes if process.name == "web")
            spent = _idle_cpu([web, *_children(web)])
            yield f"CPU of the web processes while {len(nodes)} nodes poll", f"{spent * 100:6.2f} % of a core"
            for _ in range(25):
                for path in PAGES:
                    _fetch(stack.url, path)
            yield (
                f"memory of a web process after {25 * len(PAGES)} pages, resident, largest",
                f"{max(_rss_mb(pid) for pid in _children(web)):6.1f} MB  (target < 200 MB)",
            )
        finally:
            stack.supervisor.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _first_page(directory: Path) -> tuple[float, str]:
    began = time.monotonic()
    stack = Stack(directory, say=lambda line: None, web_port=19000)
    try:
        demo.start(stack, _Silent())
        _fetch(stack.url)
        return time.monotonic() - began, stack.url
    finally:
        stack.supervisor.stop()


class _Silent(demo.Clock):
    """The demo's own lines would stand between the figures."""

    def say(self, line: str) -> None:
        pass


def _idle_cpu(pids: list[int]) -> float:
    """Seconds of CPU that these processes use in a second while nothing is asked of them."""
    time.sleep(3)  # what they do when they start is over
    before, began = sum(map(_cpu_seconds, pids)), time.monotonic()
    time.sleep(6)
    return (sum(map(_cpu_seconds, pids)) - before) / (time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fetch(url: str, path: str = "/") -> None:
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:
        answer.read()


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
