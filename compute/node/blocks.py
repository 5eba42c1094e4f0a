"""What a request may group and filter by, told from a dataset's description alone: the engine's own gate.

The same pure code runs again inside the engine, over the description it reads beside the rows.
"""

from collections.abc import Mapping
from typing import Any

from compute.engines import metadata, registry
from compute.engines.errors import EngineRefused
from compute.protocol import operations
from compute.protocol.codes import Refused


def check(request: Mapping[str, Any], description: Mapping[str, Any], *, rank: int, min_group: int) -> None:
    """Check a request against one dataset of this node, without opening it.

    Raises:
        Refused: `GROUPING_NOT_A_BLOCK`, `FILTER_NOT_A_BLOCK`, `PARAMETERS_OUT_OF_TERMS` or
            `RESULT_TOO_LARGE`; none depends on a row.
    """
    engine = registry.get(operations.get(request["operation"]).engine)
    try:
        engine.check(request["parameters"], {rank: metadata.from_schema(description)}, min_group=min_group)
    except EngineRefused as refused:
        raise Refused(refused.failure_code) from refused
