"""Measuring: seconds of a call, calls of many connections within a span, and how figures are written."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Demands:
    """What is asked of figures, and whether they gave it."""

    def __init__(self) -> None:
        self.met = 0
        self.failed = 0

    def check(self, holds: bool, wanted: str) -> str:
        """PASS or FAIL with what was wanted, to be put behind a figure."""
        self.met += holds
        self.failed += not holds
        return f"{'PASS' if holds else 'FAIL'} (wanted {wanted})"

    def verdict(self) -> str:
        """How many were met, and FAIL where one was not."""
        return f"{'FAIL' if self.failed else 'PASS'}: {self.met} of {self.met + self.failed} met"


def best(work: Callable[[], Any], *, times: int = 3) -> float:
    """Seconds of the fastest of some runs: the others had company on the machine."""
    return min(seconds(work)[0] for _ in range(times))


def processor(work: Callable[[], Any], *, times: int = 3) -> float:
    """Seconds of processor time of the cheapest of some runs; waiting for a processor does not count."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one run, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def rate(work: Callable[[], Any], *, span: float = 1.0) -> float:
    """Calls a second of one caller, over a span of seconds."""
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < span:
        work()
        calls += 1
    return calls / passed


def load(lane: Callable[[int, float], list[float]], *, lanes: int, span: float) -> tuple[float, list[float]]:
    """Run `lane(number, until)` on so many threads; returns calls a second over all, and sorted durations.

    A lane calls until `time.perf_counter()` passes `until` and returns the seconds of each call.
    """
    began = time.perf_counter()
    with ThreadPoolExecutor(lanes) as pool:
        durations = [one for part in pool.map(lane, range(lanes), [began + span] * lanes) for one in part]
    return len(durations) / (time.perf_counter() - began), sorted(durations)


def percentiles(durations: Sequence[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    return (
        f"p50 {statistics.median(durations) * 1000:6.1f} ms  p95 {durations[int(len(durations) * 0.95)] * 1000:6.1f} ms"
    )
