"""The same work on many chunks in several processes, results in order, a bounded number of chunks under way.

Processes are spawned, not forked, so that no lock or thread of the engine is copied; they die with the process that
started them. What a worker needs, such as a table of powers, it builds once, from arguments that fit a pipe.
"""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, Self

_PR_SET_PDEATHSIG = 1
_worker: Callable[[Any], Any] | None = None


class Crew:
    """Runs `build(*arguments)(item)` for each item.

    Args:
        build: a function or class of a module, called once in each process.
        processes: 1 for no process but this one.
    """

    def __init__(self, build: Callable[..., Callable[[Any], Any]], *arguments: Any, processes: int = 1) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._in_flight = 2 * processes
        if processes == 1:
            self._work = build(*arguments)
        else:
            self._pool = ProcessPoolExecutor(
                processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(os.getpid(), build, arguments),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        """The results, in the order of the items."""
        if self._pool is None:
            yield from map(self._work, items)
            return
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(self._pool.submit(_run, item))
            if len(waiting) > self._in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def available() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _start(parent: int, build: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _worker
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(1)
    _worker = build(*arguments)


def _run(item: Any) -> Any:
    if _worker is None:
        raise RuntimeError("the process was not started by a crew")
    return _worker(item)
