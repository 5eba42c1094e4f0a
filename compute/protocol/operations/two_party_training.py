"""Two-party training: a logistic model over one agency's columns and a bank's labels, with nobody's help."""

from dataclasses import replace
from typing import Any

from compute.protocol import shapes
from compute.protocol.operations import credit_scoring, model_training
from compute.protocol.operations.base import INPUT

CODE = "two_party_training"


def parameters(
    *,
    dataset: str,
    commitment: str,
    label: str,
    features: list[dict[str, Any]],
    own: list[str] | None = None,
    steps: int = 40,
    rate_thousandths: int = 200,
    decay_millionths: int = 1_000,
) -> dict[str, Any]:
    """Parameters of two_party_training, checked.

    Args:
        dataset, commitment: the requester's own table; label: its column of 0 and 1; own: its feature columns.
        features: of the one agency, `provider` and `columns`.
        steps: of the descent, each over all rows; rate_thousandths: step length; decay_millionths: L2 penalty.
    """
    found = {
        "input": {"dataset": dataset, "commitment": commitment},
        "label": label,
        "features": features,
        "own": own or [],
        "steps": steps,
        "rate_thousandths": rate_thousandths,
        "decay_millionths": decay_millionths,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


OPERATION = replace(
    model_training.OPERATION,
    code=CODE,
    engine="paillier_training/1",
    engine_zh="机构密钥下的 Paillier 二阶矩与分享梯度下降（第 1 版）",
    engine_en="Second moments under the agency's Paillier key, then descent on shares, version 1",
    title_zh="两方联合建模",
    title_en="Two-party training",
    why_zh="标签在银行，特征在一个机构，没有第三方：机构加密全表，银行在密文上累加，得到的矩与权重始终分为两份；"
    "机构不知道哪些人共有，没有任何梯度被打开。",
    why_en="The bank holds labels, one agency holds features, no third party: the agency encrypts its whole table, the "
    "bank adds up what it cannot read, moments and weights stay in two shares; the agency does not learn who is in "
    "both, and no gradient is opened.",
    shape=shapes.members(
        {
            "input": INPUT,
            "label": shapes.COLUMN,
            "features": credit_scoring.ONE_AGENCY,
            "own": credit_scoring.OWN,
            "steps": shapes.integer(1, 200),
            "rate_thousandths": shapes.integer(1, 5_000),
            "decay_millionths": shapes.integer(0, 100_000),
        }
    ),
    check=model_training.check_columns,
    providers=(1, 1),
)
