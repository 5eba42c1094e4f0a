"""From an agreed operation and a policy decision to engine and parties, and why (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compute.errors import GroupsTooSmall, OperationNotAgreed, TechniqueNotAllowed
from compute.protocol import operations
from compute.techniques import Decision, TaskKind, Technique


@dataclass(frozen=True, slots=True)
class Method:
    """What the policy table is asked about an operation, and why its engine is the cheapest that fits.

    Private set intersection inside a joint statistic counts as a step of multi-party computation.
    """

    task_kind: TaskKind
    technique: Technique
    zh: str
    en: str


METHODS: dict[str, Method] = {
    operations.JOINT_STATISTICS: Method(
        TaskKind.JOINT_STATS,
        Technique.MPC,
        zh="各方列相同、人不同：先在本地汇总，再以加法秘密分享相加，行不出门，传输最少。",
        en="The parties hold the same columns of different people: each aggregates its own rows, then the partial "
        "sums are added under additive secret sharing; rows stay home and the least is sent.",
    ),
    operations.ALIGNED_STATISTICS: Method(
        TaskKind.JOINT_STATS,
        Technique.MPC,
        zh="两方的行须按人对齐：先隐私求交，再由三个独立机构以 ABY3 在密态下统计。",
        en="Rows of two parties must meet on the person: private set intersection, then ABY3 among three separate "
        "entities computes under shares.",
    ),
}


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """Engine, parties in rank order as the job names them, the smallest group, and the reason."""

    operation: str
    engine: str
    technique: Technique
    parties: tuple[Mapping[str, Any], ...]
    min_group: int
    zh: str
    en: str


def method_of(operation: str) -> Method:
    """The method of an operation; OperationNotAgreed for one the exchange does not offer."""
    try:
        return METHODS[operation]
    except KeyError:
        raise OperationNotAgreed("The exchange does not offer this operation; choose one of the contract's.") from None


def plan(*, terms: Mapping[str, Any], request: Mapping[str, Any], decision: Decision) -> ExecutionPlan:
    """Choose engine and parties for one request under one policy decision.

    Raises:
        OperationNotAgreed: the contract does not name the operation.
        ParametersOutOfTerms: a column, or a party the operation needs, is not in the contract.
        TechniqueNotAllowed: the decision, or the contract, does not allow the technique.
        GroupsTooSmall: the policy wants larger groups than contract and request ask for.
    """
    operation, parameters = request["operation"], request["parameters"]
    method = method_of(operation)
    agreed = terms["computation"]
    if operation not in agreed["operations"]:
        raise OperationNotAgreed("The contract does not name this operation; choose one of its operations.")
    operations.check_parameters(operation, parameters, terms=terms)
    if not decision.permits(method.technique):
        raise TechniqueNotAllowed(
            f"Rule {decision.rule} of policy version {decision.version} does not allow {method.technique} here: "
            f"{decision.en}"
        )
    if method.technique not in agreed["techniques"]:
        raise TechniqueNotAllowed(f"The contract does not name the technique {method.technique}; agree on new terms.")
    min_group = operations.effective_min_group(terms, parameters)
    if min_group < decision.min_cell:
        raise GroupsTooSmall(f"Rule {decision.rule} wants groups of {decision.min_cell} persons or more; ask for that.")
    return ExecutionPlan(
        operation=operation,
        engine=agreed["engines"][operation],
        technique=method.technique,
        parties=tuple(operations.parties(terms, operation=operation, parameters=parameters)),
        min_group=min_group,
        zh=method.zh,
        en=method.en,
    )
