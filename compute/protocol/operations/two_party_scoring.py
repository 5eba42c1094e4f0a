"""Two-party scoring: a bank's applicants, scored over the columns of one agency, with nobody's help.

Parameters and result are those of credit scoring with one agency; where the cuts of a score card lie is told to the
agency by the bank, so the request does not bound them. A trained model is one of `two_party_training`.
"""

from dataclasses import replace
from typing import Any

from compute.protocol import shapes
from compute.protocol.operations import credit_scoring
from compute.protocol.operations.base import INPUT

CODE = "two_party_scoring"


def parameters(
    *,
    dataset: str,
    commitment: str,
    features: list[dict[str, Any]],
    model: dict[str, Any],
    own: list[str] | None = None,
) -> dict[str, Any]:
    """Parameters of two_party_scoring, checked.

    Args:
        dataset, commitment: the requester's own table of applicants.
        features: of the one agency, `provider` and `columns`.
        model: kind, version, commitment; a trained one has offset and factor too.
        own: columns of the requester's own table that are features.
    """
    found = {
        "input": {"dataset": dataset, "commitment": commitment},
        "features": features,
        "own": own or [],
        "model": {"offset": 0, "factor": 0, **model},
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Any) -> None:
    """Not too many features, and a factor where there is a trained model."""
    credit_scoring.check_features(parameters)
    credit_scoring.check_factor(parameters)


OPERATION = replace(
    credit_scoring.OPERATION,
    code=CODE,
    engine="paillier_scoring/1",
    engine_zh="机构密钥下的 Paillier 线性评分与逐人密查（第 1 版）",
    engine_en="Linear scores under the agency's Paillier key, opened one person at a time, version 1",
    title_zh="两方信用评分",
    title_en="Two-party credit scoring",
    why_zh="只有银行与一个机构，没有第三方：机构加密全表，银行在密文上加权并加掩码，再逐人打开申请人的得分；"
    "机构不知道查询了谁，银行看不到特征。",
    why_en="Only the bank and one agency, no third party: the agency encrypts its whole table, the bank weighs and "
    "masks what it cannot read and opens its applicants one by one; the agency does not learn who is asked, the bank "
    "sees no feature.",
    shape=shapes.members(
        {
            "input": INPUT,
            "features": credit_scoring.ONE_AGENCY,
            "own": credit_scoring.OWN,
            "model": credit_scoring.MODEL,
        }
    ),
    check=check,
    providers=(1, 1),
)
