"""What every pass over the chain keeps to: one worker for each duty, a short second look, a time to raise the fee."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection

# A chain that mines at once has the transaction in a moment; its readers need not wait for the next pass.
LOOK_AGAIN_SECONDS = (0.0, 0.05, 0.1, 0.25)
REPLACE_AFTER = timedelta(seconds=30)


@contextmanager
def single_worker(lock: int) -> Iterator[bool]:
    """True while this process alone holds the duty. It saves gas; safety is the contract's compare-and-swap."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])
