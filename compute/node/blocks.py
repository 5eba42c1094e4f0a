"""What a request may group and filter by, told from a dataset's description alone: declared blocks.

The statistics themselves are gated again by the engine over the rows; this check needs no row.
"""

from collections.abc import Mapping
from typing import Any

from compute.protocol import operations
from compute.protocol.codes import Refused


def check(request: Mapping[str, Any], description: Mapping[str, Any], *, organization: str) -> None:
    """Check a request against one dataset of this node.

    Raises:
        Refused: `GROUPING_NOT_A_BLOCK`, `FILTER_NOT_A_BLOCK`, or `PARAMETERS_OUT_OF_TERMS` for a value
            column that is not a number.
    """
    parameters = request["parameters"]
    aligned = request["operation"] == operations.ALIGNED_STATISTICS
    if not aligned or parameters["group_provider"] == organization:
        _check_blocks(parameters, description)
    if not aligned or parameters["value_provider"] == organization:
        numeric = {item["name"] for item in description["columns"] if item["type"] in ("integer", "decimal")}
        if not set(parameters["values"]) <= numeric:
            raise Refused("PARAMETERS_OUT_OF_TERMS")
    if aligned and description["id"] is None:
        raise Refused("PARAMETERS_OUT_OF_TERMS")


def _check_blocks(parameters: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    dimensions = set(description["block_dimensions"])
    categories = {item["name"]: set(item.get("values", ())) for item in description["columns"]}
    if not set(parameters["group_by"]) <= dimensions:
        raise Refused("GROUPING_NOT_A_BLOCK")
    for item in parameters["filters"]:
        if item["column"] not in dimensions or not set(item["in"]) <= categories[item["column"]]:
            raise Refused("FILTER_NOT_A_BLOCK")
