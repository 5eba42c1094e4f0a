"""Aligned statistics: one owner has the groups, another the values of the same persons."""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import (
    MINIMUM_GROUP,
    STATISTICS,
    Operation,
    Parameters,
    Terms,
    check_filters,
    filtered_columns,
    object_of,
)

CODE = "aligned_statistics"


def parameters(
    *,
    group_by: list[str],
    values: list[str],
    group_provider: str,
    value_provider: str,
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
) -> dict[str, Any]:
    """Parameters of aligned_statistics, checked."""
    found = {
        "group_by": group_by,
        "values": values,
        "filters": filters or [],
        "min_group": min_group,
        "group_provider": group_provider,
        "value_provider": value_provider,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """Groups and values lie with two organisations."""
    check_filters(parameters)
    if parameters["group_provider"] == parameters["value_provider"]:
        raise shapes.refuse("parameters.value_provider", "must be another organisation than group_provider")


def columns(parameters: Parameters, provider: str) -> list[str]:
    """The group provider's groups and filters, the value provider's values; nothing of anybody else."""
    if provider == parameters["group_provider"]:
        return [*parameters["group_by"], *filtered_columns(parameters)]
    return list(parameters["values"]) if provider == parameters["value_provider"] else []


def objects(terms: Terms, parameters: Parameters) -> list[dict[str, Any]]:
    """The group provider is rank 0, the value provider rank 1."""
    return [object_of(terms, parameters["group_provider"]), object_of(terms, parameters["value_provider"])]


SHAPE = {**STATISTICS, "group_provider": shapes.urn("org"), "value_provider": shapes.urn("org")}

OPERATION = Operation(
    code=CODE,
    engine="aby3_aligned/1",
    engine_zh="隐私求交后三方 ABY3 计算（第 1 版）",
    engine_en="Private set intersection, then ABY3 among three parties, version 1",
    result="grouped_statistics/v1",
    title_zh="纵向对齐统计",
    title_en="Aligned statistics",
    task_kind="joint_stats",
    technique="mpc",
    techniques=("psi", "mpc"),
    why_zh="两方的行须按人对齐：先隐私求交，再由三个独立机构以 ABY3 在密态下统计。",
    why_en="Rows of two parties must meet on the person: private set intersection, then ABY3 among three separate "
    "entities computes under shares.",
    shape=shapes.members(SHAPE),
    check=check,
    columns=columns,
    objects=objects,
    providers=(2, 2),
    has_compute_party=True,
)
