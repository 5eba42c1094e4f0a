"""One form for the same fact written in two ways, so that a keyed comparison compares facts and not spelling.

Both nodes apply the same table before anything is hashed into the group. A value that does not read as its kind is
compared as text: it equals the same text and nothing else, and no error ever says that a row has such a value.

| kind    | same as each other                                                      | not the same              |
|---------|-------------------------------------------------------------------------|---------------------------|
| text    | full-width and half-width, runs of spaces, spaces around, letter case kept | `Zhang` and `zhang`     |
| code    | as text, and letter case                                                | `01` and `1`              |
| integer | `007`, `7`, `+7`, `７`, `7.0`, `1,007` and `1007`                        | `7` and `7.5`             |
| money   | `3641.9`, `3641.90`, `￥3,641.90`; two decimals, half to even             | `3641.91` and `3641.90`   |
| date    | `2026-1-2`, `2026/01/02`, `2026.1.2`, `20260102`, `2026年1月2日`           | `2026-02-01`, `2026-01-02`|

What this does not do: a format that lost digits (an 18-digit number through a spreadsheet) stays a real difference, and
two offices' words for one state (`在缴`, `1`) are the same only after one of them has translated its column.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal

_INVISIBLE = ("Cf", "Cc")
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]00:00(?::00(?:\.0+)?)?)?", re.ASCII)
_COMPACT_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}|\d{1,3}(?:,\d{3}){1,12})(?:\.\d{0,40})?", re.ASCII)
_CURRENCY = "¥￥元"
_WIDE = Context(prec=90)  # beyond every number that _NUMBER lets in


def value(text: str, kind: str) -> str:
    """One value of a field as it is compared; the same canonical text for equal facts, empty for an empty cell.

    Args:
        kind: a key of KINDS.
    """
    plain = " ".join(_visible(text).split())
    return KINDS[kind](plain) if plain else ""


def _visible(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text)
    return "".join(c if c in "\t\n\r" else "" if unicodedata.category(c) in _INVISIBLE else c for c in folded)


def _text(plain: str) -> str:
    return f"t:{plain}"


def _code(plain: str) -> str:
    return f"c:{plain.replace(' ', '').casefold()}"


def _integer(plain: str) -> str:
    number = _number(plain)
    return _text(plain) if number is None or number != number.to_integral_value() else f"i:{int(number)}"


def _money(plain: str) -> str:
    number = _number(plain.strip(_CURRENCY).strip())
    if number is None:
        return _text(plain)
    rounded = number.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN, context=_WIDE)
    return f"m:{rounded if rounded else Decimal('0.00')}"  # no minus zero


def _number(plain: str) -> Decimal | None:
    return Decimal(plain.replace(",", "")) if _NUMBER.fullmatch(plain) else None


def _date(plain: str) -> str:
    found = _DATE.fullmatch(plain) or _COMPACT_DATE.fullmatch(plain)
    if found is None:
        return _text(plain)
    try:
        return f"d:{date(int(found[1]), int(found[2]), int(found[3])).isoformat()}"
    except ValueError:
        return _text(plain)


KINDS: Mapping[str, Callable[[str], str]] = {
    "text": _text,
    "code": _code,
    "integer": _integer,
    "money": _money,
    "date": _date,
}
