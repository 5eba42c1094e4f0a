"""Paillier: joint sums against the plain phe loop and against HEU, weighted sums, the matched sum and two-party scores.

Rates of one process are values for each second of its processor, so that company on the machine does not count; those
of two processes are by the clock. HEU is no dependency: where `sf-heu` is installed in another
environment, name its interpreter in HEU_PYTHON.
"""

import math
import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from compute.engines import reference_models
from compute.engines.paillier import cores, keys, noise, packing, products, vectors
from compute.engines.reference_matched import matched_sum
from compute.engines.scoring import cards
from compute.protocol import operations
from tests.benchmarks import _pairs as pairs
from tests.benchmarks import compute_scoring as tables
from tests.benchmarks._timing import Demands, processor, seconds
from tests.factories import engines as factory
from tests.factories import scoring

BOUND = 2**31 - 1
VALUES = 200_000
PHE_VALUES = 100
WEIGHTS = 4_000
ROWS = (1_000, 4_000)  # in one process at each owner
SCORED = (4_096, 16_384)
SCORED_PLAIN = 20
CHUNK = 64  # plaintexts handed to a process at a time
EXPONENTS = {"half-length exponents (factoring)": None, "256-bit exponents (short-exponent assumption)": 256}

HEU = """
import sys
from time import process_time
from heu import phe
kit = phe.setup(phe.SchemaType.ZPaillier, int(sys.argv[1]))
add, values = kit.evaluator().add, [int(word) for word in sys.stdin.read().split()]
began = process_time()
encrypted = [kit.encryptor().encrypt_raw(value) for value in values]
total = encrypted[0]
for one in encrypted[1:]:
    total = add(total, one)
assert kit.decryptor().decrypt_raw(total) == sum(values)
print(len(values) / (process_time() - began))
"""


class Shorts:
    """Encrypts chunks for somebody else's key, in each process with a table of its own."""

    def __init__(self, public: keys.PublicKey, exponent_bits: int | None, draws: int) -> None:
        self._noise = noise.Short(public, exponent_bits=exponent_bits, draws=draws)

    def __call__(self, plaintexts: Sequence[int]) -> bytes:
        return vectors.write(self._noise.public, vectors.encrypt(plaintexts, self._noise))


def run() -> Iterator[tuple[str, str]]:
    demands = Demands()
    drawn = random.Random(20261121)
    numbers = [drawn.randint(-BOUND, BOUND) for _ in range(VALUES)]
    for bits in (2048, 3072):
        owner = keys.generate(bits)
        plain = PHE_VALUES / processor(lambda owner=owner: _phe(owner, numbers[:PHE_VALUES]), times=1)
        yield f"{bits} bits: plain phe loop with gmpy2, sum of values", f"{plain:12,.0f} values/s"
        yield from _heu(bits, plain)
        yield from _sums(owner, numbers, plain, demands)
        yield from _weighted(owner, drawn)
    yield from _growth(numbers)
    yield from _whole()
    yield from _scored()
    yield from _trained()
    yield "peak memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:12,} MB"
    yield "verdict", demands.verdict()


def _phe(owner: keys.OwnerKey, numbers: Sequence[int]) -> None:
    total = owner.public.phe.encrypt(numbers[0])
    for number in numbers[1:]:
        total = total + owner.public.phe.encrypt(number)
    _must(owner.phe.decrypt(total) == sum(numbers))


def _sums(owner: keys.OwnerKey, numbers: Sequence[int], plain: float, demands: Demands) -> Iterator[tuple[str, str]]:
    """Packing, tables, encryption, addition, decryption: all of it in the time, for each quality of noise."""
    public, bits = owner.public, owner.public.bits
    slots = packing.uniform(bound=BOUND, rows=1_000_000, plaintext_bits=public.plaintext_bits)
    draws = -(-len(numbers) // len(slots.bounds))
    builds: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "key owner, full noise (no assumption but Paillier's)": (vectors.Encryptor, (owner, draws)),
        **{name: (Shorts, (public, short, draws)) for name, short in EXPONENTS.items()},
    }
    for name, (build, arguments) in builds.items():

        def work(processes: int, build: Any = build, arguments: Any = arguments) -> None:
            _packed(owner, numbers, slots, build, arguments, processes)

        ratio = len(numbers) / processor(lambda work=work: work(1), times=1) / plain
        wanted = demands.check(ratio >= 1_000, "at least 1,000") if "256" in name else ""
        yield f"{bits} bits: {name}", f"{ratio * plain:12,.0f} values/s  ×{ratio:,.0f} of phe  {wanted}"
    build, arguments = next(iter(builds.values()))
    by_clock = [
        seconds(lambda n=processes: _packed(owner, numbers, slots, build, arguments, n))[0] for processes in (1, 2)
    ]
    yield (
        f"{bits} bits: the key owner in two processes, by the clock",
        f"{len(numbers) / by_clock[1]:12,.0f} values/s  ×{by_clock[0] / by_clock[1]:.2f} of one",
    )


def _packed(
    owner: keys.OwnerKey,
    numbers: Sequence[int],
    slots: packing.Packing,
    build: Callable[..., Any],
    arguments: tuple[Any, ...],
    processes: int,
) -> None:
    plaintexts = packing.pack_all(numbers, slots)
    chunks = [plaintexts[place : place + CHUNK] for place in range(0, len(plaintexts), CHUNK)]
    total = vectors.total(owner.public, [])
    with cores.Crew(build, *arguments, processes=processes) as crew:
        for chunk, data in zip(chunks, crew.map(chunks), strict=True):
            received = vectors.read(owner.public, data, count=len(chunk))
            total = vectors.total(owner.public, [total, *received])
    _must(sum(slots.unpack(owner.decrypt_signed(total))) == sum(numbers))


def _weighted(owner: keys.OwnerKey, drawn: random.Random) -> Iterator[tuple[str, str]]:
    public = owner.public
    numbers = [drawn.randint(-BOUND, BOUND) for _ in range(WEIGHTS)]
    weights = [drawn.randint(-BOUND, BOUND) for _ in range(WEIGHTS)]
    encrypted = vectors.encrypt(numbers, noise.Short(public, exponent_bits=256, draws=WEIGHTS))
    few = WEIGHTS // 10
    bucketed = processor(lambda: products.weighted(public, encrypted, weights), times=1)
    plain = processor(lambda: products.one_by_one(public, encrypted[:few], weights[:few]), times=1) * 10
    found = products.weighted(public, encrypted, weights)
    _must(owner.decrypt_signed(found) == sum(w * x for w, x in zip(weights, numbers, strict=True)))
    yield (
        f"{public.bits} bits: weighted sum, {WEIGHTS:,} plain weights of 31 bits by buckets",
        f"{WEIGHTS / bucketed:12,.0f} rows/s    ×{plain / bucketed:.1f} of one by one",
    )


def _heu(bits: int, plain: float) -> Iterator[tuple[str, str]]:
    python = os.environ.get("HEU_PYTHON", "")
    if not python:
        yield f"{bits} bits: SecretFlow HEU (ZPaillier)", "not measured: set HEU_PYTHON"
        return
    words = " ".join(str(number) for number in range(2_000))
    told = subprocess.run(
        [python, "-c", HEU, str(bits)], input=words, capture_output=True, text=True, check=True, timeout=120
    )
    rate = float(told.stdout.split()[-1])
    yield (
        f"{bits} bits: SecretFlow HEU (ZPaillier), sum of values",
        f"{rate:12,.0f} values/s  ×{rate / plain:,.0f} of phe",
    )


def _growth(numbers: Sequence[int]) -> Iterator[tuple[str, str]]:
    owner = keys.generate(2048)
    slots = packing.uniform(bound=BOUND, rows=1_000_000, plaintext_bits=owner.public.plaintext_bits)
    sizes = (len(numbers) // 8, len(numbers) // 2)
    spent = [
        processor(lambda n=size: _packed(owner, numbers[:n], slots, vectors.Encryptor, (owner, 500), 1), times=1)
        for size in sizes
    ]
    yield "growth of a packed sum with the number of values", f"{_exponent(sizes, spent):12.2f} (exponent)"


def _whole() -> Iterator[tuple[str, str]]:
    """The matched sum as nodes run it: two processes, mutual TLS, keys of 3,072 bits."""
    directory, spent = Path(tempfile.mkdtemp(prefix="hengshu-bench-")), []
    try:
        for rows in ROWS:
            drawn = random.Random(rows)
            values = {"base": (2, 0, 6_000_000)}
            listed = [{"person_id": f"P{n:09d}"} for n in range(rows)]
            valued = [
                {"person_id": f"P{n:09d}", "base": f"{drawn.randint(0, 60_000)}.00"}
                for n in range(rows // 2, rows * 3 // 2)
            ]
            datasets = [
                factory.write_dataset(directory / f"list{rows}", listed, blocks={}, values={}),
                factory.write_dataset(directory / f"values{rows}", valued, blocks={}, values=values),
            ]
            question = {"values": ["base"], "min_group": 10}
            job = factory.Job(
                directory / f"run{rows}", operations.MATCHED_SUM, question, [*datasets], deadline_seconds=300
            )
            runs = job.run()
            found = job.engine.open([one.part() for one in runs], job=job.job, request=job.request).describe()
            clear = partial(matched_sum, parameters=question, datasets=datasets, min_group=10)
            plain = processor(clear)
            _must(found == clear())
            took = sum(float(one.result()["cpu_seconds"]) for one in runs)
            spent.append(took)
            peak = max(int(one.result()["peak_mb"]) for one in runs)
            yield (
                f"matched_sum, {rows:,} rows a side, half in common, both processes",
                f"{took:10.2f} s CPU  {rows / took:6,.0f} rows/s  ×{took / plain:,.0f} of the clear join, {peak} MB",
            )
        yield "growth of matched_sum with the rows", f"{_exponent(ROWS, spent):12.2f} (exponent)"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _scored() -> Iterator[tuple[str, str]]:
    """A score card of two features with four cuts over an agency's table, both processes, keys of 3,072 bits."""
    directory, spent = Path(tempfile.mkdtemp(prefix="hengshu-bench-")), []
    card = cards.scorecard(version="bench", base=560, features=scoring.CIVIL_CARD, salt="00" * 32)
    plain = SCORED_PLAIN / processor(lambda: _phe_scores(keys.generate(3072)), times=1)
    yield "scores of 3072 bits: plain phe loop, two features", f"{plain:12,.1f} rows/s"
    try:
        for rows in SCORED:
            table = [scoring.row(number, scoring.CIVIL_VALUES, seed=2) for number in range(rows)]
            agency = scoring.agency(directory / f"agency{rows}", table, scoring.CIVIL_VALUES)
            bank = scoring.applicants(directory / f"bank{rows}", list(range(0, 2_000, 20)))
            deal = scoring.paired(directory / f"scores{rows}", card, [bank, agency])
            deal.deadline_seconds = 1_200
            runs = deal.run()
            opened = deal.engine.open([one.part() for one in runs], job=deal.job, request=deal.request).describe()
            wanted = reference_models.scores(
                card,
                applicants=bank,
                agencies=[agency],
                features=[list(scoring.CIVIL_VALUES)],
                own=["amount"],
                names=["", "", ""],
                recipient=scoring.RECIPIENT,
                day=20260101,
            )
            _must([row["score"] for row in opened["rows"]] == [row["score"] for row in wanted])
            took = sum(float(one.result()["cpu_seconds"]) for one in runs)
            spent.append(took)
            peak = max(int(one.result()["peak_mb"]) for one in runs)
            yield (
                f"two_party_scoring, {rows:,} rows of the agency, 100 asked for, both processes",
                f"{took:10.2f} s CPU  {rows / took:6,.0f} rows/s  ×{rows / took / plain:,.0f} of phe, {peak} MB",
            )
        yield "growth of two_party_scoring with the rows", f"{_exponent(SCORED, spent):12.2f} (exponent)"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _trained() -> Iterator[tuple[str, str]]:
    """Two-party training on the real tables of compute_scoring: twelve columns at the agency, others at the bank."""
    if not tables.DATA.is_dir():
        yield "two_party_training", f"left out: no real tables in {tables.DATA}"
        return
    for split in (tables.breast(), tables.credit()):
        directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
        try:
            took, peak, clear, ours, same, logistic = pairs.train(directory, split)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        yield (
            f"two_party_training, {split.name}, both processes",
            f"{took:10.1f} s CPU  {peak} MB  numpy {clear:.3f} s",
        )
        yield (
            "  AUC on the test rows: shares opened / same descent in the clear / converged logistic regression",
            f"{ours:12.4f} / {same:.4f} / {logistic:.4f}  ({ours - same:+.4f}, {ours - logistic:+.4f})",
        )


def _phe_scores(owner: keys.OwnerKey) -> None:
    """The same sums row by row: each column encrypted, weighed, added, decrypted."""
    weights = (15, 25, 10)
    for row in range(SCORED_PLAIN):
        reached = [row >> place & 1 for place in range(len(weights))]
        total = owner.public.phe.encrypt(600)
        for weight, one in zip(weights, reached, strict=True):
            total = total + owner.public.phe.encrypt(one) * weight
        _must(owner.phe.decrypt(total) == 600 + sum(w * x for w, x in zip(weights, reached, strict=True)))


def _exponent(sizes: Sequence[int], spent: Sequence[float]) -> float:
    return math.log(spent[-1] / spent[0]) / math.log(sizes[-1] / sizes[0])


def _must(holds: bool) -> None:
    if not holds:
        raise AssertionError("a result under encryption differs from the one in the clear")
