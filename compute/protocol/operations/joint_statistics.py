"""Joint statistics: the same columns of different people, added up over all owners."""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import (
    MINIMUM_GROUP,
    STATISTICS,
    Operation,
    Parameters,
    check_filters,
    filtered_columns,
)

CODE = "joint_statistics"


def parameters(
    *,
    group_by: list[str],
    values: list[str],
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
) -> dict[str, Any]:
    """Parameters of joint_statistics, checked."""
    found = {"group_by": group_by, "values": values, "filters": filters or [], "min_group": min_group}
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


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
    shape=shapes.members(STATISTICS),
    check=check_filters,
    columns=_columns,
)
