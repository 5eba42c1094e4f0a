"""Model training: logistic regression over several agencies' columns and a bank's labels; the model stays shared."""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import INPUT, Operation
from compute.protocol.operations.credit_scoring import FEATURES, OWN, check_features, columns, objects

CODE = "model_training"


def parameters(
    *,
    dataset: str,
    commitment: str,
    label: str,
    features: list[dict[str, Any]],
    own: list[str] | None = None,
    epochs: int = 10,
    batch: int = 256,
    rate_thousandths: int = 500,
    decay_millionths: int = 0,
) -> dict[str, Any]:
    """Parameters of model_training, checked.

    Args:
        dataset, commitment: the requester's own table; label: its column of 0 and 1; own: its feature columns.
        features: of each agency, `provider` and `columns`, in order of rank.
        epochs, batch: passes, and rows a step (a power of two); rate_thousandths: step length; decay_millionths: L2
            penalty.
    """
    found = {
        "input": {"dataset": dataset, "commitment": commitment},
        "label": label,
        "features": features,
        "own": own or [],
        "epochs": epochs,
        "batch": batch,
        "rate_thousandths": rate_thousandths,
        "decay_millionths": decay_millionths,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check_columns(parameters: Any) -> None:
    """Each agency once, not too many features, and no label among them."""
    check_features(parameters)
    if parameters["label"] in parameters["own"]:
        raise shapes.refuse("parameters.own", "must not name the label")


def check(parameters: Any) -> None:
    """The columns are in order, and the batch divides the padded rows."""
    check_columns(parameters)
    if parameters["batch"] & (parameters["batch"] - 1):
        raise shapes.refuse("parameters.batch", "must be a power of two")


OPERATION = Operation(
    code=CODE,
    engine="aby3_training/1",
    engine_zh="隐匿连接与逻辑回归，三机构 ABY3，模型保持分享（第 1 版）",
    engine_en="Hidden join and logistic regression under ABY3 among three agencies, the model stays shared, version 1",
    result="trained_model/v1",
    title_zh="联合建模",
    title_en="Model training",
    task_kind="train",
    technique="mpc",
    techniques=("mpc",),
    why_zh="标签在银行，特征在三个机构；在密态下连接与训练，权重始终以份额保存，没有任何一方见到。",
    why_en="The bank holds labels, three agencies hold features; join and training run under shares, and the weights "
    "stay shares that no party sees.",
    shape=shapes.members(
        {
            "input": INPUT,
            "label": shapes.COLUMN,
            "features": FEATURES,
            "own": OWN,
            "epochs": shapes.integer(1, 100),
            "batch": shapes.integer(64, 4096),
            "rate_thousandths": shapes.integer(1, 5_000),
            "decay_millionths": shapes.integer(0, 100_000),
        }
    ),
    check=check,
    columns=columns,
    objects=objects,
    providers=(3, 3),
    has_requester=True,
    notifies=True,
)
