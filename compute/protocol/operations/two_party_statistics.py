"""Two-party statistics: aligned statistics where only the two owners may compute, without a compute party.

Parameters, gate and result are those of aligned statistics; the engine is another, and for small tables.
"""

from dataclasses import replace
from typing import Any

from compute.protocol.operations import aligned_statistics
from compute.protocol.operations.base import MINIMUM_GROUP

CODE = "two_party_statistics"


def parameters(
    *,
    group_by: list[str],
    values: list[str],
    group_provider: str,
    value_provider: str,
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
) -> dict[str, Any]:
    """Parameters of two_party_statistics, checked; the same as those of aligned_statistics."""
    return aligned_statistics.parameters(
        group_by=group_by,
        values=values,
        group_provider=group_provider,
        value_provider=value_provider,
        filters=filters,
        min_group=min_group,
    )


OPERATION = replace(
    aligned_statistics.OPERATION,
    code=CODE,
    engine="cheetah_aligned/1",
    engine_zh="隐私求交后两方 CHEETAH 计算（第 1 版）",
    engine_en="Private set intersection, then CHEETAH between two parties, version 1",
    title_zh="两方对齐统计",
    title_en="Two-party statistics",
    why_zh="只允许两个数据方参与计算：先隐私求交，再由两方以 CHEETAH（同态加密与不经意传输）在密态下统计；适合小表。",
    why_en="Only the two owners may compute: private set intersection, then CHEETAH (homomorphic encryption and "
    "oblivious transfer) between them computes under shares; for small tables.",
    has_compute_party=False,
)
