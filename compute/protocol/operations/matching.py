"""Matching: how many persons two or more tables share, or, where the contract says so, which rows of one.

    {"form": "cardinality", "protocol": "blind", "receiver": "urn:hengshu:org:…", "min_group": 10}

`receiver` is the provider whose node learns first: the number (blind), or which of its persons are in all tables (every
other protocol). `form` "list" hands the buyer row numbers of the receiver's table; the receiver's id column must be
among the contract's columns, which is how a contract consents to it.

    {…, "privacy": {"mechanism": "discrete_laplace", "epsilon": "0.1"}}

With `privacy` a number comes with noise of the receiver's node, paid from both tables' budgets. Then it may be asked of
any version, again and again, until these are spent; an exact number is told of one pair of versions only.
"""

from typing import Any

from compute.protocol import privacy as noise
from compute.protocol import shapes
from compute.protocol.operations.base import (
    MINIMUM_GROUP,
    Operation,
    Parameters,
    ParametersOutOfTerms,
    Terms,
    object_of,
)

CODE = "matching"
FORMS = ("cardinality", "list")
BLIND = "blind"
PROTOCOLS = (BLIND, "rr22", "kkrt", "ecdh", "sm2")
MULTI_PARTY = "ecdh"  # the one protocol for three parties and more


def parameters(
    *,
    receiver: str,
    form: str = "cardinality",
    protocol: str = BLIND,
    id_column: str | None = None,
    min_group: int = MINIMUM_GROUP,
    privacy: Parameters | None = None,
) -> dict[str, Any]:
    """Parameters of matching, checked."""
    found: dict[str, Any] = {"form": form, "protocol": protocol, "receiver": receiver, "min_group": min_group}
    if id_column is not None:
        found["id_column"] = id_column
    if privacy is not None:
        found["privacy"] = dict(privacy)
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """A list names the id column that the contract must contain, needs a protocol that knows rows, and is exact."""
    is_list = parameters["form"] == "list"
    if is_list != ("id_column" in parameters):
        raise shapes.refuse("parameters.id_column", "must be there for a list, and for nothing else")
    if is_list and parameters["protocol"] == BLIND:
        raise shapes.refuse("parameters.protocol", "must be another than blind for a list: blind knows no rows")
    if "privacy" in parameters and (is_list or parameters["privacy"]["mechanism"] != noise.LAPLACE):
        raise shapes.refuse("parameters.privacy", f"is {noise.LAPLACE}, and for a cardinality")


def columns(parameters: Parameters, provider: str) -> list[str]:
    """A list needs the receiver's id column among the contract's columns; a cardinality touches none."""
    return [parameters["id_column"]] if provider == parameters["receiver"] and "id_column" in parameters else []


def objects(terms: Terms, parameters: Parameters) -> list[dict[str, Any]]:
    """The receiver is rank 0, the others follow in the order of the terms."""
    first = object_of(terms, parameters["receiver"])
    found = [first, *(item for item in terms["objects"] if item is not first)]
    if len(found) > 2 and parameters["protocol"] != MULTI_PARTY:
        raise ParametersOutOfTerms(f"More than two tables are matched with protocol {MULTI_PARTY} only; choose it.")
    return found


OPERATION = Operation(
    code=CODE,
    engine="psi_matching/1",
    engine_zh="隐私集合求交（第 1 版）",
    engine_en="Private set intersection, version 1",
    result="matching/v1",
    title_zh="隐私求交",
    title_en="Matching",
    task_kind="psi",
    technique="psi",
    techniques=("psi",),
    why_zh="只需知道各方共有多少人（或约定一方的哪些行）：标识只以任务密钥加密后的形式参与求交。",
    why_en="Only how many persons the tables share is asked (or which rows of one): ids take part only in a form "
    "keyed for this job.",
    shape=shapes.members(
        {
            "form": shapes.choice(*FORMS),
            "protocol": shapes.choice(*PROTOCOLS),
            "receiver": shapes.urn("org"),
            "min_group": shapes.integer(MINIMUM_GROUP, 1_000_000),
        },
        optional={"id_column": shapes.COLUMN, "privacy": noise.shape},
    ),
    check=check,
    columns=columns,
    objects=objects,
    providers=(2, 16),
    names_text=True,
)
