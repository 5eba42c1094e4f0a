"""The operations by their codes, and what follows from terms and request alone.

`parties` is worked out from terms and request, so the exchange that writes a job and each node that
checks it arrive at the same list. A new operation is one module here and one line below.
"""

from collections.abc import Mapping
from typing import Any

from compute.protocol.operations import aligned_statistics as _aligned
from compute.protocol.operations import consistency_check as _consistency
from compute.protocol.operations import credit_scoring as _scoring
from compute.protocol.operations import joined_statistics as _joined
from compute.protocol.operations import joint_statistics as _joint
from compute.protocol.operations import matched_sum as _matched_sum
from compute.protocol.operations import matching as _matching
from compute.protocol.operations import membership as _membership
from compute.protocol.operations import model_training as _training
from compute.protocol.operations import private_lookup as _lookup
from compute.protocol.operations import two_party_scoring as _two_party_scoring
from compute.protocol.operations import two_party_statistics as _two_party
from compute.protocol.operations import two_party_training as _two_party_training
from compute.protocol.operations.base import (
    MINIMUM_GROUP,
    PER_CALL,
    PER_ROW,
    PER_SUBJECT,
    UNITS,
    Operation,
    OperationUnknown,
    Parameters,
    ParametersOutOfTerms,
    Terms,
    check_columns,
)

__all__ = [
    "MINIMUM_GROUP",
    "OPERATIONS",
    "PER_CALL",
    "PER_ROW",
    "PER_SUBJECT",
    "UNITS",
    "Operation",
    "OperationUnknown",
    "ParametersOutOfTerms",
]

OPERATIONS: Mapping[str, Operation] = {
    found.code: found
    for found in (
        _joint.OPERATION,
        _aligned.OPERATION,
        _lookup.OPERATION,
        _consistency.OPERATION,
        _joined.OPERATION,
        _two_party.OPERATION,
        _matching.OPERATION,
        _membership.OPERATION,
        _matched_sum.OPERATION,
        _scoring.OPERATION,
        _training.OPERATION,
        _two_party_scoring.OPERATION,
        _two_party_training.OPERATION,
    )
}

JOINT_STATISTICS, ALIGNED_STATISTICS = _joint.CODE, _aligned.CODE
joint_statistics, aligned_statistics = _joint.parameters, _aligned.parameters
JOINED_STATISTICS, TWO_PARTY_STATISTICS, MATCHING = _joined.CODE, _two_party.CODE, _matching.CODE
joined_statistics, two_party_statistics = _joined.parameters, _two_party.parameters
matching = _matching.parameters
MEMBERSHIP, membership = _membership.CODE, _membership.parameters
MATCHED_SUM, matched_sum = _matched_sum.CODE, _matched_sum.parameters

CREDIT_SCORING, MODEL_TRAINING = _scoring.CODE, _training.CODE
credit_scoring, model_training = _scoring.parameters, _training.parameters
TWO_PARTY_SCORING, two_party_scoring = _two_party_scoring.CODE, _two_party_scoring.parameters
TWO_PARTY_TRAINING, two_party_training = _two_party_training.CODE, _two_party_training.parameters


def get(operation: str) -> Operation:
    """The operation by its code; OperationUnknown lists what there is."""
    found = OPERATIONS.get(operation) if isinstance(operation, str) else None
    if found is None:
        raise OperationUnknown(f"This version knows only {', '.join(OPERATIONS)}; choose one of them.")
    return found


def quantity(request: Mapping[str, Any], *, terms: Terms) -> int:
    """Units of the contract's meter that one run uses: 1, or the persons that the signed request names."""
    return get(request["operation"]).quantity(request["parameters"], unit=terms["metering"]["unit"])


def check_parameters(operation: str, parameters: Any, *, terms: Terms | None = None) -> None:
    """Check the closed shape of the parameters and, with `terms`, that every column is in the contract.

    Raises:
        OperationUnknown, DocumentInvalid: unknown operation, or a wrong shape (with the member's path).
        ParametersOutOfTerms: a column or provider that the contract does not name.
    """
    found = get(operation)
    found.shape(parameters, "parameters")
    found.check(parameters)
    if terms is not None:
        for item in found.objects(terms, parameters):
            check_columns(item, found.columns(parameters, item["provider"]))


def parties(terms: Terms, *, operation: str, parameters: Parameters) -> list[dict[str, Any]]:
    """The `parties` member of the job: the requester first, data parties in order, the compute party last."""
    found = get(operation)
    listed: list[dict[str, Any]] = []
    if found.has_requester:
        buyer = next(party for party in terms["parties"] if party["role"] == "buyer")
        own = parameters["input"]
        listed.append(_party(0, "requester", buyer["organization"], own["dataset"], own["commitment"]))
    for item in found.objects(terms, parameters):
        listed.append(_party(len(listed), "data", item["provider"], item["dataset"], item["dataset_commitment"]))
    if found.has_compute_party:
        helpers = [party for party in terms["parties"] if party["role"] == "compute_party"]
        if len(helpers) != 1:
            raise ParametersOutOfTerms("The contract must name exactly one compute party for this operation.")
        listed.append(_party(len(listed), "compute", helpers[0]["organization"], None, None))
    return listed


def effective_min_group(terms: Terms, parameters: Parameters) -> int:
    """The k of one run before any owner's own: the largest of floor, contract and request."""
    return max(MINIMUM_GROUP, int(terms["output"]["min_cell"]), int(parameters.get("min_group", MINIMUM_GROUP)))


def _party(rank: int, role: str, organization: str, dataset: str | None, commitment: str | None) -> dict[str, Any]:
    return {
        "organization": organization,
        "rank": rank,
        "role": role,
        "dataset": dataset,
        "dataset_commitment": commitment,
    }
