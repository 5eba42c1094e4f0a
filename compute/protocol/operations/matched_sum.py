"""Sums over matched persons between two owners and nobody else: one owner has the list, another the values.

The whole match is one group: no grouping and no filters, so that two answers about the same pair of tables never
differ by a few persons (docs/subsystems/paillier.md).
"""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import MINIMUM_GROUP, STATISTICS, Operation, Parameters, Terms, object_of

CODE = "matched_sum"


def parameters(
    *, values: list[str], list_provider: str, value_provider: str, min_group: int = MINIMUM_GROUP
) -> dict[str, Any]:
    """Parameters of matched_sum, checked."""
    found = {
        "values": values,
        "min_group": min_group,
        "list_provider": list_provider,
        "value_provider": value_provider,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """List and values lie with two organisations."""
    if parameters["list_provider"] == parameters["value_provider"]:
        raise shapes.refuse("parameters.value_provider", "must be another organisation than list_provider")


def columns(parameters: Parameters, provider: str) -> list[str]:
    """The value provider's values; of the list nothing but the persons."""
    return list(parameters["values"]) if provider == parameters["value_provider"] else []


def objects(terms: Terms, parameters: Parameters) -> list[dict[str, Any]]:
    """The list provider is rank 0, the value provider rank 1."""
    return [object_of(terms, parameters["list_provider"]), object_of(terms, parameters["value_provider"])]


OPERATION = Operation(
    code=CODE,
    engine="ddh_paillier_sum/1",
    engine_zh="双盲求交后 Paillier 同态求和（第 1 版）",
    engine_en="Doubly blinded matching, then sums under Paillier, version 1",
    result="grouped_statistics/v1",
    title_zh="双方匹配求和",
    title_en="Matched sum",
    task_kind="joint_stats",
    technique="mpc",
    techniques=("psi", "mpc"),
    why_zh="只有两方且没有独立第三方：标识双重盲化后比对，数值在同态密文下求和，双方都不知道共有哪些人。",
    why_en="Two parties and no neutral third: identifiers are compared doubly blinded, values are added up under "
    "homomorphic encryption, and neither party learns who is in both.",
    shape=shapes.members(
        {
            "values": STATISTICS["values"],
            "min_group": STATISTICS["min_group"],
            "list_provider": shapes.urn("org"),
            "value_provider": shapes.urn("org"),
        }
    ),
    check=check,
    columns=columns,
    objects=objects,
    providers=(2, 2),
)
