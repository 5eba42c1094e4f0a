"""Membership: which of the buyer's own rows are in one provider's table; the table may be a thousand times the larger.

The provider's id column must be among the contract's columns: that is how a contract consents to telling of single
persons.
"""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import INPUT, Operation, Parameters

CODE = "membership"


def parameters(*, input: dict[str, str], id_column: str) -> dict[str, Any]:  # noqa: A002 - the document's own word
    """Parameters of membership, checked."""
    found = {"input": input, "id_column": id_column}
    OPERATION.shape(found, "parameters")
    return found


def columns(parameters: Parameters, provider: str) -> list[str]:
    """The id column of the one provider."""
    del provider
    return [parameters["id_column"]]


OPERATION = Operation(
    code=CODE,
    engine="ub_psi/1",
    engine_zh="非平衡隐私求交，缓存可复用（第 1 版）",
    engine_en="Unbalanced private set intersection with a reusable cache, version 1",
    result="membership/v1",
    title_zh="名单核验（在册与否）",
    title_en="Membership",
    task_kind="psi",
    technique="psi",
    techniques=("psi",),
    why_zh="需方名单小而数据方的表很大：数据方的表按版本与需方加密一次、送达一次，此后每次只需数百毫秒。",
    why_en="The buyer's list is small and the provider's table large: the table is keyed and delivered once for "
    "each version "
    "and requester, and every list after that takes a fraction of a second.",
    shape=shapes.members({"input": INPUT, "id_column": shapes.COLUMN}),
    columns=columns,
    providers=(1, 1),
    has_requester=True,
)
