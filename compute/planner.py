"""From an agreed operation and a policy decision to engine and parties, and why (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compute.errors import GroupsTooSmall, OperationNotAgreed, TechniqueNotAllowed
from compute.protocol import operations
from compute.techniques import Decision, Technique


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


def operation_of(code: str) -> operations.Operation:
    """The operation by its code; OperationNotAgreed for one the exchange does not offer."""
    try:
        return operations.get(code)
    except operations.OperationUnknown:
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
    chosen = operation_of(operation)
    technique = Technique(chosen.technique)
    agreed = terms["computation"]
    if operation not in agreed["operations"]:
        raise OperationNotAgreed("The contract does not name this operation; choose one of its operations.")
    operations.check_parameters(operation, parameters, terms=terms)
    if not decision.permits(technique):
        raise TechniqueNotAllowed(
            f"Rule {decision.rule} of policy version {decision.version} does not allow {technique} here: {decision.en}"
        )
    if technique not in agreed["techniques"]:
        raise TechniqueNotAllowed(f"The contract does not name the technique {technique}; agree on new terms.")
    min_group = operations.effective_min_group(terms, parameters)
    if min_group < decision.min_cell:
        raise GroupsTooSmall(f"Rule {decision.rule} wants groups of {decision.min_cell} persons or more; ask for that.")
    return ExecutionPlan(
        operation=operation,
        engine=agreed["engines"][operation],
        technique=technique,
        parties=tuple(operations.parties(terms, operation=operation, parameters=parameters)),
        min_group=min_group,
        zh=chosen.why_zh,
        en=chosen.why_en,
    )
