"""Reading a node's stored dataset version: only the columns a run needs, types as declared, in bounded memory.

Column files (`columns.py`) are checked against their commitment chunk by chunk as they are read. A version of the old
form is one canonical `data.csv`, checked when it was added and again at admission; still, a cell that is not what the
schema declares ends the run.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute.engines import columns as stored
from compute.engines import metadata
from compute.engines.base import Table
from compute.engines.errors import EngineRefused
from compute.engines.metadata import ColumnMeta, DatasetMeta

CHUNK_ROWS = 1 << 18  # of the old form; bounds the memory that its text takes


def load_meta(directory: Path) -> DatasetMeta:
    """The description of a stored dataset version."""
    return metadata.from_schema(json.loads((directory / "schema.json").read_text(encoding="utf-8")))


def records(directory: Path, meta: DatasetMeta, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the text cells of the named columns, row by row in stored order, in bounded memory.

    Cells are canonical: integers without leading zeros, decimals with exactly `scale` digits.

    Raises:
        EngineRefused: COLUMN_UNKNOWN; COMMITMENT for rows that are not those committed to, or ENGINE_ERROR
            for a file that does not hold what its schema says.
    """
    found = [meta.column(name) for name in columns]
    if not stored.is_stored(directory):
        yield from _rows_of_csv(directory, columns)
        return
    for rows, data in _chunks_of(directory, columns or [next(iter(meta.columns))]):
        cells = [_cells(data[column.name], column, rows) for column in found]
        yield from zip(*cells, strict=True) if cells else ((),) * rows


def chunks(
    directory: Path, meta: DatasetMeta, *, values: Sequence[str], blocks: bool, ids: bool = False
) -> Iterator[Table]:
    """Yield the named value columns and, as asked, block numbers and identifiers, some rows at a time.

    Memory is bounded by one chunk (at most 2^18 rows), whatever the dataset holds. Rows come in stored order, so that
    chunks put one after the other are `load_table`. A dataset has at least one chunk.

    Raises:
        EngineRefused: IDENTIFIER_MISSING, VALUE_NOT_NUMERIC, COLUMN_UNKNOWN; COMMITMENT for rows that are not those
            committed to, or ENGINE_ERROR for a file that does not hold what its schema says.
    """
    numeric = [meta.numeric(name) for name in values]
    dimensions = [meta.column(name) for name in meta.block_dimensions] if blocks else []
    if ids:
        meta.check_id()
    identifier = meta.column(meta.id) if ids and meta.id else None
    wanted = sorted({*values, *(item.name for item in dimensions), *([identifier.name] if identifier else [])})
    # Without any column, the rows still count.
    read = _columns_of_csv if not stored.is_stored(directory) else _columns_of_chunks
    for rows, found in read(directory, wanted or [next(iter(meta.columns))], meta):
        yield Table(
            meta=meta,
            blocks=_blocks([found[column.name] for column in dimensions], dimensions, rows),
            values={column.name: _bounded(found[column.name], column) for column in numeric},
            ids=found[identifier.name] if identifier else None,
        )


def load_table(directory: Path, meta: DatasetMeta, *, values: Sequence[str], blocks: bool, ids: bool) -> Table:
    """All chunks as one table; raises as `chunks` does."""
    parts = list(chunks(directory, meta, values=values, blocks=blocks, ids=ids))
    return Table(
        meta=meta,
        blocks=np.concatenate([part.blocks for part in parts]),
        values={name: np.concatenate([part.values[name] for part in parts]) for name in values},
        ids=[one for part in parts for one in part.ids or ()] if ids else None,
    )


# --- column files -------------------------------------------------------------------------------------------


def _chunks_of(directory: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """(rows, checked bytes by column) of each chunk."""
    try:
        opened = stored.load(directory)
        for parts in zip(*(opened.read(name) for name in dict.fromkeys(columns)), strict=True):
            yield parts[0][0], {name: data for name, (_, data) in zip(dict.fromkeys(columns), parts, strict=True)}
    except stored.Damaged:
        raise EngineRefused(
            "COMMITMENT", "The stored dataset is not the one that was committed to; restore it or add it again."
        ) from None


def _columns_of_chunks(
    directory: Path, columns: Sequence[str], meta: DatasetMeta
) -> Iterator[tuple[int, dict[str, Any]]]:
    for rows, data in _chunks_of(directory, columns):
        yield rows, {name: _array(found, meta.column(name), rows) for name, found in data.items()}


def _array(data: bytes, column: ColumnMeta, rows: int) -> Any:
    """Integers, or places of categories, as an array; identifiers as a list."""
    if column.type == "text":
        return stored.text(data, rows)
    return np.frombuffer(data, np.dtype(f"<i{_width(column)}"))


def _cells(data: bytes, column: ColumnMeta, rows: int) -> list[str]:
    if column.type == "text":
        return stored.text(data, rows)
    numbers = stored.numbers(data, _width(column))
    if column.type == "category":
        return [column.categories[place] for place in numbers]
    return [_write(number, column.scale) for number in numbers] if column.scale else [str(one) for one in numbers]


def _width(column: ColumnMeta) -> int:
    described = {"type": column.type, "values": column.categories, "min": column.minimum, "max": column.maximum}
    return stored.width(described)


def _write(number: int, scale: int) -> str:
    sign, digits = ("-" if number < 0 else ""), str(abs(number)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


# --- the old form -------------------------------------------------------------------------------------------


def _rows_of_csv(directory: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
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


def _columns_of_csv(
    directory: Path, columns: Sequence[str], meta: DatasetMeta
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import pandas as pd

    try:
        with pd.read_csv(
            directory / "data.csv",
            usecols=list(columns),
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            encoding="utf-8",
            chunksize=CHUNK_ROWS,
        ) as reader:
            for chunk in reader:
                yield len(chunk), {name: _parsed(chunk[name], meta.column(name)) for name in columns}
    except (OSError, ValueError, KeyError, OverflowError):
        raise _damaged() from None


def _parsed(cells: Any, column: ColumnMeta) -> Any:
    import pandas as pd

    if column.type == "text":
        return cells.tolist()
    if column.type == "category":
        return pd.Index(column.categories, dtype=cells.dtype).get_indexer(cells)
    return np.asarray(cells.str.replace(".", "", regex=False).to_numpy(dtype=object), dtype=np.int64)


# --- both ---------------------------------------------------------------------------------------------------


def _blocks(places: Sequence[NDArray[Any]], dimensions: Sequence[ColumnMeta], rows: int) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] | None = None
    for found, column in zip(places, dimensions, strict=True):
        if found.size and (int(found.min()) < 0 or int(found.max()) >= len(column.categories)):
            raise _damaged()
        if numbers is None:
            numbers = found.astype(np.int64)
        else:
            numbers *= len(column.categories)
            numbers += found
    return np.zeros(rows, np.int64) if numbers is None else numbers


def _bounded(numbers: NDArray[Any], column: ColumnMeta) -> NDArray[np.int64]:
    if numbers.size and (int(numbers.min()) < column.minimum or int(numbers.max()) > column.maximum):
        raise _damaged()
    return numbers.astype(np.int64)


def _damaged() -> EngineRefused:
    return EngineRefused("ENGINE_ERROR", "The stored dataset is not what its schema says; add it again.")
