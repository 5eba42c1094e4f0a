"""A two-party training on a real table: run, opened by both together, and compared with numpy on the same rows."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import reference_models
from compute.engines.scoring.moments import VALUE_BITS
from tests.benchmarks.compute_scoring import Split
from tests.factories import scoring as world
from tests.factories.engines import write_dataset

THEIRS, OWN = 12, 16  # at most as many as an operation allows of each
STEPS, RATE, DECAY = 60, 0.5, 0.0001
Float = NDArray[np.float64]


def train(directory: Path, split: Split) -> tuple[float, int, float, float, float, float]:
    """Seconds of processor time, peak memory, seconds of numpy; test AUC of the shares, of the clear, of the logistic.

    The agency has the first columns and only the training rows, the bank the next and the labels.
    """
    every = {name: column for table in (*split.agencies, split.own) for name, column in table.items()}
    columns = dict(list(every.items())[: THEIRS + OWN])
    names = list(columns)
    inside, outside = split.parts()
    deal = _deal(directory, split, columns, inside)
    runs = deal.run()
    for run in runs:
        run.part()
    took = sum(float(run.result()["cpu_seconds"]) for run in runs)
    table = np.column_stack(
        [np.clip(_scaled(columns[name], inside), -8, 8) for name in names] + [np.ones(len(split.label))]
    )
    started = time.perf_counter()
    same = _descent(table[inside], split.label[inside])
    clear = time.perf_counter() - started
    labels = split.label[outside].tolist()
    found = [
        reference_models.area((table[outside] @ one).tolist(), labels)
        for one in (_opened(deal), same, _newton(table[inside], split.label[inside]))
    ]
    return took, max(int(run.result()["peak_mb"]) for run in runs), clear, found[0], found[1], found[2]


def _deal(directory: Path, split: Split, columns: dict[str, Float], inside: Any) -> world.Deal:
    scale, names = split.scale, list(columns)
    bounds = {
        name: (scale, int(np.floor(one.min() * 10**scale)) - 1, int(np.ceil(one.max() * 10**scale)) + 1)
        for name, one in columns.items()
    }

    def cells(number: int, chosen: list[str]) -> dict[str, str]:
        return {"person_id": f"9901{number:014d}"} | {name: f"{columns[name][number]:.{scale}f}" for name in chosen}

    consent = {"consent_until": str(world.FOREVER), "consent_for": world.RECIPIENT}
    theirs = {name: bounds[name] for name in names[:THEIRS]}
    agency = world.agency(directory / "agency", [cells(n, names[:THEIRS]) | consent for n in inside], theirs)
    bank = write_dataset(
        directory / "bank",
        [cells(n, names[THEIRS:]) | {"label": str(split.label[n])} for n in inside],
        blocks={},
        values={name: bounds[name] for name in names[THEIRS:]} | {"label": (0, 0, 1)},
    )
    deal = world.pair_training(
        directory / "run",
        [bank, agency],
        features=[{"provider": world.CIVIL, "columns": names[:THEIRS]}],
        own=names[THEIRS:],
        steps=STEPS,
        rate_thousandths=int(RATE * 1000),
        decay_millionths=int(DECAY * 1_000_000),
    )
    deal.deadline_seconds = 3_000
    return deal


def _opened(deal: world.Deal) -> Float:
    """What both nodes together can do with the shares that they keep."""
    shares = []
    for rank in range(2):
        (path,) = deal.kept(rank).glob("models/*.json")
        data = base64.b64decode(json.loads(path.read_text())["shares"])
        shares.append([int.from_bytes(data[start : start + 16], "big") for start in range(0, len(data), 16)])
    whole = [(one + two) % 2**128 for one, two in zip(shares[0], [*shares[1], *[0] * len(shares[0])], strict=False)]
    return np.array([one - 2**128 if one >> 127 else one for one in whole]) / 2**18


def _scaled(column: Float, inside: Any) -> Float:
    found: Float = (column - column[inside].mean()) / (column[inside].std() or 1.0)
    rounded: Float = np.rint(found * 2**VALUE_BITS) / 2**VALUE_BITS
    return rounded


def _descent(table: Float, label: Any) -> Float:
    slots = 1 << (len(table) - 1).bit_length()
    curve, aim = table.T @ table / 4 / slots, table.T @ (label - 0.5) / slots
    weights = before = np.zeros(table.shape[1])
    for _ in range(STEPS):
        weights, before = weights - RATE * (curve @ weights - aim + DECAY * weights) + 0.8 * (weights - before), weights
    return weights


def _newton(table: Float, label: Any) -> Float:
    weights = np.zeros(table.shape[1])
    for _ in range(30):
        guess = 1 / (1 + np.exp(-table @ weights))
        curve = (table * (guess * (1 - guess))[:, None]).T @ table + np.eye(len(weights))
        weights -= np.linalg.solve(curve, table.T @ (guess - label) + weights)
    return weights
