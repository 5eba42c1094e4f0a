"""The same work on many items, over every core, in order, with a bounded number of items under way.

For functions that spend their time in native code which lets go of the interpreter, as the group's arithmetic does.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


def mapped(function: Callable[[list[Item]], Iterable[Found]], items: Iterable[Item], *, batch: int) -> Iterator[Found]:
    """Call `function` with up to `batch` items at a time and yield what it returns, in the items' order."""
    workers, left = os.cpu_count() or 1, iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while batches := [found for _ in range(2 * workers) if (found := list(islice(left, batch)))]:
            for results in pool.map(lambda one: list(function(one)), batches):
                yield from results
