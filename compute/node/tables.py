"""Reading a delimited file strictly: every line a row of as many fields as the header, or refused with line and reason.

What the fields may hold is `cells.py`'s to say; here it is about lines, quotes and encodings.
"""

import codecs
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from compute.node.cells import MAX_FIELD_BYTES, bad, too_long
from compute.node.distinct import folded
from compute.node.schemas import Schema

MAX_LINE_BYTES = 1024 * 1024

_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def rows(file: BinaryIO, schema: Schema) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, raw fields in schema order) for each row.

    Raises:
        DatasetInvalid: the first line that is not one.
    """
    lines = _lines(file, schema)
    first = next(lines, None)
    if first is None:
        raise bad("EMPTY_FILE", "the file is empty", "文件是空的")
    header = _fields(first[1], schema.delimiter, line=1)
    places = _places(header, schema)
    line = 1
    for line, text in lines:
        if not text:
            raise bad("EMPTY_LINE", "the line is empty", "空行", line=line)
        fields = _fields(text, schema.delimiter, line=line)
        if len(fields) != len(header):
            raise bad(
                "RAGGED_ROW",
                f"{len(fields)} fields where the header has {len(header)}",
                f"有 {len(fields)} 个字段，而表头有 {len(header)} 个",
                line=line,
            )
        yield line, [fields[place] for place in places]
    if line == 1:
        raise bad("NO_ROWS", "there is a header but no row", "只有表头，没有数据行", line=1)


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
            raise bad(
                "LINE_TOO_LONG", f"longer than {MAX_LINE_BYTES} bytes", f"超过 {MAX_LINE_BYTES} 字节", line=number
            )
        if number == 1:
            raw = _without_bom(raw, schema)
        if b"\0" in raw:
            raise bad("NUL_BYTE", "a NUL byte", "含有 NUL 字节", line=number)
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            raise bad(
                "ENCODING",
                f"not {schema.encoding}, as the schema declares",
                f"不是声明的 {schema.encoding} 编码",
                line=number,
            ) from None
        yield number, text.removesuffix("\n").removesuffix("\r")


def _without_bom(raw: bytes, schema: Schema) -> bytes:
    if schema.encoding == "utf-8-sig":
        if not raw.startswith(codecs.BOM_UTF8):
            raise bad(
                "BOM", "the schema declares a BOM (utf-8-sig) and there is none", "声明为 utf-8-sig，但没有 BOM", line=1
            )
        return raw.removeprefix(codecs.BOM_UTF8)
    if raw.startswith(_BOMS):
        raise bad(
            "BOM",
            "a byte order mark that the schema does not declare; use utf-8-sig",
            "有未声明的 BOM；请声明 utf-8-sig",
            line=1,
        )
    return raw


def _fields(text: str, delimiter: str, *, line: int) -> list[str]:
    fields = text.split(delimiter) if '"' not in text else list(_quoted_fields(text, delimiter, line=line))
    if len(text) * 4 > MAX_FIELD_BYTES and any(map(too_long, fields)):
        raise bad(
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
                    raise bad("QUOTES", "a quoted field does not end on its line", "引号字段未在本行结束", line=line)
                parts.append(text[position:end])
                position = end + 1
                if position < size and text[position] == '"':
                    parts.append('"')
                    position += 1
                    continue
                break
            if position < size and text[position] != delimiter:
                raise bad("QUOTES", "something follows a closing quote", "引号之后还有内容", line=line)
            yield "".join(parts)
        else:
            end = text.find(delimiter, position)
            end = size if end < 0 else end
            field = text[position:end]
            if '"' in field:
                raise bad("QUOTES", "a quote inside a field that is not quoted", "未加引号的字段中有引号", line=line)
            yield field
            position = end
        if position >= size:
            return
        position += 1  # over the delimiter


def _places(header: Sequence[str], schema: Schema) -> list[int]:
    if len({folded(name) for name in header}) != len(header):
        raise bad("DUPLICATE_HEADER", "two headers are equal or look alike", "表头中有相同或形似的列名", line=1)
    declared = {column.source for column in schema.columns}
    for column in schema.columns:
        if column.source not in header:
            raise bad(
                "MISSING_COLUMN", "declared but not in the header", "已声明但表头中没有", line=1, column=column.name
            )
    if set(header) - declared - schema.ignore:
        raise bad(
            "UNDECLARED_COLUMN",
            "a header is neither declared nor listed in dataset.ignore",
            "表头中有列既未声明，也未列入 dataset.ignore",
            line=1,
        )
    return [list(header).index(column.source) for column in schema.columns]
