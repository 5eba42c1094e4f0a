"""Scoring and training as nodes run them: four processes over mutual TLS, against numpy on the same rows in the clear.

The real tables (`../shared/data`: breast cancer and credit card clients, UCI) are split by columns between a bank,
which holds the labels, and three agencies; without them the training lines are left out.
"""

import csv
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import reference_models
from compute.engines.scoring import cards
from compute.protocol import operations
from tests.factories import scoring as world
from tests.factories.engines import write_dataset

ROWS = (1_000, 10_000, 100_000)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CARD = cards.scorecard(version="bench", base=560, features=world.CARD_FEATURES, salt="00" * 32)
SCORE_SECONDS = 1_800.0
Float = NDArray[np.float64]


def run() -> Iterator[tuple[str, str]]:
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    try:
        yield from _scorings(directory)
        if DATA.is_dir():
            yield from _training(directory / "breast", breast(), epochs=30, batch=128)
            yield from _training(directory / "credit", credit(), epochs=5, batch=512)
        else:
            yield "training", f"left out: no real tables in {DATA}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# --- scoring ------------------------------------------------------------------------------------------------


def _scorings(directory: Path) -> Iterator[tuple[str, str]]:
    """As many applicants as each agency has persons; the three know all, three quarters and half of them."""
    taken: list[tuple[int, float]] = []
    for rows in ROWS:
        known = [np.arange(rows // 4 * place, rows // 4 * place + rows) for place in range(3)]
        deal, tables = _deal(directory / f"scoring-{rows}", rows, known)
        started = time.perf_counter()
        runs = deal.run()
        spent = time.perf_counter() - started
        answer = deal.engine.open([run.part() for run in runs], job=deal.job, request=deal.request).describe()
        started = time.perf_counter()
        clear = _clear(rows, known, tables)
        plain = time.perf_counter() - started
        found = np.array([one["score"] or 0 for one in answer["rows"]])
        taken.append((rows, spent))
        peak, worst = max(run.result()["peak_mb"] for run in runs), np.abs(found - clear).max()
        line = (
            f"{spent:7.1f} s ({_busy(runs):.0f} of processors)  {rows / spent:5.0f} rows/s  {peak:5} MB  "
            f"x{spent / plain:,.0f} of numpy, off by {worst}"
        )
        yield f"scoring {rows:,} applicants, 3 agencies of {rows:,}, 7 features", line
    (few, short), (many, long) = taken[-2:]
    yield "scoring, growth exponent between the last two", f"{log(long / short) / log(many / few):7.2f}"


def _busy(runs: Sequence[Any]) -> float:
    """Seconds of processors that the four parties took together."""
    return float(sum(run.result()["cpu_seconds"] for run in runs))


def _deal(directory: Path, rows: int, known: Sequence[Any]) -> tuple[world.Deal, list[dict[str, Any]]]:
    drawn, tables, datasets = np.random.default_rng(11), [], []
    for place, values in enumerate(world.VALUES):
        numbers = {name: drawn.integers(low, high + 1, rows) for name, (_, low, high) in values.items()}
        tables.append(numbers)
        cells = {name: _cells(numbers[name], values[name][0]) for name in values}
        cells |= {"consent_until": [str(world.FOREVER)] * rows, "consent_for": [world.RECIPIENT] * rows}
        if "spouse_income" in values:
            cells |= {f"spouse_{name}": cells[name] for name in ("consent_until", "consent_for")}
        people = [{"person_id": f"9901{number:014d}"} for number in known[place]]
        for name, column in cells.items():
            for person, cell in zip(people, column, strict=True):
                person[name] = cell
        datasets.append(world.agency(directory / f"agency{place}", people, values))
    amounts = drawn.integers(0, 1_000_001, rows)
    tables.append({"amount": amounts})
    bank = [{"person_id": f"9901{number:014d}", "amount": str(amounts[number])} for number in range(rows)]
    applicants = write_dataset(directory / "bank", bank, blocks={}, values=world.APPLICANT_VALUES)
    deal = world.scoring(directory / "run", CARD, [applicants, *datasets])
    deal.deadline_seconds = SCORE_SECONDS
    return deal, tables


def _clear(rows: int, known: Sequence[Any], tables: Sequence[dict[str, Any]]) -> Any:
    """The same scores in numpy: align by index, look points up, add."""
    total, present = np.full(rows, CARD["base"]), np.zeros(rows, bool)
    places = iter(CARD["features"])
    for persons, table in zip([*known, np.arange(rows)], tables, strict=True):
        at = np.full(rows, -1)
        inside = persons < rows
        at[persons[inside]] = np.flatnonzero(inside)
        present |= (at >= 0) if "amount" not in table else False
        for name in table:
            item = next(places)
            points = np.array(item["points"])[np.searchsorted(item["cuts"], table[name][at], side="right")]
            total = total + np.where(at >= 0, points, item["absent"])
    return np.where(present, np.clip(total, cards.LOWEST, cards.HIGHEST), 0)


def _cells(numbers: Any, scale: int) -> list[str]:
    return [f"{number // 10**scale}.{number % 10**scale:0{scale}d}" if scale else str(number) for number in numbers]


# --- training -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """A real table split by columns: each agency's columns, the bank's own, the labels; all rows of one order."""

    name: str
    agencies: tuple[dict[str, Float], ...]
    own: dict[str, Float]
    label: NDArray[np.int64]
    scale: int

    def parts(self) -> tuple[Any, Any]:
        """Rows to train on and rows to test on, four to one."""
        order = np.random.default_rng(5).permutation(self.label.size)
        cut = self.label.size * 4 // 5
        return np.sort(order[:cut]), np.sort(order[cut:])


def breast() -> Split:
    """Wisconsin breast cancer: labels with the bank, ten columns with each agency."""
    guest, host = _read(DATA / "breast" / "breast_hetero_guest.csv"), _read(DATA / "breast" / "breast_hetero_host.csv")
    order = np.argsort(host["id"])[np.argsort(np.argsort(guest["id"]))]
    columns = [(f"g{n}", guest[f"x{n}"]) for n in range(10)] + [(f"h{n}", host[f"x{n}"][order]) for n in range(20)]
    agencies = tuple(dict(columns[start : start + 10]) for start in (0, 10, 20))
    return Split("breast cancer (569 rows, 30 columns)", agencies, {}, guest["y"].astype(np.int64), 6)


def credit() -> Split:
    """Credit card clients: limit and person with the bank, repayments, bills and payments with one agency each."""
    table = _read(DATA / "credit" / "uci_credit_card.csv")
    names = list(table)
    own = {name.lower(): table[name] for name in names[1:6]}
    agencies = tuple({name.lower(): table[name] for name in names[start : start + 6]} for start in (6, 12, 18))
    return Split("credit card clients (30,000 rows, 23 columns)", agencies, own, table[names[24]].astype(np.int64), 0)


def _training(directory: Path, split: Split, *, epochs: int, batch: int) -> Iterator[tuple[str, str]]:
    model, spent, peak = train(directory, split, epochs=epochs, batch=batch)
    scores, labels, scored = score(directory, split, model)
    ours = reference_models.area([-one for one in scores], labels)
    clear, same, best = in_the_clear(split, epochs=epochs, batch=batch)
    yield (
        f"training, {split.name}, {epochs} epochs of {batch}",
        f"{spent:7.1f} s  {peak:5} MB  numpy {clear:.2f} s",
    )
    yield (
        "  AUC on the test rows: scores released / same descent in the clear / converged",
        f"{ours:7.4f} / {same:.4f} / {best:.4f}  ({ours - same:+.4f}); {len(scores)} rows scored in {scored:.1f} s",
    )


def train(directory: Path, split: Split, *, epochs: int, batch: int) -> tuple[dict[str, Any], float, int]:
    """Train over the training rows; the model's description, seconds, peak memory."""
    rows, _ = split.parts()
    datasets: list[Path | None] = [_applicants(directory / "train", split, rows), *_agencies(directory, split)]
    deal = world.Deal(
        root=directory / "training",
        state=directory,
        operation="model_training",
        parameters=operations.model_training(
            dataset="applicants",
            commitment="0" * 64,
            label="label",
            features=_features(split),
            own=list(split.own),
            epochs=epochs,
            batch=batch,
            rate_thousandths=500,
        ),
        datasets=datasets,
        deadline_seconds=SCORE_SECONDS,
    )
    started = time.perf_counter()
    runs = deal.run()
    spent = time.perf_counter() - started
    result = deal.engine.open([run.part() for run in runs], job=deal.job, request=deal.request).describe()
    return result, spent, max(run.result()["peak_mb"] for run in runs)


def score(directory: Path, split: Split, model: dict[str, Any]) -> tuple[list[int], list[int], float]:
    """Score the test rows with the shared model: scores, labels, seconds."""
    _, rows = split.parts()
    datasets: list[Path | None] = [
        _applicants(directory / "test", split, rows),
        *(directory / f"agency{n}" for n in range(3)),
    ]
    named = {"kind": "trained", "version": model["model_version"], "commitment": model["commitment"]}
    deal = world.Deal(
        root=directory / "scoring",
        state=directory,
        operation="credit_scoring",
        parameters=operations.credit_scoring(
            dataset="applicants",
            commitment="0" * 64,
            features=_features(split),
            own=list(split.own),
            model={**named, "offset": 575, "factor": 72},
        ),
        datasets=datasets,
        deadline_seconds=SCORE_SECONDS,
    )
    started = time.perf_counter()
    answer = deal.result()
    assert {row["status"] for row in answer["rows"]} == {"scored"}
    return [row["score"] for row in answer["rows"]], split.label[rows].tolist(), time.perf_counter() - started


def in_the_clear(split: Split, *, epochs: int, batch: int) -> tuple[float, float, float]:
    """Seconds and test AUC of the same descent in numpy, and the test AUC of the converged model."""
    train_rows, test_rows = split.parts()
    columns = np.stack([column for table in (*split.agencies, split.own) for column in table.values()], axis=1)
    # As the engine: agencies standardise by all their rows, the bank by the rows that it hands in.
    own = len(split.own)
    means, spreads = columns.mean(axis=0), columns.std(axis=0)
    if own:
        means[-own:], spreads[-own:] = columns[train_rows][:, -own:].mean(axis=0), columns[train_rows][:, -own:].std(0)
    table = np.column_stack([np.clip((columns - means) / spreads, -8, 8), np.ones(len(columns))])
    inside, target = table[train_rows], split.label[train_rows]
    started = time.perf_counter()
    weights, order = np.zeros(table.shape[1]), np.random.default_rng(6).permutation(len(inside))
    for _ in range(epochs):
        for start in range(0, len(order) - batch + 1, batch):
            some = order[start : start + batch]
            error = 1 / (1 + np.exp(-inside[some] @ weights)) - target[some]
            weights -= 0.5 * inside[some].T @ error / batch
    spent = time.perf_counter() - started
    best = np.zeros(table.shape[1])
    for _ in range(30):  # Newton with an L2 penalty of one: the breast table separates
        guess = 1 / (1 + np.exp(-inside @ best))
        curve = (inside * (guess * (1 - guess))[:, None]).T @ inside + 1.0 * np.eye(len(best))
        best -= np.linalg.solve(curve, inside.T @ (guess - target) + best)
    labels = split.label[test_rows].tolist()
    same, most = (reference_models.area((table[test_rows] @ one).tolist(), labels) for one in (weights, best))
    return spent, same, most


def _agencies(directory: Path, split: Split) -> list[Path]:
    found = []
    for place, table in enumerate(split.agencies):
        values = {name: _declared(column, split.scale) for name, column in table.items()}
        cells = {name: [f"{one:.{split.scale}f}" for one in column] for name, column in table.items()}
        rows = [
            {
                "person_id": f"9901{number:014d}",
                "consent_until": str(world.FOREVER),
                "consent_for": world.RECIPIENT,
                **{name: cells[name][number] for name in table},
            }
            for number in range(split.label.size)
        ]
        random.Random(place).shuffle(rows)
        found.append(world.agency(directory / f"agency{place}", rows, values))
    return found


def _applicants(path: Path, split: Split, rows: Any) -> Path:
    values = {name: _declared(column, 0) for name, column in split.own.items()} | {"label": (0, 0, 1)}
    people = [
        {
            "person_id": f"9901{number:014d}",
            "label": str(split.label[number]),
            **{name: f"{column[number]:.0f}" for name, column in split.own.items()},
        }
        for number in rows
    ]
    return write_dataset(path, people, blocks={}, values=values)


def _features(split: Split) -> list[dict[str, Any]]:
    return [
        {"provider": provider, "columns": list(table)}
        for provider, table in zip(world.ORGANIZATIONS[1:], split.agencies, strict=True)
    ]


def _declared(column: Float, scale: int) -> tuple[int, int, int]:
    scaled = np.rint(column * 10**scale)
    return scale, int(scaled.min()), int(scaled.max())


def _read(path: Path) -> dict[str, Float]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    return {name: np.array([float(row[place]) for row in rows[1:]]) for place, name in enumerate(rows[0])}
