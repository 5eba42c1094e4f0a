"""What every source of rows promises.

A source is opened for one `dataset add` and read once, front to back, read-only: nothing of it changes, and only the
columns that the schema declares are read. It gives raw cells as text, exactly as they would stand in a delimited file;
`cells.py` then says, for all sources alike, whether they are as declared. What only the source knows, it refuses
itself: a column whose own type cannot hold the declared one without loss (binary floating point for money, a number
for an identifier), before a row is read.

Memory is bounded: some thousand rows at a time, and of a text never more than a cell may have and one character.
A source that is a database gives one snapshot. Drivers are loaded by `rows`, never by importing this package.
What leaves the machine: for PostgreSQL and a Spark cluster the owner's own query to the owner's own server.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from compute.node.cells import MAX_FIELD_BYTES, bad
from compute.node.distinct import folded
from compute.node.errors import DatasetInvalid
from compute.node.schemas import Column, Schema

TEXT, INTEGER, DECIMAL, FLOAT, OTHER = "text", "integer", "decimal", "float", "other"
MAX_CHARACTERS = MAX_FIELD_BYTES + 1  # of one text: enough to see that it is too long
_FITS = {"text": {TEXT}, "category": {TEXT}, "integer": {INTEGER, DECIMAL}, "decimal": {INTEGER, DECIMAL}}


class Source(ABC):
    """One table somewhere, to be read once."""

    unit: ClassVar[str] = "row"  # what positions count

    @abstractmethod
    def rows(self, schema: Schema) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield (position from 1, raw cells in schema order) of each row.

        Raises:
            DatasetInvalid: the source cannot be read, lacks a column, or has one of a type that cannot be taken.
        """

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """How much is read, and of how much in all; 0 where that is not known."""


def check_columns(schema: Schema, found: Mapping[str, str], *, kind: Callable[[str], str]) -> None:
    """Check that each declared column is there, once, in a type that holds the declared one without loss.

    Args:
        found: the source's columns and their types, in the source's own words.
        kind: which of TEXT, INTEGER, DECIMAL, FLOAT, OTHER such a type is.
    Raises:
        DatasetInvalid: DUPLICATE_HEADER, MISSING_COLUMN, ID_AS_NUMBER, NUMBER or TYPE, with the column.
    """
    if len({folded(name) for name in found}) != len(found):
        raise bad("DUPLICATE_HEADER", "two columns are equal or look alike", "表中有相同或形似的列名")
    for column in schema.columns:
        if column.source not in found:
            raise bad("MISSING_COLUMN", "declared but not in the table", "已声明但表中没有", column=column.name)
        own = kind(found[column.source])
        if own not in _FITS[column.type]:
            raise _other_type(column, own, is_id=column.name == schema.id)


def _other_type(column: Column, own: str, *, is_id: bool) -> DatasetInvalid:
    if is_id and own in (INTEGER, DECIMAL, FLOAT):
        return bad(
            "ID_AS_NUMBER",
            "the identifier is stored as a number; store it as text",
            "标识被存成了数字；请按文本存储",
            column=column.name,
        )
    if column.type in ("integer", "decimal") and own == FLOAT:
        return bad(
            "NUMBER",
            "stored as binary floating point, which is not exact; cast it to DECIMAL in the source",
            "以二进制浮点存储，并不精确；请在来源处转为 DECIMAL",
            column=column.name,
        )
    return bad("TYPE", f"stored as another type than {column.type}", f"存储类型不是 {column.type}", column=column.name)


def writers(schema: Schema) -> list[Callable[[Any], str]]:
    """For each column, what turns the source's values into raw cells; no value at all is an empty cell."""
    return [_text if column.type in ("text", "category") else _number for column in schema.columns]


def positions(batches: Iterator[Sequence[Sequence[Any]]], schema: Schema) -> Iterator[tuple[int, list[str]]]:
    """Rows of values in schema order, as numbered rows of raw cells."""
    turn = writers(schema)
    number = 0
    for batch in batches:
        for row in batch:
            number += 1
            yield number, [write(value) for write, value in zip(turn, row, strict=True)]


def driver_missing(package: str, extra: str) -> DatasetInvalid:
    """A source whose driver is not installed."""
    return bad(
        "SOURCE_DRIVER",
        f"this source needs {package}; install it with: pip install hengshu[{extra}]",
        f"此来源需要 {package}；请安装：pip install hengshu[{extra}]",
    )


def unreadable(what: str, zh: str) -> DatasetInvalid:
    """A source that cannot be read; the driver's own words may quote values or passwords and are left out."""
    return bad("SOURCE_UNREADABLE", what, zh)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return "NaN"
        text = format(value, "f")
        # Zeros beyond the nine digits that a declared scale may have say nothing.
        return text.rstrip("0").removesuffix(".") if "." in text and len(text.partition(".")[2]) > 9 else text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else "NaN"
