"""Credit scoring: a bank's applicants, scored over the columns of several agencies that none of them sees."""

from typing import Any

from compute.protocol import shapes
from compute.protocol.operations.base import INPUT, Operation, Parameters, Terms, object_of

CODE = "credit_scoring"
KINDS = ("scorecard", "linear", "trained")
MAX_FEATURES = 30  # compute.engines.scoring.cards: a reason has five bits
CONSENTS = ("consent_until", "consent_for")  # compute.engines.scoring.consents: read at every run, told to nobody
SPOUSE = "spouse_"


def parameters(
    *,
    dataset: str,
    commitment: str,
    features: list[dict[str, Any]],
    model: dict[str, Any],
    own: list[str] | None = None,
    cuts: int = 0,
) -> dict[str, Any]:
    """Parameters of credit_scoring, checked.

    Args:
        dataset, commitment: the requester's own table of applicants.
        features: of each agency, `provider` and `columns`, in order of rank.
        model: kind, version, commitment; a trained one has offset and factor too.
        own: columns of the requester's own table that are features; cuts: the most cuts a feature may have.
    """
    found = {
        "input": {"dataset": dataset, "commitment": commitment},
        "features": features,
        "own": own or [],
        "model": {"offset": 0, "factor": 0, **model},
        "cuts": cuts,
    }
    OPERATION.shape(found, "parameters")
    OPERATION.check(found)
    return found


def check(parameters: Parameters) -> None:
    """Each agency once, not too many features, and what the kind of model needs."""
    check_features(parameters)
    model = parameters["model"]
    if (model["kind"] == "scorecard") != (parameters["cuts"] > 0):
        raise shapes.refuse("parameters.cuts", "must be positive for a scorecard and 0 for other models")
    check_factor(parameters)


def check_factor(parameters: Parameters) -> None:
    """A trained model, and no other, has a factor."""
    model = parameters["model"]
    if (model["kind"] == "trained") != (model["factor"] > 0):
        raise shapes.refuse("parameters.model.factor", "must be positive for a trained model and 0 for others")


def check_features(parameters: Parameters) -> None:
    """Each agency once, and at most MAX_FEATURES columns together."""
    providers = [item["provider"] for item in parameters["features"]]
    if len(set(providers)) != len(providers):
        raise shapes.refuse("parameters.features", "must name each provider once")
    if sum(len(item["columns"]) for item in parameters["features"]) + len(parameters["own"]) > MAX_FEATURES:
        raise shapes.refuse("parameters.features", f"must name at most {MAX_FEATURES} columns with the requester's own")


def columns(parameters: Parameters, provider: str) -> list[str]:
    """A provider's features and the consents that they need."""
    for item in parameters["features"]:
        if item["provider"] == provider:
            names: list[str] = list(item["columns"])
            about_spouse = any(name.startswith(SPOUSE) for name in names)
            return [*names, *CONSENTS, *(SPOUSE + name for name in CONSENTS if about_spouse)]
    return []


def objects(terms: Terms, parameters: Parameters) -> list[dict[str, Any]]:
    """Agencies in the order of the features."""
    return [object_of(terms, item["provider"]) for item in parameters["features"]]


_OF_AN_AGENCY = shapes.members(
    {"provider": shapes.urn("org"), "columns": shapes.list_of(shapes.COLUMN, low=1, high=16, distinct=True)}
)
FEATURES, ONE_AGENCY = shapes.list_of(_OF_AN_AGENCY, low=2, high=3), shapes.list_of(_OF_AN_AGENCY, low=1, high=1)
OWN = shapes.list_of(shapes.COLUMN, low=0, high=16, distinct=True)
MODEL = shapes.members(
    {
        "kind": shapes.choice(*KINDS),
        "version": shapes.text(1, 100),
        "commitment": shapes.HEX64,
        "offset": shapes.integer(0, 2_000),
        "factor": shapes.integer(0, 500),
    }
)

OPERATION = Operation(
    code=CODE,
    engine="aby3_scoring/1",
    engine_zh="隐匿连接与整数评分卡，三机构 ABY3（第 1 版）",
    engine_en="Hidden join and integer score card under ABY3 among three agencies, version 1",
    result="credit_scores/v2",
    title_zh="信用评分",
    title_en="Credit scoring",
    task_kind="predict",
    technique="mpc",
    techniques=("mpc",),
    why_zh="银行只得到评分与原因；三个机构在密态下连接与计算，均不知道查询了谁，也看不到特征与模型。",
    why_en="The bank gets scores and reasons only; three agencies join and compute under shares, and none learns who "
    "is asked, a feature of another, or the model.",
    shape=shapes.members(
        {"input": INPUT, "features": FEATURES, "own": OWN, "model": MODEL, "cuts": shapes.integer(0, 15)}
    ),
    check=check,
    columns=columns,
    objects=objects,
    providers=(3, 3),
    has_requester=True,
    notifies=True,
)
