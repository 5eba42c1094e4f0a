"""The owner's schema of a dataset: schema.toml read strictly, so that no type is ever guessed from values.

[dataset]
encoding = "utf-8"            # utf-8, utf-8-sig (a BOM is required) or gb18030
id = "person_id"              # optional; a text column
block_dimensions = ["district", "age_band"]
min_group = 10                # optional; 10 or more
delimiter = ","               # optional; , ; | or "\\t"
dominance = { p = 10 }        # optional; or { n = 2, k = 85 }, or both: blocks that one person dominates are withheld
formulas = "refuse"           # optional; "text" keeps cells such as =1+1 exactly as text
ignore = ["Remark"]           # optional; headers of the file that are left out

[columns.person_id]
type = "text"
format = "resident_id"        # optional
source = "ID"                 # optional; the header in the file when it differs
[columns.notice_key]          # optional; this name alone: each person's notice card, or empty
type = "text"
[columns.district]
type = "category"
values = ["North", "South"]
[columns.base]
type = "integer"              # or decimal with scale = 2
min = 0
max = 50000
level = "plaintext_after_aggregate"  # optional, also { default = "…", "urn:hengshu:org:…" = "…" }: control_levels.py
bands = [3000, 6000]          # optional; cuts 0–2999, 3000–5999, 6000–50000 for histograms and quantile bands
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any

from compute.node.errors import DatasetInvalid
from compute.protocol import notices, shapes
from compute.protocol.control_levels import Level
from compute.protocol.operations import MINIMUM_GROUP

TYPES = ("text", "category", "integer", "decimal")
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030")
MAX_COLUMNS = 256
MAX_CATEGORIES = 10_000
MAX_CUTS = 63
MAX_SCALED = 10**15  # a scaled value and sums of many of them stay exact in 64 bits

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_DATASET_KEYS = {"dominance", "encoding", "id", "block_dimensions", "min_group", "delimiter", "formulas", "ignore"}
_COLUMN_KEYS = {
    "text": {"format"},
    "category": {"values"},
    "integer": {"min", "max", "bands"},
    "decimal": {"min", "max", "scale", "bands"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """One declared column; bounds and cuts are scaled integers (`minimum` of 1.50 at scale 2 is 150)."""

    name: str
    source: str
    type: str
    format: str = ""
    values: tuple[str, ...] = ()
    scale: int = 0
    minimum: int = 0
    maximum: int = 0
    cuts: tuple[int, ...] = ()  # where one band ends and the next begins
    level: str | Mapping[str, str] = ""  # control level; by recipient, with `default`, where there are several

    def describe(self) -> dict[str, Any]:
        """What schema.json and the engines see of the column."""
        found: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.type == "category":
            found["values"] = list(self.values)
        if self.type in ("integer", "decimal"):
            found |= {"scale": self.scale, "min": self.minimum, "max": self.maximum}
        if self.cuts:
            found["bands"] = list(self.cuts)
        if self.level:
            found["level"] = self.level if isinstance(self.level, str) else dict(self.level)
        return found


@dataclass(frozen=True, slots=True)
class Schema:
    """A whole schema, columns in the order they were declared."""

    columns: tuple[Column, ...]
    id: str | None
    block_dimensions: tuple[str, ...]
    min_group: int
    encoding: str
    delimiter: str
    formulas: str
    ignore: frozenset[str]
    dominance: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The members of schema.json that come from the schema."""
        return {
            "id": self.id,
            "block_dimensions": list(self.block_dimensions),
            "min_group": self.min_group,
            "columns": [column.describe() for column in self.columns],
            **({"dominance": dict(self.dominance)} if self.dominance else {}),
        }


def load(path: Path) -> Schema:
    """Read schema.toml; DatasetInvalid names the member that is wrong."""
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise _bad(f"there is no file {path}", f"没有文件 {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise _bad("the schema is not TOML in UTF-8", "结构文件不是 UTF-8 的 TOML") from None


def parse(value: Mapping[str, Any]) -> Schema:
    """Check a schema read from TOML."""
    if set(value) != {"dataset", "columns"}:
        raise _bad(
            "the schema has exactly the tables [dataset] and [columns.…]", "结构文件只应有 [dataset] 与 [columns.…]"
        )
    dataset, tables = value["dataset"], value["columns"]
    if not isinstance(dataset, dict) or not isinstance(tables, dict) or set(dataset) - _DATASET_KEYS:
        raise _bad("[dataset] has a member that is not known", "[dataset] 有未知成员")
    if not 1 <= len(tables) <= MAX_COLUMNS:
        raise _bad(f"between 1 and {MAX_COLUMNS} columns are declared", f"应声明 1 至 {MAX_COLUMNS} 列")
    columns = tuple(replace(_column(name, table), level=_level(name, table)) for name, table in tables.items())
    if len({column.source for column in columns}) != len(columns):
        raise _bad("two columns have the same source", "两列的 source 相同")
    by_name = {column.name: column for column in columns}
    identifier = dataset.get("id")
    if identifier is not None and (identifier not in by_name or by_name[identifier].type != "text"):
        raise _bad("dataset.id must name a text column", "dataset.id 须为一个 text 列")
    blocks = dataset.get("block_dimensions", [])
    if not isinstance(blocks, list) or len(set(map(str, blocks))) != len(blocks):
        raise _bad("dataset.block_dimensions is a list without repeats", "dataset.block_dimensions 须为不重复的列表")
    for name in blocks:
        if name not in by_name or by_name[name].type != "category":
            raise _bad("every block dimension is a category column", "分块维度须为 category 列")
    minimum = dataset.get("min_group", MINIMUM_GROUP)
    if isinstance(minimum, bool) or not isinstance(minimum, int) or not MINIMUM_GROUP <= minimum <= 1_000_000:
        raise _bad(f"dataset.min_group is {MINIMUM_GROUP} or more", f"dataset.min_group 不得小于 {MINIMUM_GROUP}")
    ignore = dataset.get("ignore", [])
    if not isinstance(ignore, list) or not all(isinstance(item, str) for item in ignore):
        raise _bad("dataset.ignore is a list of headers", "dataset.ignore 须为列名列表")
    return Schema(
        columns=columns,
        id=identifier,
        block_dimensions=tuple(blocks),
        min_group=minimum,
        encoding=_one_of(dataset.get("encoding"), ENCODINGS, "dataset.encoding"),
        delimiter=_one_of(dataset.get("delimiter", ","), (",", ";", "|", "\t"), "dataset.delimiter"),
        formulas=_one_of(dataset.get("formulas", "refuse"), ("refuse", "text"), "dataset.formulas"),
        ignore=frozenset(ignore),
        dominance=_dominance(dataset.get("dominance", {})),
    )


def _column(name: str, table: Any) -> Column:
    where = f"columns.{name}"
    if not _NAME.fullmatch(name):
        raise _bad(
            f"{where}: a name is lower-case letters, digits and underscores", f"{where}：列名只用小写字母、数字和下划线"
        )
    if not isinstance(table, dict):
        raise _bad(f"{where} is a table", f"{where} 须为表")
    kind = _one_of(table.get("type"), TYPES, f"{where}.type")
    if name == notices.KEY_COLUMN and kind != "text":
        raise _bad(f"{where} is a text column: keys of notice cards", f"{where} 须为 text 列：告知卡公钥")
    if set(table) - {"type", "source", "level"} - _COLUMN_KEYS[kind]:
        raise _bad(f"{where} has a member that a {kind} column does not know", f"{where} 有 {kind} 列所没有的成员")
    source = table.get("source", name)
    if not isinstance(source, str) or not 1 <= len(source) <= 200:
        raise _bad(f"{where}.source is the header in the file", f"{where}.source 须为文件中的列名")
    if kind == "text":
        return Column(
            name, source, kind, format=_one_of(table.get("format", ""), ("", "resident_id"), f"{where}.format")
        )
    if kind == "category":
        return Column(name, source, kind, values=_categories(table.get("values"), where))
    scale = table.get("scale") if kind == "decimal" else 0
    if isinstance(scale, bool) or not isinstance(scale, int) or not 0 <= scale <= 9:
        raise _bad(f"{where}.scale is 0 to 9 digits", f"{where}.scale 须为 0 至 9")
    low, high = _bound(table.get("min"), scale, where), _bound(table.get("max"), scale, where)
    if low > high:
        raise _bad(f"{where}.min is not above max", f"{where}.min 不得大于 max")
    cuts = _cuts(table.get("bands", []), scale, where, low=low, high=high)
    return Column(name, source, kind, scale=scale, minimum=low, maximum=high, cuts=cuts)


def _level(name: str, table: Mapping[str, Any]) -> str | Mapping[str, str]:
    """The control level of a column: one word, or one for each recipient."""
    found = table.get("level", "")
    words = found if isinstance(found, dict) else {"default": found or Level.PLAINTEXT}
    if "default" not in words or not all(isinstance(word, str) and word in set(Level) for word in words.values()):
        levels = ", ".join(Level)
        raise _bad(
            f"columns.{name}.level is one of {levels}, or a table with a default",
            f"columns.{name}.level 须为 {levels} 之一，或带 default 的表",
        )
    try:
        for recipient in words.keys() - {"default"}:
            shapes.urn("org")(recipient, "level")
    except shapes.DocumentInvalid:
        raise _bad(
            f"columns.{name}.level names recipients as urn:hengshu:org:…",
            f"columns.{name}.level 须以 urn:hengshu:org:… 指明接收方",
        ) from None
    return found if isinstance(found, dict) else str(found)


def _dominance(value: Any) -> Mapping[str, int]:
    """The owner's rule: p percent, or n persons with k percent, or both."""
    is_whole = isinstance(value, dict) and all(type(item) is int and 1 <= item <= 100 for item in value.values())
    if not is_whole or set(value) - {"p", "n", "k"} or ("n" in value) != ("k" in value) or value.get("n", 1) > 10:
        raise _bad(
            "dataset.dominance is { p = 1 to 100 }, { n = 1 to 10, k = 1 to 100 }, or both",
            "dataset.dominance 须为 { p = 1 至 100 }、{ n = 1 至 10, k = 1 至 100 } 或两者兼有",
        )
    return dict(value)


def _categories(values: Any, where: str) -> tuple[str, ...]:
    if (
        not isinstance(values, list)
        or not 1 <= len(values) <= MAX_CATEGORIES
        or not all(isinstance(item, str) and 1 <= len(item) <= 200 and item.isprintable() for item in values)
        or len(set(values)) != len(values)
    ):
        raise _bad(f"{where}.values lists every category once, as text", f"{where}.values 须逐一列出各类别文本")
    return tuple(values)


def _bound(value: Any, scale: int, where: str) -> int:
    try:
        scaled = Decimal(value).scaleb(scale) if isinstance(value, int | str) else Decimal("NaN")
    except InvalidOperation:
        scaled = Decimal("NaN")
    if (
        isinstance(value, bool)
        or not scaled.is_finite()
        or scaled != scaled.to_integral_value()
        or abs(scaled) > MAX_SCALED
    ):
        raise _bad(
            f"{where} needs min and max (and its cuts): an integer, or a decimal in quotes with at most scale digits",
            f"{where} 须有 min 与 max（分界值亦同）：整数，或加引号且不超过 scale 位的小数",
        )
    return int(scaled)


def _cuts(values: Any, scale: int, where: str, *, low: int, high: int) -> tuple[int, ...]:
    found = [_bound(value, scale, f"{where}.bands") for value in values] if isinstance(values, list) else [low]
    if len(found) > MAX_CUTS or any(left >= right for left, right in pairwise([low, *found])) or found[-1:] > [high]:
        raise _bad(
            f"{where}.bands lists up to {MAX_CUTS} cuts in ascending order, above min and not above max",
            f"{where}.bands 须按升序列出至多 {MAX_CUTS} 个分界值，大于 min 且不超过 max",
        )
    return tuple(found)


def _one_of(value: Any, allowed: tuple[str, ...], where: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(repr(item) for item in allowed)
        raise _bad(f"{where} must be one of {choices}", f"{where} 须为下列之一：{choices}")
    return value


def _bad(message: str, zh: str) -> DatasetInvalid:
    return DatasetInvalid("SCHEMA_INVALID", f"Schema: {message}.", zh=f"结构文件：{zh}。")
