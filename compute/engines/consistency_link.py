"""Messages of a consistency check: long lists of points or tags in frames."""

from collections.abc import Iterable, Iterator
from itertools import islice

from compute.engines import link
from compute.engines.errors import EngineRefused

_FRAME_ITEMS = 250_000  # 8 MB of points


def send(mesh: link.Mesh, peer: int, items: Iterable[bytes]) -> None:
    """Send a list that the other side takes with `receive`; the count is known to both."""
    left = iter(items)
    while frame := b"".join(islice(left, _FRAME_ITEMS)):
        mesh.exchange({peer: frame})


def receive(mesh: link.Mesh, peer: int, *, count: int, size: int) -> Iterator[bytes]:
    """Take exactly `count` items of `size` bytes; EngineRefused BATCH_SIZE for any other number."""
    left = count
    while left:
        frame = mesh.exchange({peer: b""})[peer]
        if len(frame) != min(left, _FRAME_ITEMS) * size:
            raise EngineRefused("BATCH_SIZE", "The other side sends another number of rows than was requested.")
        for start in range(0, len(frame), size):
            yield frame[start : start + size]
        left -= len(frame) // size
