"""A dry run that explains: what the gate would say of a request over one dataset, and why, before anybody asks.

The verdict comes from the functions that consent and admission call (`verdicts`); here it is only put into words. No
row is read unless the owner asks for it: then the blocks that stay out are named, on the owner's own screen.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from compute.engines import gate, metadata
from compute.engines.privacy import sensitivity
from compute.node import budget, partitions, verdicts, withholding
from compute.node.config import Config
from compute.node.errors import DatasetInvalid
from compute.node.store import Store
from compute.protocol import codes, control_levels, operations, privacy, terms
from compute.protocol.codes import Refused

Document = dict[str, Any]


def explain(
    asked: Mapping[str, Any],
    *,
    dataset: str,
    version: int | None,
    recipient: str,
    config: Config,
    store: Store,
    now: datetime,
    opens_rows: bool = False,
) -> Document:
    """What would become of a request over one version of a dataset; nothing is reserved, spent or drawn.

    Args:
        asked: a request document, or its `operation` and `parameters` alone; version: None for the newest;
        recipient: the buyer, where the request names no contract that this node knows.
    Raises:
        DatasetInvalid: no such dataset; DocumentInvalid, OperationUnknown: not a request.
    """
    description = _description(store, dataset, version)
    operations.check_parameters(asked["operation"], asked["parameters"])
    accepted = store.contract(str(asked.get("contract", "")))
    parties = _parties(asked, description, accepted=accepted, organization=config.organization)
    buyer = terms.buyer(accepted)["organization"] if accepted else recipient
    request = {"contract": "", "id": "", **asked}
    least = operations.effective_min_group(accepted, asked["parameters"]) if accepted else operations.MINIMUM_GROUP
    k = max(least, int(asked["parameters"].get("min_group", 0)), config.min_group, int(description["min_group"]))
    rank = next(int(party["rank"]) for party in parties if party["organization"] == config.organization)
    found: Document = {
        "dataset": description["name"],
        "version": description["version"],
        "operation": asked["operation"],
        "k": k,
        "columns": _columns(request, description, rank=rank, recipient=buyer),
    }
    try:
        verdict = verdicts.judge(request, description, parties=parties, recipient=buyer, config=config, min_group=least)
        found |= {"tier": verdict.tier, "rule": verdicts.RULES[verdict.tier]}
        found |= _cost(verdict, asked, description, config=config, store=store, now=now)
        verdicts.check(verdict, store=store, now=now)
        verdicts.check_reviewed(request, config=config, store=store)
    except Refused as refused:
        return found | {"answered": False, **_why(refused)}
    withheld = _withheld(verdict, description, config=config, store=store, opens_rows=opens_rows)
    return found | {"answered": True, "code": None, "blocks": _blocks(description), "withheld": withheld}


def _description(store: Store, name: str, version: int | None) -> Document:
    found = [item for item in store.datasets() if item["name"] == name and version in (None, item["version"])]
    if not found:
        raise DatasetInvalid(
            "NAME", f"There is no dataset {name} in this version here.", zh=f"这里没有该版本的数据集 {name}。"
        )
    return max(found, key=lambda item: int(item["version"]))


def _parties(
    asked: Mapping[str, Any], description: Mapping[str, Any], *, accepted: Document | None, organization: str
) -> Sequence[Mapping[str, Any]]:
    """The job's parties by the contract; without one, this node and whoever the parameters name."""
    if accepted is not None:
        return operations.parties(accepted, operation=asked["operation"], parameters=asked["parameters"])
    parameters = asked["parameters"]
    named = [parameters[name] for name in ("group_provider", "value_provider") if name in parameters]
    listed = named if organization in named else [organization, *named]
    return [
        {
            "organization": found,
            "rank": rank,
            "role": "data",
            "dataset": description["name"],
            "dataset_commitment": description["commitment"] if found == organization else "0" * 64,
        }
        for rank, found in enumerate(listed)
    ]


def _columns(
    request: Mapping[str, Any], description: Mapping[str, Any], *, rank: int, recipient: str
) -> list[Document]:
    """Every column that is used: what becomes of it, what its owner allows this recipient, and whether they agree."""
    outcomes = verdicts.derived(request, rank=rank)
    beyond = control_levels.refused(description, outcomes, recipient=recipient)
    columns = {item["name"]: item for item in description["columns"]}
    return [
        {
            "column": name,
            "becomes": str(outcome),
            "level": str(
                control_levels.declared(columns[name], recipient=recipient, is_id=name == description["id"])
                if name in columns
                else control_levels.Level.UNKNOWN
            ),
            "allowed": name not in beyond,
        }
        for name, outcome in sorted(outcomes.items())
    ]


def _cost(
    verdict: verdicts.Verdict,
    asked: Mapping[str, Any],
    description: Mapping[str, Any],
    *,
    config: Config,
    store: Store,
    now: datetime,
) -> Document:
    if verdict.spending is None:
        return {}
    connection = store.connection()
    left = budget.balance(connection, dataset=str(description["name"]), limits=config.privacy, now=now)
    is_paid = budget.is_paid(connection, verdict.spending)
    plan = sensitivity.plan(metadata.from_schema(description), asked["parameters"])
    return {
        "costs": "0" if is_paid else privacy.write_micro(verdict.spending.epsilon_micro),
        "left": privacy.write_micro(left.left_micro),
        "noise": [
            {"number": item.name or "count", "sensitivity": item.sensitivity, "scale": str(round(item.scale))}
            for item in plan.components
        ],
    }


def _blocks(description: Mapping[str, Any]) -> Document:
    dimensions = metadata.from_schema(description).dimensions()
    return {"dimensions": [name for name, _ in dimensions], "number": gate.blocks(dimensions)}


def _withheld(
    verdict: verdicts.Verdict, description: Mapping[str, Any], *, config: Config, store: Store, opens_rows: bool
) -> Document:
    """By column and reason, the blocks that no exact answer tells; empty until decided, unless rows may be opened."""
    dimensions = metadata.from_schema(description).dimensions()
    labels = gate.labels([categories for _, categories in dimensions])
    found: Document = {}
    for use in verdict.uses:
        if use.partition != partitions.OWN_BLOCKS:
            continue
        decided = withholding.decided(store.connection(), commitment=use.commitment, column=use.column)
        if decided is None and opens_rows:
            decided = withholding.foresee(
                description,
                use.column,
                connection=store.connection(),
                root=config.datasets,
                min_group=config.min_group,
            )
        if decided is not None:
            found[use.column] = {
                reason: ["/".join(labels[number]) for number in numbers]
                for reason, numbers in decided.items()
                if numbers
            }
    return found


def _why(refused: Refused) -> Document:
    """The code, its sentences, and the engine's own words where it was the engine that refused."""
    failure, cause = codes.get(refused.code), refused.__cause__
    detail = getattr(cause, "message", "") if cause is not None else ""
    return {"code": refused.code, "zh": failure.sentence("zh"), "en": failure.sentence("en"), "detail": detail}
