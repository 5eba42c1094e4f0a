"""Reading a node's stored dataset version into arrays: only the columns a run needs, types as declared.

The file is the node's own canonical `data.csv`, checked when it was added and again against its
commitment at admission; still, a cell that is not what the schema declares ends the run.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.engines import metadata
from compute.engines.base import Table
from compute.engines.errors import EngineRefused
from compute.engines.metadata import ColumnMeta, DatasetMeta

_CHUNK_ROWS = 1_000_000  # bounds the memory that text takes; a block number and eight values are 72 bytes a row


def load_meta(directory: Path) -> DatasetMeta:
    """The description of a stored dataset version."""
    return metadata.from_schema(json.loads((directory / "schema.json").read_text(encoding="utf-8")))


def load_table(directory: Path, meta: DatasetMeta, *, values: Sequence[str], blocks: bool, ids: bool) -> Table:
    """Load the named value columns and, as asked, block numbers and identifiers.

    Raises:
        EngineRefused: IDENTIFIER_MISSING, VALUE_NOT_NUMERIC, COLUMN_UNKNOWN, or ENGINE_ERROR for a file
            that does not hold what its schema says.
    """
    numeric = [meta.numeric(name) for name in values]
    dimensions = [meta.column(name) for name in meta.block_dimensions] if blocks else []
    if ids and meta.id is None:
        raise EngineRefused("IDENTIFIER_MISSING", "The dataset declares no id column; add it with one.")
    wanted = sorted({*values, *(item.name for item in dimensions), *([meta.id] if ids and meta.id else [])})
    block_parts: list[NDArray[np.int64]] = []
    value_parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in values}
    identifiers: list[str] = []
    try:
        with pd.read_csv(
            directory / "data.csv",
            usecols=wanted or [next(iter(meta.columns))],  # without any, the rows still count
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8",
            chunksize=_CHUNK_ROWS,
        ) as reader:
            for chunk in reader:
                block_parts.append(_blocks(chunk, dimensions))
                for column in numeric:
                    value_parts[column.name].append(_scaled(chunk[column.name], column))
                if ids:
                    identifiers += chunk[meta.id].tolist()
    except (OSError, ValueError, KeyError, OverflowError):
        raise EngineRefused("ENGINE_ERROR", "The stored dataset is not what its schema says; add it again.") from None
    return Table(
        meta=meta,
        blocks=np.concatenate(block_parts),
        values={name: np.concatenate(parts) for name, parts in value_parts.items()},
        ids=identifiers if ids else None,
    )


def _blocks(chunk: "pd.DataFrame", dimensions: Sequence[ColumnMeta]) -> NDArray[np.int64]:
    numbers = np.zeros(len(chunk), np.int64)
    for column in dimensions:
        codes = (
            pd.Index(column.categories, dtype=chunk[column.name].dtype).get_indexer(chunk[column.name]).astype(np.int64)
        )
        if (codes < 0).any():
            raise ValueError("a category is not declared")
        numbers = numbers * len(column.categories) + codes
    return numbers


def _scaled(cells: "pd.Series[str]", column: ColumnMeta) -> NDArray[np.int64]:
    numbers = np.asarray(cells.str.replace(".", "", regex=False).to_numpy(dtype=object), dtype=np.int64)
    if numbers.size and (int(numbers.min()) < column.minimum or int(numbers.max()) > column.maximum):
        raise ValueError("a value is outside its declared bounds")
    return numbers
