"""Reading a delimited file exactly as declared: refused with line and reason, or every cell to the letter.

Nothing is guessed. Identifiers stay text; a cell that is not exactly what its column declares ends the
reading. Messages name line, column and reason, never a value.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from compute.node.errors import DatasetInvalid
from compute.node.schemas import Column, Schema
from exchange.kernel.identifiers import resident_id_is_valid

MAX_FIELD_BYTES = 64 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_ROWS = 50_000_000

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,9}))?", re.ASCII)
_FLOAT_ID = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+|[+-]?[0-9]+\.0*", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def rows(file: BinaryIO, schema: Schema) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, canonical cells in schema order) for each row.

    Canonical cells: text and categories as they are, integers without leading zeros, decimals with
    exactly `scale` digits.

    Raises:
        DatasetInvalid: the first line that is not exactly as declared.
    """
    lines = _lines(file, schema)
    first = next(lines, None)
    if first is None:
        raise _bad("EMPTY_FILE", "the file is empty", "文件是空的")
    header = _fields(first[1], schema.delimiter, line=1)
    places = _places(header, schema)
    seen: dict[str, int] = {}
    count = 0
    for line, text in lines:
        if not text:
            raise _bad("EMPTY_LINE", "the line is empty", "空行", line=line)
        fields = _fields(text, schema.delimiter, line=line)
        if len(fields) != len(header):
            raise _bad(
                "RAGGED_ROW",
                f"{len(fields)} fields where the header has {len(header)}",
                f"有 {len(fields)} 个字段，而表头有 {len(header)} 个",
                line=line,
            )
        cells = [
            _cell(fields[place], column, schema, line=line)
            for place, column in zip(places, schema.columns, strict=True)
        ]
        if schema.id is not None:
            _check_unique(cells, schema, seen, line=line)
        count += 1
        if count > MAX_ROWS:
            raise _bad("TOO_MANY_ROWS", f"more than {MAX_ROWS} rows", f"超过 {MAX_ROWS} 行", line=line)
        yield line, cells
    if count == 0:
        raise _bad("NO_ROWS", "there is a header but no row", "只有表头，没有数据行", line=1)


def scaled(cell: str, column: Column) -> int:
    """The scaled integer of a canonical numeric cell."""
    return int(cell.replace(".", ""))


def write_row(cells: Sequence[str]) -> str:
    """One canonical line: commas, LF, quotes only where RFC 4180 needs them."""
    return (
        ",".join('"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\n\r') else cell for cell in cells)
        + "\n"
    )


def split(text: str, *, line: int, delimiter: str = ",") -> list[str]:
    """The fields of one line, by the same strict rules."""
    return _fields(text, delimiter, line=line)


def _lines(file: BinaryIO, schema: Schema) -> Iterator[tuple[int, str]]:
    encoding = "gb18030" if schema.encoding == "gb18030" else "utf-8"
    number = 0
    while True:
        raw = file.readline(MAX_LINE_BYTES + 1)
        if not raw:
            return
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            raise _bad(
                "LINE_TOO_LONG", f"longer than {MAX_LINE_BYTES} bytes", f"超过 {MAX_LINE_BYTES} 字节", line=number
            )
        if number == 1:
            raw = _without_bom(raw, schema)
        if b"\0" in raw:
            raise _bad("NUL_BYTE", "a NUL byte", "含有 NUL 字节", line=number)
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            raise _bad(
                "ENCODING",
                f"not {schema.encoding}, as the schema declares",
                f"不是声明的 {schema.encoding} 编码",
                line=number,
            ) from None
        yield number, text.removesuffix("\n").removesuffix("\r")


def _without_bom(raw: bytes, schema: Schema) -> bytes:
    if schema.encoding == "utf-8-sig":
        if not raw.startswith(codecs.BOM_UTF8):
            raise _bad(
                "BOM", "the schema declares a BOM (utf-8-sig) and there is none", "声明为 utf-8-sig，但没有 BOM", line=1
            )
        return raw.removeprefix(codecs.BOM_UTF8)
    if raw.startswith(_BOMS):
        raise _bad(
            "BOM",
            "a byte order mark that the schema does not declare; use utf-8-sig",
            "有未声明的 BOM；请声明 utf-8-sig",
            line=1,
        )
    return raw


def _fields(text: str, delimiter: str, *, line: int) -> list[str]:
    fields = text.split(delimiter) if '"' not in text else list(_quoted_fields(text, delimiter, line=line))
    if len(text) * 4 > MAX_FIELD_BYTES:
        for field in fields:
            if len(field.encode("utf-8")) > MAX_FIELD_BYTES:
                raise _bad(
                    "FIELD_TOO_LONG",
                    f"a field is longer than {MAX_FIELD_BYTES} bytes",
                    f"字段超过 {MAX_FIELD_BYTES} 字节",
                    line=line,
                )
    return fields


def _quoted_fields(text: str, delimiter: str, *, line: int) -> Iterator[str]:
    position, size = 0, len(text)
    while True:
        if position < size and text[position] == '"':
            parts, position = [], position + 1
            while True:
                end = text.find('"', position)
                if end < 0:
                    raise _bad("QUOTES", "a quoted field does not end on its line", "引号字段未在本行结束", line=line)
                parts.append(text[position:end])
                position = end + 1
                if position < size and text[position] == '"':
                    parts.append('"')
                    position += 1
                    continue
                break
            if position < size and text[position] != delimiter:
                raise _bad("QUOTES", "something follows a closing quote", "引号之后还有内容", line=line)
            yield "".join(parts)
        else:
            end = text.find(delimiter, position)
            end = size if end < 0 else end
            field = text[position:end]
            if '"' in field:
                raise _bad("QUOTES", "a quote inside a field that is not quoted", "未加引号的字段中有引号", line=line)
            yield field
            position = end
        if position >= size:
            return
        position += 1  # over the delimiter


def _places(header: Sequence[str], schema: Schema) -> list[int]:
    if len({_normal(name) for name in header}) != len(header):
        raise _bad("DUPLICATE_HEADER", "two headers are equal or look alike", "表头中有相同或形似的列名", line=1)
    declared = {column.source for column in schema.columns}
    for column in schema.columns:
        if column.source not in header:
            raise _bad(
                "MISSING_COLUMN", "declared but not in the header", "已声明但表头中没有", line=1, column=column.name
            )
    if set(header) - declared - schema.ignore:
        raise _bad(
            "UNDECLARED_COLUMN",
            "a header is neither declared nor listed in dataset.ignore",
            "表头中有列既未声明，也未列入 dataset.ignore",
            line=1,
        )
    return [list(header).index(column.source) for column in schema.columns]


def _cell(cell: str, column: Column, schema: Schema, *, line: int) -> str:
    def bad(reason: str, message: str, zh: str) -> DatasetInvalid:
        return _bad(reason, message, zh, line=line, column=column.name)

    if column.type == "category":
        if cell not in column.values:
            raise bad("CATEGORY", "not one of the declared categories", "不是已声明的类别")
        return cell
    if column.type == "text":
        if not cell.isprintable() or any(unicodedata.category(c) in ("Cf", "Co", "Cn") for c in cell if c > "\x7f"):
            raise bad("INVISIBLE_CHARACTER", "a control or invisible character", "含有控制字符或不可见字符")
        if schema.formulas == "refuse" and cell.startswith(_FORMULA):
            raise bad(
                "FORMULA",
                'begins like a formula; declare formulas = "text" to keep it',
                '像公式；声明 formulas = "text" 可原样保留',
            )
        if column.name == schema.id:
            _check_id(cell, column, bad)
        return cell
    found = (_INTEGER if column.type == "integer" else _DECIMAL).fullmatch(cell)
    if found is None or cell == "-0":
        raise bad(
            "NUMBER", f"not a plain {column.type}", "不是规范的整数" if column.type == "integer" else "不是规范的小数"
        )
    canonical = cell if column.type == "integer" else _decimal(found, column.scale)
    if canonical is None:
        raise bad("NUMBER", f"more than {column.scale} digits after the point", f"小数超过 {column.scale} 位")
    if not column.minimum <= scaled(canonical, column) <= column.maximum:
        raise bad("BOUNDS", "outside the declared bounds", "超出声明的范围")
    return canonical


def _decimal(found: re.Match[str], scale: int) -> str | None:
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction.rstrip("0")) > scale:
        return None
    digits = fraction[:scale].ljust(scale, "0")
    text = f"{whole}.{digits}" if scale else whole
    return text if not text.strip("0.") else sign + text


def _check_id(cell: str, column: Column, bad: Callable[[str, str, str], DatasetInvalid]) -> None:
    if not cell:
        raise bad("ID_EMPTY", "the identifier is empty", "标识为空")
    if cell != cell.strip() or unicodedata.normalize("NFKC", cell) != cell:
        raise bad("ID_NOT_PLAIN", "the identifier has spaces or full-width forms", "标识含有空格或全角字符")
    if _FLOAT_ID.fullmatch(cell):
        raise bad(
            "ID_AS_NUMBER", "the identifier was saved as a number; export it as text", "标识被存成了数字；请按文本导出"
        )
    if column.format == "resident_id" and not resident_id_is_valid(cell):
        raise bad(
            "ID_FORMAT", "not a resident identity number with its check character", "不是带有正确校验码的身份号码"
        )


def _check_unique(cells: Sequence[str], schema: Schema, seen: dict[str, int], *, line: int) -> None:
    place = next(i for i, column in enumerate(schema.columns) if column.name == schema.id)
    first = seen.setdefault(_normal(cells[place]), line)
    if first != line:
        raise _bad(
            "DUPLICATE_ID",
            f"the identifier equals, or looks like, that of line {first}",
            f"标识与第 {first} 行相同或形似",
            line=line,
            column=str(schema.id),
        )


def _normal(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Cc", "Zs"))


def _bad(reason: str, message: str, zh: str, *, line: int = 0, column: str = "") -> DatasetInvalid:
    return DatasetInvalid(reason, f"{message}.", zh=f"{zh}。", line=line, column=column)
