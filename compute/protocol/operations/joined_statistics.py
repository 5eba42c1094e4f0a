"""Joined statistics: aligned statistics in which no party learns who is in both tables.

Parameters, gate and result are those of aligned statistics; the engine is another, and slower.
"""

from dataclasses import replace

from compute.protocol.operations import aligned_statistics

CODE = "joined_statistics"
parameters = aligned_statistics.parameters

OPERATION = replace(
    aligned_statistics.OPERATION,
    code=CODE,
    engine="aby3_join/1",
    engine_zh="三方 ABY3 密态排序连接（第 1 版）",
    engine_en="Oblivious sort-join in ABY3 among three parties, version 1",
    title_zh="隐藏交集的连接统计",
    title_en="Joined statistics, match hidden",
    techniques=("mpc",),
    why_zh="重合名单本身敏感：两表在密态下排序、比对并汇总，任何一方都不知道谁在两边，也不知道有多少人。",
    why_en="Who is in both tables is itself sensitive: the tables are sorted, compared and added up under shares, "
    "and no party learns who matches or how many.",
)
