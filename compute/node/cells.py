"""Cells exactly as their columns declare: refused with line and reason, or canonical to the letter.

Every source of data ends here, so that a table is refused or taken the same way wherever it comes from. Nothing is
guessed: identifiers stay text, and a cell that is not exactly what its column declares ends the reading. Messages
name line (or row), column and reason, never a value.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from compute.node.errors import DatasetInvalid
from compute.node.schemas import Column, Schema
from compute.protocol import notices
from exchange.kernel.identifiers import resident_id_is_valid

MAX_FIELD_BYTES = 64 * 1024

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,9}))?", re.ASCII)
_FLOAT_ID = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+|[+-]?[0-9]+\.0*", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Check = Callable[[str], str]


class _Unfit(Exception):
    """A cell that is not as declared; where it stands is known one level up."""

    def __init__(self, reason: str, message: str, zh: str) -> None:
        super().__init__(reason)
        self.said = (reason, message, zh)


class Checker:
    """Turns the raw cells of a row into canonical ones: text and categories as they are, integers without leading
    zeros, decimals with exactly `scale` digits.

    Args:
        unit: what positions count: lines of a file, or rows of a table.
    """

    def __init__(self, schema: Schema, *, unit: str = "line") -> None:
        self._schema = schema
        self._unit = unit
        self._checks = [_check_of(column, schema) for column in schema.columns]

    def canonical(self, position: int, cells: Sequence[str]) -> list[str]:
        """The canonical cells of one row, in schema order.

        Raises:
            DatasetInvalid: the first cell that is not as declared.
        """
        try:
            return [check(cell) for check, cell in zip(self._checks, cells, strict=True)]
        except _Unfit:
            raise self._first_unfit(position, cells) from None

    def _first_unfit(self, position: int, cells: Sequence[str]) -> DatasetInvalid:
        for check, cell, column in zip(self._checks, cells, self._schema.columns, strict=True):
            try:
                check(cell)
            except _Unfit as unfit:
                reason, message, zh = unfit.said
                return bad(reason, message, zh, line=position, column=column.name, unit=self._unit)
        raise AssertionError("a cell was unfit and is no more")


def scaled(cell: str) -> int:
    """The scaled integer of a canonical numeric cell."""
    return int(cell.replace(".", ""))


def bad(reason: str, message: str, zh: str, *, line: int = 0, column: str = "", unit: str = "line") -> DatasetInvalid:
    """The refusal of a table, as a sentence with its place."""
    return DatasetInvalid(reason, f"{message}.", zh=f"{zh}。", line=line, column=column, unit=unit)


def too_long(field: str) -> bool:
    """Whether a field has more bytes than any cell may have."""
    return len(field) * 4 > MAX_FIELD_BYTES and len(field.encode("utf-8", "surrogatepass")) > MAX_FIELD_BYTES


def _check_of(column: Column, schema: Schema) -> Check:
    if column.type == "category":
        return _category(column)
    if column.name == notices.KEY_COLUMN:
        return _notice_key
    if column.type == "text":
        return _identifier(column, schema) if column.name == schema.id else _text(schema)
    return _number(column)


def _notice_key(cell: str) -> str:
    """Empty, or a key that a notice can be sealed to: a wrong one is found now and not at some run."""
    if cell and not notices.is_key(cell):
        raise _Unfit(
            "NOTICE_KEY",
            "not the public key of a notice card: 64 lower-case hexadecimal digits, or nothing",
            "不是告知卡的公钥：应为 64 位小写十六进制数字，或留空",
        )
    return cell


def _category(column: Column) -> Check:
    known = {value: value for value in column.values}

    def check(cell: str) -> str:
        found = known.get(cell)
        if found is None:
            raise _Unfit("CATEGORY", "not one of the declared categories", "不是已声明的类别")
        return found

    return check


def _text(schema: Schema) -> Check:
    refuses_formulas = schema.formulas == "refuse"

    def check(cell: str) -> str:
        if too_long(cell):
            raise _Unfit(
                "FIELD_TOO_LONG", f"a field is longer than {MAX_FIELD_BYTES} bytes", f"字段超过 {MAX_FIELD_BYTES} 字节"
            )
        if not cell.isprintable() or (not cell.isascii() and _is_invisible(cell)):
            raise _Unfit("INVISIBLE_CHARACTER", "a control or invisible character", "含有控制字符或不可见字符")
        if refuses_formulas and cell.startswith(_FORMULA):
            raise _Unfit(
                "FORMULA",
                'begins like a formula; declare formulas = "text" to keep it',
                '像公式；声明 formulas = "text" 可原样保留',
            )
        return cell

    return check


def _identifier(column: Column, schema: Schema) -> Check:
    plain = _text(schema)

    def check(cell: str) -> str:
        plain(cell)
        if not cell:
            raise _Unfit("ID_EMPTY", "the identifier is empty", "标识为空")
        if cell != cell.strip() or not (cell.isascii() or unicodedata.is_normalized("NFKC", cell)):
            raise _Unfit("ID_NOT_PLAIN", "the identifier has spaces or full-width forms", "标识含有空格或全角字符")
        if _FLOAT_ID.fullmatch(cell):
            raise _Unfit(
                "ID_AS_NUMBER",
                "the identifier was saved as a number; export it as text",
                "标识被存成了数字；请按文本导出",
            )
        if column.format == "resident_id" and not resident_id_is_valid(cell):
            raise _Unfit(
                "ID_FORMAT", "not a resident identity number with its check character", "不是带有正确校验码的身份号码"
            )
        return cell

    return check


def _number(column: Column) -> Check:
    is_integer = column.type == "integer"
    form = _INTEGER if is_integer else _DECIMAL

    def check(cell: str) -> str:
        found = form.fullmatch(cell)
        if found is None or cell == "-0":
            raise _Unfit("NUMBER", f"not a plain {column.type}", "不是规范的整数" if is_integer else "不是规范的小数")
        canonical = cell if is_integer else _decimal(found, column.scale)
        if canonical is None:
            raise _Unfit("NUMBER", f"more than {column.scale} digits after the point", f"小数超过 {column.scale} 位")
        if not column.minimum <= scaled(canonical) <= column.maximum:
            raise _Unfit("BOUNDS", "outside the declared bounds", "超出声明的范围")
        return canonical

    return check


def _decimal(found: re.Match[str], scale: int) -> str | None:
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction.rstrip("0")) > scale:
        return None
    digits = fraction[:scale].ljust(scale, "0")
    text = f"{whole}.{digits}" if scale else whole
    return text if not text.strip("0.") else sign + text


def _is_invisible(cell: str) -> bool:
    return any(unicodedata.category(c) in ("Cf", "Co", "Cn", "Cs") for c in cell if c > "\x7f")
