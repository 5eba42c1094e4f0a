"""Carrying bytes between asyncio connections, and hanging up so that nothing is left open."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK = 64 * 1024
_CLOSING_SECONDS = 0.5


async def hang_up(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close all, give what was written a moment to leave, and cut those that do not close by then."""
    closing = list(writers)
    for writer in closing:
        writer.close()
    if closing:
        waits = [asyncio.ensure_future(_closed(writer)) for writer in closing]
        await asyncio.wait(waits, timeout=_CLOSING_SECONDS)
        for wait, writer in zip(waits, closing, strict=True):
            if not wait.done():
                wait.cancel()
                writer.transport.abort()
        await asyncio.sleep(0)  # the transports' own farewell


async def join(
    near: Ends, far: Ends, *, idle_seconds: float | None = None, seen: Callable[[bytes], None] | None = None
) -> None:
    """Carry bytes both ways until one side ends or both are silent for too long."""
    tasks = [
        asyncio.ensure_future(_carry(near[0], far[1], idle_seconds, seen)),
        asyncio.ensure_future(_carry(far[0], near[1], idle_seconds, seen)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    idle_seconds: float | None,
    seen: Callable[[bytes], None] | None,
) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        while data := await asyncio.wait_for(reader.read(CHUNK), idle_seconds):
            if seen is not None:
                seen(data)
            writer.write(data)
            await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await writer.wait_closed()
