"""Two-party statistics: aligned statistics where only the two owners may compute, without a compute party.

Parameters, gate and result are those of aligned statistics; the engine is another, and for small tables.
"""

from dataclasses import replace

from compute.protocol.operations import aligned_statistics

CODE = "two_party_statistics"
parameters = aligned_statistics.parameters

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
