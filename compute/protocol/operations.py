"""The two operations: their parameters, their engines, and who takes part in which rank.

`parties` is worked out from terms and request alone, so the exchange that writes a job and each node
that checks it arrive at the same list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compute.protocol import shapes
from compute.protocol.shapes import refuse
from exchange.kernel.errors import DomainError

MINIMUM_GROUP = 10  # the floor of every gate: no statistic over fewer persons, whatever a contract says

JOINT_STATISTICS = "joint_statistics"
ALIGNED_STATISTICS = "aligned_statistics"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation is: the engine that runs it and the shape of its parameters."""

    code: str
    engine: str
    title_zh: str
    title_en: str
    has_compute_party: bool
    parameters: shapes.Shape

    @property
    def is_costly(self) -> bool:
        """Whether a run is worth a transaction of its own before it starts: several machines work on it for long."""
        return self.has_compute_party


_FILTER = shapes.members(
    {"column": shapes.COLUMN, "in": shapes.list_of(shapes.text(0, 200), low=1, high=64, distinct=True)}
)
_COMMON: dict[str, shapes.Shape] = {
    "group_by": shapes.list_of(shapes.COLUMN, low=0, high=3, distinct=True),
    "values": shapes.list_of(shapes.COLUMN, low=1, high=8, distinct=True),
    "filters": shapes.list_of(_FILTER, low=0, high=4),
    "min_group": shapes.integer(MINIMUM_GROUP, 1_000_000),
}

OPERATIONS: Mapping[str, Operation] = {
    JOINT_STATISTICS: Operation(
        code=JOINT_STATISTICS,
        engine="additive_sharing/1",
        title_zh="横向联合统计",
        title_en="Joint statistics",
        has_compute_party=False,
        parameters=shapes.members(_COMMON),
    ),
    ALIGNED_STATISTICS: Operation(
        code=ALIGNED_STATISTICS,
        engine="aby3_aligned/1",
        title_zh="纵向对齐统计",
        title_en="Aligned statistics",
        has_compute_party=True,
        parameters=shapes.members(
            {**_COMMON, "group_provider": shapes.urn("org"), "value_provider": shapes.urn("org")}
        ),
    ),
}


class OperationUnknown(DomainError):
    """No operation of this name in this version."""

    code = "OPERATION_UNKNOWN"
    status = 400


class ParametersOutOfTerms(DomainError):
    """The parameters ask for something that the contract does not offer."""

    code = "PARAMETERS_OUT_OF_TERMS"
    status = 400


def get(operation: str) -> Operation:
    """The operation by its code; OperationUnknown lists what there is."""
    found = OPERATIONS.get(operation) if isinstance(operation, str) else None
    if found is None:
        raise OperationUnknown(f"This version knows only {', '.join(OPERATIONS)}; choose one of them.")
    return found


def joint_statistics(
    *,
    group_by: list[str],
    values: list[str],
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
) -> dict[str, Any]:
    """Parameters of joint_statistics, checked."""
    parameters = {"group_by": group_by, "values": values, "filters": filters or [], "min_group": min_group}
    check_parameters(JOINT_STATISTICS, parameters)
    return parameters


def aligned_statistics(
    *,
    group_by: list[str],
    values: list[str],
    group_provider: str,
    value_provider: str,
    filters: list[dict[str, Any]] | None = None,
    min_group: int = MINIMUM_GROUP,
) -> dict[str, Any]:
    """Parameters of aligned_statistics, checked."""
    parameters = {
        "group_by": group_by,
        "values": values,
        "filters": filters or [],
        "min_group": min_group,
        "group_provider": group_provider,
        "value_provider": value_provider,
    }
    check_parameters(ALIGNED_STATISTICS, parameters)
    return parameters


def check_parameters(operation: str, parameters: Any, *, terms: Mapping[str, Any] | None = None) -> None:
    """Check the closed shape of the parameters and, with `terms`, that every column is in the contract.

    Raises:
        OperationUnknown, DocumentInvalid: unknown operation, or a wrong shape (with the member's path).
        ParametersOutOfTerms: a column or provider that the contract does not name.
    """
    get(operation).parameters(parameters, "parameters")
    filtered = [item["column"] for item in parameters["filters"]]
    if len(set(filtered)) != len(filtered):
        raise refuse("parameters.filters", "must name each column once")
    if operation == ALIGNED_STATISTICS and parameters["group_provider"] == parameters["value_provider"]:
        raise refuse("parameters.value_provider", "must be another organisation than group_provider")
    if terms is None:
        return
    if operation == JOINT_STATISTICS:
        for item in terms["objects"]:
            _check_columns(item, [*parameters["group_by"], *parameters["values"], *filtered])
        return
    _check_columns(_object_of(terms, parameters["group_provider"]), [*parameters["group_by"], *filtered])
    _check_columns(_object_of(terms, parameters["value_provider"]), parameters["values"])


def parties(terms: Mapping[str, Any], *, operation: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `parties` member of the job: data parties in order, the compute party last.

    joint_statistics: one per object of the terms, in their order. aligned_statistics: the group
    provider is rank 0, the value provider rank 1.
    """
    found = get(operation)
    if operation == ALIGNED_STATISTICS:
        objects = [_object_of(terms, parameters["group_provider"]), _object_of(terms, parameters["value_provider"])]
    else:
        objects = list(terms["objects"])
    listed: list[dict[str, Any]] = [
        {
            "organization": item["provider"],
            "rank": rank,
            "role": "data",
            "dataset": item["dataset"],
            "dataset_commitment": item["dataset_commitment"],
        }
        for rank, item in enumerate(objects)
    ]
    if found.has_compute_party:
        helpers = [party for party in terms["parties"] if party["role"] == "compute_party"]
        if len(helpers) != 1:
            raise ParametersOutOfTerms("The contract must name exactly one compute party for this operation.")
        listed.append(
            {
                "organization": helpers[0]["organization"],
                "rank": len(objects),
                "role": "compute",
                "dataset": None,
                "dataset_commitment": None,
            }
        )
    return listed


def effective_min_group(terms: Mapping[str, Any], parameters: Mapping[str, Any]) -> int:
    """The k of one run before any owner's own: the largest of floor, contract and request."""
    return max(MINIMUM_GROUP, int(terms["output"]["min_cell"]), int(parameters["min_group"]))


def _object_of(terms: Mapping[str, Any], provider: str) -> dict[str, Any]:
    found = [item for item in terms["objects"] if item["provider"] == provider]
    if len(found) != 1:
        raise ParametersOutOfTerms("The contract holds no data of that provider; choose one of its providers.")
    item: dict[str, Any] = found[0]
    return item


def _check_columns(item: Mapping[str, Any], wanted: list[str]) -> None:
    for column in wanted:
        if column not in item["columns"]:
            raise ParametersOutOfTerms(
                f"Column {column} is not among the contract's columns of {item['number']}; choose from its list."
            )
