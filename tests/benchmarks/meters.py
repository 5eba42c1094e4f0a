"""Metered admission: what a reservation with its money, ledger entry and quota costs, against one bare update."""

import itertools
import os
import time
from collections.abc import Callable, Iterator

import psycopg

from tests.benchmarks import _exchange
from tests.benchmarks._timing import load, percentiles

SPAN = 4.0
CONNECTIONS = 8
PLENTY = 10_000_000
_numbers = itertools.count(1)

Work = Callable[[], object]


def run() -> Iterator[tuple[str, str]]:
    """The same conditional update bare and inside `reserve`; the contracts' quotas are never reached."""
    _exchange.start()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_meter (id int PRIMARY KEY, quota int, reserved int, committed int)")
        connection.execute("INSERT INTO bench_meter VALUES (1, %s, 0, 0)", [PLENTY])
    bare = {}
    for lanes in (1, CONNECTIONS):
        bare[lanes], durations = load(_bare, lanes=lanes, span=SPAN)
        yield (
            f"bare conditional UPDATE, one row, {lanes} connections",
            f"{bare[lanes]:8,.0f}/s   {percentiles(durations)}",
        )
    contracts = _contracts(CONNECTIONS)
    for lanes, spread in ((1, 1), (CONNECTIONS, 1), (CONNECTIONS, CONNECTIONS)):
        figure, durations = load(_reserving(contracts[:spread]), lanes=lanes, span=SPAN)
        yield (
            f"reserve: quota, day, rate, money, ledger; {lanes} connections, {spread} contracts",
            f"{figure:8,.0f}/s   {percentiles(durations)}   1/{bare[lanes] / figure:.0f} of the bare update",
        )


def _contracts(count: int) -> list:
    from tests.factories import contracts as factory

    return [
        factory.contract(limit=PLENTY, per_day=PLENTY, unit_price_fen=100, escrow_fen=100 * PLENTY).contract
        for _ in range(count)
    ]


def _bare(number: int, until: float) -> list[float]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        return _timed(lambda: connection.execute(
            "UPDATE bench_meter SET reserved = reserved + 1 WHERE id = 1 AND reserved + committed + 1 <= quota"
        ), until)  # fmt: skip


def _reserving(contracts: list) -> Callable[[int, float], list[float]]:
    from django.db import connections

    from contracts.actions import meters
    from tests.factories.contracts import LATER, subject

    def lane(number: int, until: float) -> list[float]:
        mine = contracts[number % len(contracts)]
        try:
            return _timed(
                lambda: meters.reserve(contract=mine, subject=subject(next(_numbers)), expires_at=LATER), until
            )
        finally:
            connections.close_all()

    return lane


def _timed(work: Work, until: float) -> list[float]:
    durations = []
    while (began := time.perf_counter()) < until:
        work()
        durations.append(time.perf_counter() - began)
    return durations
