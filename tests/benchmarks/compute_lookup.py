"""Private look-up in a register of a million persons, and the keyed consistency check against the bare MD5 of today."""

import hashlib
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from compute.engines import encrypted_table, keyed_comparison, lookup_owner, lookup_requester, oprf, ristretto
from compute.engines.keyed_comparison import Blinds, Row
from tests.benchmarks._timing import Demands, processor, seconds
from tests.factories.registers import resident_id

PERSONS = (100_000, 1_000_000)
QUERIES = 45  # one batch of the scenario
COMPARED, FIELDS = 5_000, ("base", "status", "months")
KEY = oprf.derive_key(b"b" * 32, b"benchmark", mode=oprf.Mode.VOPRF)


def run() -> Iterator[tuple[str, str]]:
    demands, directory = Demands(), Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    point = ristretto.hash_to_group(b"x", domain=b"benchmark")
    multiplied = processor(lambda: [ristretto.multiply(KEY, point) for _ in range(2_000)]) / 2_000
    yield "one product in the group (bare libsodium)", f"{multiplied * 1e6:9.1f} µs"
    try:
        spent = []
        for persons in PERSONS:
            seconds_spent = yield from _table(directory, persons, multiplied)
            spent.append(seconds_spent)
            yield from _queries(directory, persons, multiplied, demands)
        yield (
            "making the table: processor for ten times the persons",
            f"×{spent[1] / spent[0]:.2f}",
        )
        yield from _consistency(multiplied)
        yield "look-up", demands.verdict()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _table(directory: Path, persons: int, multiplied: float) -> Generator[tuple[str, str], None, float]:
    rng = random.Random(persons)
    register = {f"{resident_id(rng)}{number}": _units(rng) for number in range(persons)}
    path = directory / f"{persons}.table"
    began = time.process_time()
    wall, described = seconds(
        lambda: encrypted_table.write(path, register, key=KEY, noise=b"n" * 32, work_dir=directory)
    )
    spent = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = f"{path.stat().st_size / 2**20:6.0f} MB  {described.entries:,} entries  peak {peak:,.0f} MB"
    yield (
        f"table of {persons:,} persons, {sum(map(len, register.values())):,} units",
        f"{wall:7.1f} s, processor {spent:.1f} s  ×{spent / persons / multiplied:.2f} products a person  {size}",
    )
    (directory / f"{persons}.names").write_text("\n".join(rng.sample(list(register), QUERIES)))
    return spent


def _queries(directory: Path, persons: int, multiplied: float, demands: Demands) -> Iterator[tuple[str, str]]:
    asked = (directory / f"{persons}.names").read_text().split("\n")
    public = oprf.public_key(KEY)
    blinded = [oprf.blind(name.encode(), mode=oprf.Mode.VOPRF) for name in asked]
    elements = [item.element for item in blinded]
    reply = lookup_owner.evaluate(KEY, elements)
    evaluated, proof = lookup_requester.points(reply[: -oprf.PROOF_BYTES]), reply[-oprf.PROOF_BYTES :]

    def requester() -> None:
        for name in asked:
            oprf.blind(name.encode(), mode=oprf.Mode.VOPRF)
        oprf.verify(public, elements, evaluated, proof)
        with encrypted_table.Reader(directory / f"{persons}.table") as reader:
            for name, item, back in zip(asked, blinded, evaluated, strict=True):
                if not reader.records(oprf.finalize(name.encode(), item, back)):
                    raise RuntimeError("a person of the register was not found")

    ours, theirs = processor(requester) / QUERIES, processor(lambda: lookup_owner.evaluate(KEY, elements)) / QUERIES
    total = ours + theirs
    sides = f"requester {ours * 1e3:.3f}, owner {theirs * 1e3:.3f}"
    yield (
        f"one query online at {persons:,} persons, in batches of {QUERIES}, processor",
        f"{total * 1e3:7.3f} ms ({sides})  ×{total / multiplied:.1f} products  "
        + demands.check(total <= 1e-3, "<= 1 ms"),
    )


def _consistency(multiplied: float) -> Iterator[tuple[str, str]]:
    rng = random.Random(5)
    rows = [
        Row(resident_id(rng), (f"m:{rng.randrange(2000, 30000)}.00", "t:在缴", f"i:{rng.randrange(400)}"))
        for _ in range(COMPARED)
    ]
    blinds, key = Blinds(ristretto.random_scalar(), ristretto.random_scalar()), ristretto.random_scalar()
    asking, asked = _spent(lambda: list(keyed_comparison.ask(rows, FIELDS, blinds)))
    answering, answered = _spent(lambda: list(keyed_comparison.answer(asked, key)))
    tagging, tags = _spent(lambda: keyed_comparison.own_tags(rows, FIELDS, key))
    sets = [{"present": frozenset(one.present), "equal": frozenset(one.equal)} for one in tags]
    comparing, verdicts = _spent(lambda: list(keyed_comparison.compare(answered, sets, FIELDS, blinds)))
    if set(verdicts) != {(keyed_comparison.SAME,) * len(FIELDS)}:
        raise RuntimeError("equal tables compared as different")

    def bare() -> int:
        """What is done today: the MD5 of person, field and value, exchanged and compared."""
        ours, theirs = (
            {
                hashlib.md5(f"{row.person}|{field}|{value}".encode(), usedforsecurity=False).digest()
                for row in rows
                for field, value in zip(FIELDS, row.values, strict=True)
            }
            for _ in range(2)
        )
        return len(ours & theirs)

    plain = processor(bare)
    whole = asking + answering + tagging + comparing
    multiplications = 4 * (1 + len(FIELDS)) * COMPARED
    sides = f"(bank {asking + comparing:.2f} s, office {answering + tagging:.2f} s)"
    yield (
        f"consistency, {COMPARED:,} rows a side, {len(FIELDS)} fields, processor of both sides",
        f"{whole:7.2f} s  {COMPARED / whole:8,.0f} rows/s  {sides}",
    )
    yield (
        "  against its bare products, and against MD5 that anybody can try out",
        f"×{whole / (multiplications * multiplied):.2f} of the products  ×{whole / plain:,.0f} of MD5",
    )


def _units(rng: random.Random) -> list[encrypted_table.Record]:
    count = 1 + (rng.random() > 0.78) + (rng.random() > 0.94)
    return [
        (f"99{rng.randrange(10**10):010d}GB00001F{rng.randrange(10**8):08d}", f"{rng.randrange(30, 300)}.50", "住宅")
        for _ in range(count)
    ]


def _spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of one run over all its threads, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result
