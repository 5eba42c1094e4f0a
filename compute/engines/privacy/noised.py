"""Joint statistics with noise, tier 2: any filter, any category column, and every owner's own noise in every number.

Each owner counts and sums its own rows for every group that its schema allows, absent groups included, adds the noise
that its node drew for this query (`noise.json` in the run's directory), and only then shares the numbers. So the
guarantee needs no other party: not the other owners, who may all be curious, nor the buyer, who opens the sum of all.
With n owners the buyer's error is that of n noises; an owner's guarantee is that of its own.

Nothing a party tells its peers here depends on a row: categories, scales, noise scales. (Exact joint statistics tell
the magnitude of the row count; noised ones do not.)

k: the buyer's `open` hides the numbers of a group whose noisy count is below k. That is arithmetic after the noise; it
keeps nonsense off a page and is not what protects anybody.

Source: Dwork, Kenthapadi, McSherry, Mironov and Naor, Our Data, Ourselves, EUROCRYPT 2006 (each adds its own noise).
"""

import base64
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from compute.engines import gate, link, shares
from compute.engines.base import PLACES, Level, StageContext, read_parts, write_decimal, write_part
from compute.engines.errors import EngineRefused, PartInvalid
from compute.engines.metadata import DatasetMeta
from compute.engines.privacy import sensitivity
from compute.protocol import privacy
from ledger.proofs import canonical, statements

RESULT_TYPE = "noised_statistics/v1"
NOISE_FILE = "noise.json"

Groups = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the parties agreed on; groups and values are in canonical order. `spread` is by component, over all owners.

    Args:
        values: name and scale of each value.
        spread: standard deviation of the noise in each number, the count first, in units of the number's scale.
    """

    groups: Groups
    values: tuple[tuple[str, int], ...]
    spread: tuple[float, ...]

    @property
    def labels(self) -> list[tuple[str, ...]]:
        """The categories of each group."""
        return gate.labels([categories for _, categories in self.groups])

    @property
    def size(self) -> int:
        """How many numbers are shared."""
        return len(self.labels) * (1 + len(self.values))

    def describe(self) -> dict[str, Any]:
        """The layout as plain values; spreads rounded up to whole numbers."""
        return {
            "groups": [[name, list(categories)] for name, categories in self.groups],
            "values": [[name, scale] for name, scale in self.values],
            "spread": [math.ceil(item) for item in self.spread],
        }


@dataclass(frozen=True, slots=True)
class NoisedStatistics:
    """The result: one cell for every group of the declared domain and every value; `withheld` below k."""

    group_by: tuple[str, ...]
    values: tuple[str, ...]
    min_group: int
    privacy: Mapping[str, Any]
    cells: tuple[Mapping[str, Any], ...]

    @property
    def type(self) -> str:
        """The schema of the document."""
        return RESULT_TYPE

    def describe(self) -> dict[str, Any]:
        """The result document of schema noised_statistics/v1."""
        return {
            "type": RESULT_TYPE,
            "group_by": list(self.group_by),
            "values": list(self.values),
            "min_group": self.min_group,
            "privacy": dict(self.privacy),
            "cells": [dict(cell) for cell in self.cells],
        }

    def to_bytes(self) -> bytes:
        """The result document as canonical JSON."""
        return canonical.encode(self.describe())


def is_asked(parameters: Mapping[str, Any]) -> bool:
    """Whether a request of joint statistics is one of tier 2."""
    return "privacy" in parameters


def check(parameters: Mapping[str, Any], metas: Mapping[int, DatasetMeta], *, min_group: int) -> None:
    """See Engine.check."""
    gate.check_min_group(min_group)
    for meta in metas.values():
        sensitivity.plan(meta, parameters)


def derive(parameters: Mapping[str, Any]) -> dict[str, Level]:
    """See Engine.derive: groups by their labels; values, and numbers that select, only through noisy totals."""
    filters = parameters["filters"]
    return {
        **dict.fromkeys([item["column"] for item in filters], Level.PLAINTEXT_AFTER_AGGREGATE),
        **dict.fromkeys(parameters["values"], Level.PLAINTEXT_AFTER_AGGREGATE),
        **dict.fromkeys(parameters["group_by"], Level.PLAINTEXT_AFTER_GROUP_BY),
    }


def run(context: StageContext, *, engine: str) -> bytes:
    """See Engine.run."""
    from compute.engines import loading
    from compute.engines.privacy import sums  # numeric: only here, in the run's own process

    if context.dataset is None or context.parties < 2:
        raise EngineRefused("JOB_DIFFERS", "This operation needs two or more data parties and no other.")
    meta = loading.load_meta(context.dataset)
    plan = sensitivity.plan(meta, context.parameters)
    noise = read_noise(context.work_dir / NOISE_FILE, plan)
    context.progress("link", 5)
    with link.connect(context) as mesh:
        context.progress("link", 20)
        hello = _hello(context, meta, plan)
        received = mesh.broadcast(json.dumps(hello).encode())
        layout = agree(context, {context.rank: hello, **{rank: _read(data) for rank, data in received.items()}})
        context.progress("compute", 30)
        exact = sums.totals(context.dataset, meta, plan, filters=context.parameters["filters"])
        if plan.mechanism == privacy.REVIEWED:
            exact = without_small(exact, k=gate.effective_k([meta], min_group=context.k))
        numbers = noised_totals(layout, plan, exact=exact, noise=noise, meta=meta)
        context.progress("share", 80)
        vectors = shares.split(numbers, parties=context.parties, random_bytes=secrets.token_bytes)
        outgoing = {rank: shares.pack(vectors[rank]) for rank in range(context.parties) if rank != context.rank}
        others = [_vector(data, layout) for data in mesh.exchange(outgoing).values()]
        own = shares.add([vectors[context.rank], *others])
        mesh.broadcast(b"done")
    context.progress("part", 100)
    content = {"layout": layout.describe(), "shares": base64.b64encode(shares.pack(own)).decode()}
    return write_part(engine=engine, context=context, content=content)


def without_small(exact: Sequence[Sequence[int]], *, k: int) -> list[list[int]]:
    """An owner's exact numbers with every group of fewer than its k persons at zero: what a reviewed query may tell."""
    return [[number if count >= k else 0 for number, count in zip(row, exact[0], strict=True)] for row in exact]


def noised_totals(
    layout: Layout,
    plan: sensitivity.Plan,
    *,
    exact: Sequence[Sequence[int]],
    noise: Sequence[Sequence[int]],
    meta: DatasetMeta,
) -> list[int]:
    """Add each noise to its number, then put the owner's groups among those of all: a group it has not stays 0.

    Shapes: exact, noise (components, own groups); result (size of the layout,), group by group.
    """
    place = {labels: number for number, labels in enumerate(layout.labels)}
    raised = [1, *(10 ** (scale - meta.numeric(name).scale) for name, scale in layout.values)]
    width, numbers = len(raised), [0] * layout.size
    for group, labels in enumerate(plan.labels):
        for component, factor in enumerate(raised):
            noisy = exact[component][group] + noise[component][group]
            numbers[place[labels] * width + component] = noisy * factor
    return numbers


def agree(context: StageContext, hellos: Mapping[int, Mapping[str, Any]]) -> Layout:
    """Derive the same layout at every party from what all declared: the union of groups, the finest scales.

    Raises:
        EngineRefused: JOB_DIFFERS when a peer runs another job or its greeting cannot be read, PARTITION_TOO_LARGE.
    """
    parameters = context.parameters
    try:
        if any(hello["job"] != context.job_digest for hello in hellos.values()):
            raise EngineRefused("JOB_DIFFERS", "A peer runs another job; the exchange dispatches it again.")
        groups = []
        for name in sorted(parameters["group_by"]):
            found = {str(category) for hello in hellos.values() for category in hello["categories"][name]}
            groups.append((name, tuple(sorted(found))))
        gate.check_groups([categories for _, categories in groups])
        values, spread = [], [_spread([(float(hello["scales"][""]), 1) for hello in hellos.values()], parameters)]
        for name in sorted(parameters["values"]):
            scale = max(int(hello["digits"][name]) for hello in hellos.values())
            noises = [
                (float(item["scales"][name]), 10 ** (scale - int(item["digits"][name]))) for item in hellos.values()
            ]
            values.append((name, scale))
            spread.append(_spread(noises, parameters))
    except (KeyError, TypeError, ValueError):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.") from None
    return Layout(tuple(groups), tuple(values), tuple(spread))


def open_parts(
    parts: Sequence[bytes], *, engine: str, job: Mapping[str, Any], request: Mapping[str, Any]
) -> NoisedStatistics:
    """See Engine.open."""
    found = read_parts(parts, engine=engine, job_digest=statements.digest(job), ranks=len(job["parties"]))
    if any(part.get("layout") != found[0].get("layout") for part in found):
        raise PartInvalid("The parts do not agree on the groups; report the run to the exchange.")
    try:
        layout = _layout(found[0]["layout"])
        numbers = shares.join([_vector(base64.b64decode(part["shares"], validate=True), layout) for part in found])
    except (KeyError, TypeError, ValueError):
        raise PartInvalid("A part is damaged; fetch the result again.") from None
    parameters = request["parameters"]
    names = sorted(parameters["group_by"]), sorted(parameters["values"])
    if ([name for name, _ in layout.groups], [name for name, _ in layout.values]) != names:
        raise PartInvalid("The parts answer another question; report the run to the exchange.")
    return _finish(layout, numbers, parameters=parameters, min_group=int(job["min_group"]))


def _finish(
    layout: Layout, numbers: Sequence[int], *, parameters: Mapping[str, Any], min_group: int
) -> NoisedStatistics:
    width = 1 + len(layout.values)
    cells: list[Mapping[str, Any]] = []
    for group, labels in enumerate(layout.labels):
        count, *totals = numbers[group * width : (group + 1) * width]
        named = dict(zip((name for name, _ in layout.groups), labels, strict=True))
        ordered = {name: named[name] for name in parameters["group_by"]}
        for total, (column, scale) in zip(totals, layout.values, strict=True):
            cell: dict[str, Any] = {"group": ordered, "column": column}
            if count < min_group:
                cells.append({**cell, "withheld": True})
                continue
            unit = 10**scale
            cells.append(
                {
                    **cell,
                    "count": count,
                    "sum": write_decimal(Fraction(total, unit), scale),
                    "mean": write_decimal(Fraction(total, count * unit), PLACES),
                }
            )
    cells.sort(key=lambda item: ([item["group"][name] for name in parameters["group_by"]], item["column"]))
    deviations = {name: spread for (name, _), spread in zip(layout.values, layout.spread[1:], strict=True)}
    stated: dict[str, Any] = {
        **parameters["privacy"],
        "unit": "one person is one row of one owner",
        "count_deviation": str(math.ceil(layout.spread[0])),
        "sum_deviation": {
            name: write_decimal(Fraction(math.ceil(deviations[name]), 10**scale), scale)
            for name, scale in layout.values
        },
    }
    return NoisedStatistics(tuple(parameters["group_by"]), tuple(parameters["values"]), min_group, stated, tuple(cells))


def _hello(context: StageContext, meta: DatasetMeta, plan: sensitivity.Plan) -> dict[str, Any]:
    """What a party tells its peers: what its schema declares, and the scale of its noise."""
    return {
        "job": context.job_digest,
        "categories": {name: list(categories) for name, categories in plan.groups},
        "digits": {name: meta.numeric(name).scale for name in context.parameters["values"]},
        "scales": {item.name: item.scale for item in plan.components},
    }


def _spread(noises: Sequence[tuple[float, int]], parameters: Mapping[str, Any]) -> float:
    """The standard deviation of the sum of all owners' noises: a Laplace of scale b has sqrt(2) b, a Gaussian b."""
    factor = math.sqrt(2) if parameters["privacy"]["mechanism"] == privacy.LAPLACE else 1.0
    return math.sqrt(sum((scale * raised * factor) ** 2 for scale, raised in noises))


def read_noise(path: Path, plan: sensitivity.Plan) -> list[list[int]]:
    """The noise that the node drew; without it, or with another query's, nothing is computed."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        noise = [[int(number) for number in row] for row in value["noise"]]
        is_mine = value["plan"] == plan.describe()
    except (OSError, ValueError, KeyError, TypeError):
        raise EngineRefused("JOB_DIFFERS", "The node gave this run no noise; dispatch it again.") from None
    if not is_mine or [len(row) for row in noise] != [len(plan.labels)] * len(plan.components):
        raise EngineRefused("JOB_DIFFERS", "The noise is that of another query; dispatch it again.")
    return noise


def _read(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise EngineRefused("JOB_DIFFERS", "A peer's greeting cannot be read; check the versions.")
    return value


def _layout(value: Mapping[str, Any]) -> Layout:
    groups = tuple((str(name), tuple(map(str, categories))) for name, categories in value["groups"])
    gate.check_groups([categories for _, categories in groups])
    values = tuple((str(name), int(scale)) for name, scale in value["values"])
    spread = tuple(float(item) for item in value["spread"])
    if len(spread) != 1 + len(values):
        raise ValueError("a spread for each number")
    return Layout(groups, values, spread)


def _vector(data: bytes, layout: Layout) -> list[int]:
    vector = shares.unpack(data)
    if len(vector) != layout.size:
        raise PartInvalid("A share has another length than agreed; the run is void.")
    return vector
