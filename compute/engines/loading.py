"""Reading a node's stored dataset version into arrays: only the columns a run needs, types as declared.

The file is the node's own canonical `data.csv`, checked when it was added and again against its
commitment at admission; still, a cell that is not what the schema declares ends the run.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compute.engines import metadata
from compute.engines.base import Table
from compute.engines.errors import EngineRefused
from compute.engines.metadata import ColumnMeta, DatasetMeta

CHUNK_ROWS = 1_000_000  # bounds the memory that text takes; a block number and eight values are 72 bytes a row


def load_meta(directory: Path) -> DatasetMeta:
    """The description of a stored dataset version."""
    return metadata.from_schema(json.loads((directory / "schema.json").read_text(encoding="utf-8")))


def records(directory: Path, meta: DatasetMeta, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the text cells of the named columns, row by row in stored order, in bounded memory.

    Cells are canonical: integers without leading zeros, decimals with exactly `scale` digits.

    Raises:
        EngineRefused: COLUMN_UNKNOWN, or ENGINE_ERROR for a file that does not hold what its schema says.
    """
    for name in columns:
        meta.column(name)
    try:
        with (directory / "data.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows)
            places = [header.index(name) for name in columns]
            for row in rows:
                if len(row) != len(header):
                    raise _damaged()
                yield tuple(row[place] for place in places)
    except (OSError, ValueError, StopIteration, csv.Error):
        raise _damaged() from None


def chunks(
    directory: Path, meta: DatasetMeta, *, values: Sequence[str], blocks: bool, ids: bool = False
) -> Iterator[Table]:
    """Yield the named value columns and, as asked, block numbers and identifiers, some rows at a time.

    Memory is bounded by one chunk (at most a million rows), whatever the dataset holds. Rows come in stored order,
    so that chunks put one after the other are `load_table`. A dataset has at least one chunk.

    Raises:
        EngineRefused: IDENTIFIER_MISSING, VALUE_NOT_NUMERIC, COLUMN_UNKNOWN, or ENGINE_ERROR for a file
            that does not hold what its schema says.
    """
    numeric = [meta.numeric(name) for name in values]
    dimensions = [meta.column(name) for name in meta.block_dimensions] if blocks else []
    if ids and meta.id is None:
        raise EngineRefused("IDENTIFIER_MISSING", "The dataset declares no id column; add it with one.")
    wanted = sorted({*values, *(item.name for item in dimensions), *([meta.id] if ids and meta.id else [])})
    try:
        with pd.read_csv(
            directory / "data.csv",
            usecols=wanted or [next(iter(meta.columns))],  # without any, the rows still count
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8",
            chunksize=CHUNK_ROWS,
        ) as reader:
            for chunk in reader:
                yield Table(
                    meta=meta,
                    blocks=_blocks(chunk, dimensions),
                    values={column.name: _scaled(chunk[column.name], column) for column in numeric},
                    ids=chunk[meta.id].tolist() if ids else None,
                )
    except (OSError, ValueError, KeyError, OverflowError):
        raise _damaged() from None


def load_table(directory: Path, meta: DatasetMeta, *, values: Sequence[str], blocks: bool, ids: bool) -> Table:
    """All chunks as one table; raises as `chunks` does."""
    parts = list(chunks(directory, meta, values=values, blocks=blocks, ids=ids))
    return Table(
        meta=meta,
        blocks=np.concatenate([part.blocks for part in parts]),
        values={name: np.concatenate([part.values[name] for part in parts]) for name in values},
        ids=[one for part in parts for one in part.ids or ()] if ids else None,
    )


def _damaged() -> EngineRefused:
    return EngineRefused("ENGINE_ERROR", "The stored dataset is not what its schema says; add it again.")


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
