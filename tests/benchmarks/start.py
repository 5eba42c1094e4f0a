"""How long a warm start takes to the first page, and what an idle node and a web process weigh."""

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


def run() -> Iterator[tuple[str, str]]:
    """Starts a stack cold, stops it, starts it warm; then weighs processes by their proportional share (PSS)."""
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    try:
        cold, _ = _first_page(directory)
        yield "cold start to first page (empty database, new keys)", f"{cold:6.1f} s"
        began = time.monotonic()
        stack = Stack(directory, say=lambda line: None, web_port=19000)
        try:
            clock = demo.Clock()
            demo.start(stack, clock)
            _fetch(stack.url)
            yield "warm start to first page", f"{time.monotonic() - began:6.1f} s   (target < 10 s)"
            story = Story(stack, synthetic(), say=lambda line: None)
            story.join()
            story.open_nodes()
            time.sleep(5)
            nodes = [process for process in stack.supervisor.processes if process.name.startswith("node-")]
            weights = [_rss_mb(process.pid or 0) for process in nodes]
            yield (
                f"idle memory of a data node, resident, largest of {len(MEMBERS)}",
                f"{max(weights):6.1f} MB  (target < 80 MB)",
            )
            for _ in range(50):
                _fetch(stack.url)
            web = next(process for process in stack.supervisor.processes if process.name == "web")
            workers = [_rss_mb(pid) for pid in _children(web.pid or 0)]
            yield (
                "memory of a web process after 50 pages, resident, largest",
                f"{max(workers):6.1f} MB  (target < 200 MB)",
            )
        finally:
            stack.supervisor.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _first_page(directory: Path) -> tuple[float, str]:
    began = time.monotonic()
    stack = Stack(directory, say=lambda line: None, web_port=19000)
    try:
        demo.start(stack, demo.Clock())
        _fetch(stack.url)
        return time.monotonic() - began, stack.url
    finally:
        stack.supervisor.stop()


def _fetch(url: str) -> None:
    with urllib.request.urlopen(f"{url}/", timeout=30) as answer:
        answer.read()


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
