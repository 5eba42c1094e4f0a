"""What the gate says of one request over one table of this node: the same code for consent, admission and dry run.

Tier 1: exact, whole blocks. Tier 2: noised, from the table's budget. Tier 3: exact, let through by two reviewers.
Decided from descriptions and from the node's own store; no dataset is opened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from compute.engines import registry
from compute.engines.errors import EngineRefused
from compute.node import blocks, budget, partitions, reviews
from compute.node.config import Config
from compute.node.store import Store
from compute.protocol import control_levels, operations, privacy
from compute.protocol.codes import Refused
from compute.protocol.control_levels import Level

FIXED_BLOCKS, NOISED, REVIEWED = 1, 2, 3
RULES = {
    FIXED_BLOCKS: "fixed blocks",
    NOISED: "differential privacy, one person is one row",
    REVIEWED: "exact, let through by two reviewers",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer would use up and show.

    Args:
        uses: columns that are added up exactly, and over which partition; spending: what is taken from the budget.
        outcomes: what each column has become where it reaches the recipient.
    """

    tier: int
    uses: tuple[partitions.Use, ...]
    spending: budget.Spending | None
    outcomes: Mapping[str, Level]


def judge(
    request: Mapping[str, Any],
    description: Mapping[str, Any],
    *,
    parties: Sequence[Mapping[str, Any]],
    recipient: str,
    config: Config,
    min_group: int,
) -> Verdict:
    """Judge a request by descriptions alone.

    Args:
        parties: of the job, this node's organisation among them; recipient: whose key the result is sealed to.
    Raises:
        Refused: as `blocks.check`; `PARAMETERS_OUT_OF_TERMS` for a column shown beyond its level or an epsilon above
            what one answer may take. None depends on a row.
    """
    own = next(party for party in parties if party["organization"] == config.organization)
    blocks.check(request, description, rank=int(own["rank"]), min_group=min_group)
    outcomes = derived(request, rank=int(own["rank"]))
    shown = control_levels.refused(description, outcomes, recipient=recipient)
    if shown and config.organization != recipient:  # nothing is hidden from the owner of the table
        raise Refused("PARAMETERS_OUT_OF_TERMS")
    asked = request["parameters"].get("privacy")
    spending = None
    if asked is not None and asked["mechanism"] != privacy.REVIEWED:
        spending = budget.spending(
            request["parameters"],
            dataset=str(description["name"]),
            commitment=str(description["commitment"]),
            contract=str(request["contract"]),
            buyer=recipient,
            limits=config.privacy,
            among=_among(request, parties=parties),
        )
    return Verdict(
        tier=FIXED_BLOCKS if asked is None else REVIEWED if spending is None else NOISED,
        uses=tuple(partitions.uses(request, parties=parties, organization=config.organization)),
        spending=spending,
        outcomes=outcomes,
    )


def check(verdict: Verdict, *, store: Store, now: datetime) -> int:
    """Look whether the store would admit it, reserving nothing; returns the millionths of epsilon it would cost.

    Raises:
        Refused: `PARTITION_DIFFERS`, `QUOTA_EXHAUSTED`.
    """
    partitions.check(store.connection(), verdict.uses)
    return 0 if verdict.spending is None else budget.check(store.connection(), verdict.spending, now=now)


def check_reviewed(request: Mapping[str, Any], *, config: Config, store: Store) -> None:
    """Check that a request of tier 3 has its two approvals; any other needs none."""
    if reviews.is_asked(request):
        reviews.check(request, config=config, store=store)


def _among(request: Mapping[str, Any], *, parties: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tables that decide a noised answer by rank; none for joint statistics, where each owner's own one does."""
    if request["operation"] == operations.JOINT_STATISTICS:
        return []
    ranked = sorted(parties, key=lambda party: int(party["rank"]))
    return [f"{party['organization']} {party['dataset_commitment']}" for party in ranked]


def derived(request: Mapping[str, Any], *, rank: int) -> dict[str, Level]:
    """What the engine makes of this party's columns."""
    try:
        engine = registry.get(operations.get(request["operation"]).engine)
        return engine.derive(request["parameters"], rank=rank)
    except EngineRefused as refused:
        raise Refused(refused.failure_code) from refused


def gate_member(
    verdict: Verdict | None, *, computation: str, min_group: int, store: Store, now: datetime
) -> dict[str, Any]:
    """The `gate` member of an execution report: tier and rule, and with noise what this job took and what is left."""
    found: dict[str, Any] = {
        "tier": FIXED_BLOCKS if verdict is None else verdict.tier,
        "min_group": max(operations.MINIMUM_GROUP, min_group),
        "rule": RULES[FIXED_BLOCKS if verdict is None else verdict.tier],
    }
    if verdict is None or verdict.spending is None:
        return found
    spending = verdict.spending
    balance = budget.balance(store.connection(), dataset=spending.dataset, limits=spending.limits, now=now)
    found |= {
        "mechanism": privacy.GAUSSIAN if spending.delta_pico else privacy.LAPLACE,
        "epsilon": privacy.write_micro(spending.epsilon_micro),
        "spent": privacy.write_micro(budget.taken(store.connection(), computation=computation)),
        "left": privacy.write_micro(balance.left_micro),
    }
    if spending.delta_pico:
        found["delta"] = privacy.write_pico(spending.delta_pico)
    return found
