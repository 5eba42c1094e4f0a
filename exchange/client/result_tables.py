"""An opened result as tables: what `result open` shows, and writes as CSV for a spreadsheet.

Files have the result document's own names as heads, so that programs can rely on them; on the screen heads are in the
reader's language.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_HEADS = {
    "column": ("列", "Column"),
    "columns": ("两列", "Columns"),
    "count": ("人数", "Persons"),
    "sum": ("总和", "Sum"),
    "mean": ("均值", "Mean"),
    "variance": ("方差", "Variance"),
    "covariance": ("协方差", "Covariance"),
    "told": ("按分段告知的人数", "Persons told by bands"),
    "from": ("自", "From"),
    "to": ("至", "To"),
    "probability": ("分位", "Probability"),
}
_CELL = ("column", "count", "sum", "mean", "variance")
_NOISED_CELL = ("column", "count", "sum", "mean")
_MEASURES = {
    "covariance": ("columns", "count", "covariance"),
    "histogram": ("column", "told", "from", "to", "count"),
    "quantile_bands": ("column", "probability", "told", "from", "to"),
}


@dataclass(frozen=True, slots=True)
class ResultTable:
    """One table: its file's name without an ending, names of its columns, and rows of plain values.

    The first `labels` columns hold words of an owner, the others numbers, bounds and names of columns.
    """

    name: str
    labels: int
    heads: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @property
    def titles(self) -> list[tuple[str, str]]:
        """Heads in Chinese and English; a grouped column is called what its owner calls it."""
        return [_HEADS.get(head, (head, head)) for head in self.heads]

    def to_csv(self) -> bytes:
        """The table as CSV, words that begin a formula quoted."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(self.heads)
        for row in self.rows:
            writer.writerow([*(_plain(str(label)) for label in row[: self.labels]), *row[self.labels :]])
        return text.getvalue().encode("utf-8-sig")


def of(result: dict[str, Any]) -> list[ResultTable]:
    """The tables of a result; none for a document of another type than statistics. Withheld cells have no row."""
    if str(result["type"]).startswith("noised_statistics/"):
        told = [cell for cell in result["cells"] if "withheld" not in cell]
        return [_table("result", told, result["group_by"], _NOISED_CELL)]
    if not str(result["type"]).startswith("grouped_statistics/"):
        return []
    group_by, asked = result["group_by"], result.get("measures", {})
    found = [_table("result", result["cells"], group_by, _CELL)]
    for name, heads in _MEASURES.items():
        if name in asked:
            items = asked[name]
            if name == "histogram":
                items = [{**item, **band} for item in items for band in item["bands"]]
            found.append(_table(name, items, group_by, heads))
    return found


def _table(name: str, items: Sequence[dict[str, Any]], group_by: Sequence[str], heads: tuple[str, ...]) -> ResultTable:
    rows = tuple((*(item["group"][one] for one in group_by), *(_value(item[head]) for head in heads)) for item in items)
    return ResultTable(name, len(group_by), (*group_by, *heads), rows)


def _value(value: object) -> object:
    return " × ".join(value) if isinstance(value, list) else value


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
