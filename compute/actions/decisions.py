"""Asking the policy matrix about a real request: facts of the contract's products as they are now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from compute import planner, product_facts, techniques
from compute.techniques import Decision, Flag
from contracts.models import Contract

# Purposes' legal bases under which a state organ acts within its duty (PIPL 13(3), 34).
STATUTORY_BASES = frozenset({"statutory_duty", "statutory"})


def decide(*, contract: Contract, request: Mapping[str, Any], now: datetime) -> Decision:
    """Judge one request: every product it would touch, under the contract's purpose; the strictest answer counts.

    Raises:
        OperationNotAgreed: the exchange does not offer the operation.
        ProductNotAvailable: a product is no longer listed, or its certificate does not stand.
    """
    operation = planner.operation_of(request["operation"])
    terms = contract.terms
    flags = _flags(terms)
    return techniques.combine(
        [
            techniques.decide(
                product_facts.facts_of(
                    item,
                    task=techniques.TaskKind(operation.task_kind),
                    request=request,
                    purpose=terms["purpose"]["code"],
                    flags=flags,
                    now=now,
                )
            )
            for item in terms["objects"]
        ]
    )


def as_json(decision: Decision) -> dict[str, Any]:
    """The decision as it is stored with the computation and shown to staff."""
    return {
        "rule": decision.rule,
        "version": decision.version,
        "verdict": decision.verdict.value,
        "allowed": sorted(decision.allowed),
        "controls": sorted(decision.controls),
        "missing": sorted(decision.missing),
        "overlays": list(decision.overlays),
        "min_cell": decision.min_cell,
        "needs_review": decision.needs_review,
        "needs_run_consent": decision.needs_run_consent,
        "zh": decision.zh,
        "en": decision.en,
    }


def _flags(terms: Mapping[str, Any]) -> frozenset[Flag]:
    """What the contract says about the use."""
    basis = terms["purpose"]["legal_basis"]
    flags = {Flag.LEGAL_BASIS} if basis.strip() else set()
    if basis in STATUTORY_BASES:
        flags.add(Flag.STATUTORY_DUTY)
    return frozenset(flags)
