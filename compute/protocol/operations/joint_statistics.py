"""Joint statistics: the same columns of different people, added up over all owners.

Besides count, sum, mean and variance of each value a request may ask for `measures`; without the member the answer is
what it always was:

    {"covariance": [["wage", "months"]],
     "histogram": ["wage"],
     "quantile_bands": [{"column": "wage", "probabilities": ["0.25", "0.5"]}]}

With `privacy` ({"mechanism": "discrete_laplace", "epsilon": "0.1"}) filters and groups are free of the blocks, filters
may be ranges ({"column": "wage", "from": "3000", "to": "5000"}), and every owner adds its own noise to count and sum.

A request names no cuts: a column is counted by the bands that all owners declare alike, and by no others.
"""

from typing import Any

from compute.protocol import privacy as noise
from compute.protocol import shapes
from compute.protocol.operations.base import (
    FILTER,
    MINIMUM_GROUP,
    STATISTICS,
    Operation,
    Parameters,
    check_filters,
    filtered_columns,
)

CODE = "joint_statistics"
_MAX_PAIRS = 8
_PROBABILITY = shapes.pattern(r"0\.[0-9]{0,5}[1-9]", "a decimal between 0 and 1 of at most six places, such as 0.25")
_QUANTILES = shapes.members(
    {"column": shapes.COLUMN, "probabilities": shapes.list_of(_PROBABILITY, low=1, high=20, distinct=True)}
)
MEASURES = shapes.members(
    {},
    optional={
        "covariance": shapes.list_of(
            shapes.list_of(shapes.COLUMN, low=2, high=2, distinct=True), low=1, high=_MAX_PAIRS, distinct=True
        ),
        "histogram": shapes.list_of(shapes.COLUMN, low=1, high=8, distinct=True),
        "quantile_bands": shapes.list_of(_QUANTILES, low=1, high=8),
    },
)


def _filter(value: Any, path: str) -> None:
    """Categories of a column, or a range of numbers; ranges select no whole blocks."""
    (noise.RANGE if isinstance(value, dict) and "in" not in value else FILTER)(value, path)


SHAPE = {**STATISTICS, "filters": shapes.list_of(_filter, low=0, high=4)}


def parameters(
    *,
    group_by: list[str],
    values: list[str],
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
    measures: dict[str, Any] | None = None,
    privacy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Parameters of joint_statistics, checked."""
    found: dict[str, Any] = {
        "group_by": group_by,
        "values": values,
        "filters": filters or [],
        "min_group": min_group,
        **({"measures": measures} if measures is not None else {}),
        **({"privacy": privacy} if privacy is not None else {}),
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """Filters name a column once; measures are asked once, and of values only.

    A column's persons are counted over one partition, which is decided by its use as a value (ADR 18).
    """
    check_filters(parameters)
    asked = parameters.get("measures")
    if "privacy" not in parameters and any("in" not in item for item in parameters["filters"]):
        raise shapes.refuse("parameters.filters", "may name a range only beside privacy")
    if asked is None:
        return
    if "privacy" in parameters:
        raise shapes.refuse("parameters.measures", "are exact only; leave out measures or privacy")
    pairs = [frozenset(pair) for pair in asked.get("covariance", [])]
    quantiles = [item["column"] for item in asked.get("quantile_bands", [])]
    if not asked or len(set(pairs)) != len(pairs) or len(set(quantiles)) != len(quantiles):
        raise shapes.refuse("parameters.measures", "must ask for something, and for each column or pair once")
    if not {*(name for pair in pairs for name in pair), *asked.get("histogram", []), *quantiles} <= set(
        parameters["values"]
    ):
        raise shapes.refuse("parameters.measures", "must name columns of parameters.values")


def _columns(parameters: Parameters, provider: str) -> list[str]:
    del provider  # the same of everybody
    return [*parameters["group_by"], *parameters["values"], *filtered_columns(parameters)]


OPERATION = Operation(
    code=CODE,
    engine="additive_sharing/1",
    engine_zh="加法秘密分享（第 1 版）",
    engine_en="Additive secret sharing, version 1",
    result="grouped_statistics/v1",
    title_zh="横向联合统计",
    title_en="Joint statistics",
    task_kind="joint_stats",
    technique="mpc",
    techniques=("mpc",),
    why_zh="各方列相同、人不同：先在本地汇总，再以加法秘密分享相加，行不出门，传输最少。",
    why_en="The parties hold the same columns of different people: each aggregates its own rows, then the partial "
    "sums are added under additive secret sharing; rows stay home and the least is sent.",
    shape=shapes.members(SHAPE, optional={"measures": MEASURES, "privacy": noise.shape}),
    check=check,
    columns=_columns,
)
