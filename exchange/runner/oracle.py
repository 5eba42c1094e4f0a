"""What a result should be, computed in the clear from the tables the runner itself wrote.

Only the runner can do this: it invented the tables, or was given the file. The exchange and the nodes never can.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute.engines import reference


def expected(
    machines: Sequence[Path], operation: str, *, dataset: Sequence[str], parameters: Mapping[str, Any], scratch: Path
) -> list[dict[str, Any]]:
    """The cells a buyer should have opened, in the order results give them.

    Args:
        machines: the providers' directories, in order of rank. The rows come from the file before the
            node took it in, so a fault of `dataset add` shows too; the node's schema says only what types are.
        dataset: the dataset's name at each of them.
        parameters: the parameters of the bank's signed request.
    """
    directories = []
    for rank, (machine, name) in enumerate(zip(machines, dataset, strict=True)):
        directory = scratch / f"reference-{rank}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(machine / "source" / f"{name}.csv", directory / "data.csv")
        version = max((machine / "node" / "datasets" / name).iterdir(), key=lambda path: int(path.name))
        shutil.copy(version / "schema.json", directory / "schema.json")
        directories.append(directory)
    found = reference.statistics(
        operation, parameters=parameters, datasets=directories, min_group=int(parameters["min_group"])
    )
    cells: list[dict[str, Any]] = found["cells"]
    return cells
