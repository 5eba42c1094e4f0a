"""What is known of a dataset without opening it: the `schema.json` that a node keeps beside each version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compute.engines.errors import EngineRefused
from compute.protocol.operations import MINIMUM_GROUP


@dataclass(frozen=True, slots=True)
class ColumnMeta:
    """One column; bounds and cuts are scaled integers (1.50 at scale 2 is 150).

    Cuts at 3000 and 6000 make three declared bands: below 3000, from 3000 to below 6000, from 6000.
    """

    name: str
    type: str
    categories: tuple[str, ...] = ()
    scale: int = 0
    minimum: int = 0
    maximum: int = 0
    cuts: tuple[int, ...] = ()

    @property
    def bands(self) -> int:
        """How many bands the cuts make."""
        return len(self.cuts) + 1

    @property
    def is_numeric(self) -> bool:
        """Whether statistics can be made of it."""
        return self.type in ("integer", "decimal")

    @property
    def largest(self) -> int:
        """The largest absolute value that the declared bounds allow."""
        return max(abs(self.minimum), abs(self.maximum))


@dataclass(frozen=True, slots=True)
class DatasetMeta:
    """A dataset's description; `magnitude` bounds the number of rows by a power of two, so that it may be told."""

    name: str
    id: str | None
    block_dimensions: tuple[str, ...]
    min_group: int
    magnitude: int
    columns: Mapping[str, ColumnMeta]

    def column(self, name: str) -> ColumnMeta:
        """The column by its name; EngineRefused COLUMN_UNKNOWN."""
        found = self.columns.get(name)
        if found is None:
            raise EngineRefused("COLUMN_UNKNOWN", f"The dataset has no column {name}; choose one of its columns.")
        return found

    def numeric(self, name: str) -> ColumnMeta:
        """The value column by its name; EngineRefused COLUMN_UNKNOWN or VALUE_NOT_NUMERIC."""
        found = self.column(name)
        if not found.is_numeric:
            raise EngineRefused("VALUE_NOT_NUMERIC", f"Column {name} holds no numbers; choose a numeric column.")
        return found

    def check_id(self) -> None:
        """Refuse a dataset without an id column; EngineRefused IDENTIFIER_MISSING."""
        if self.id is None:
            raise EngineRefused("IDENTIFIER_MISSING", "The dataset declares no id column; add it with one.")

    def check_range(self, name: str, largest: int) -> None:
        """Refuse a value column whose declared bounds reach beyond `largest`; as `numeric`, or VALUE_RANGE_TOO_WIDE."""
        if self.numeric(name).largest > largest:
            raise EngineRefused("VALUE_RANGE_TOO_WIDE", f"The declared range of {name} is too wide; narrow its bounds.")

    @property
    def banded(self) -> tuple[str, ...]:
        """The columns with declared bands, in the schema's order."""
        return tuple(name for name, column in self.columns.items() if column.cuts)

    def dimensions(self) -> list[tuple[str, tuple[str, ...]]]:
        """Block dimensions with their categories, in declared order."""
        return [(name, self.columns[name].categories) for name in self.block_dimensions]


def from_schema(schema: Mapping[str, Any]) -> DatasetMeta:
    """Read the description out of a parsed schema.json."""
    columns = {item["name"]: _column(item) for item in schema["columns"]}
    blocks = tuple(schema["block_dimensions"])
    for name in blocks:
        if name not in columns or columns[name].type != "category":
            raise ValueError("a block dimension must be a category column")
    return DatasetMeta(
        name=schema.get("name", ""),
        id=schema["id"],
        block_dimensions=blocks,
        min_group=max(MINIMUM_GROUP, int(schema.get("min_group", MINIMUM_GROUP))),
        magnitude=magnitude(int(schema["rows"])),
        columns=columns,
    )


def magnitude(rows: int) -> int:
    """The smallest power of two that is not below `rows`."""
    return 1 << max(0, rows - 1).bit_length()


def _column(item: Mapping[str, Any]) -> ColumnMeta:
    categories: Sequence[str] = item.get("values", ())
    return ColumnMeta(
        name=item["name"],
        type=item["type"],
        categories=tuple(categories),
        scale=int(item.get("scale", 0)),
        minimum=int(item.get("min", 0)),
        maximum=int(item.get("max", 0)),
        cuts=tuple(int(cut) for cut in item.get("bands", ())),
    )
