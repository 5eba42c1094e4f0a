"""Every code the API can answer with: its status, and a sentence in both languages, drawn from the classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import get_resolver

from compute.protocol import codes
from exchange.kernel.errors import DomainError
from exchange.web import problems, sentences

_OURS = ("exchange", "ledger", "listings", "contracts", "compute")
# Programs beside the exchange: their refusals never pass through the API.
_OTHERS = ("compute.node", "compute.engines", "exchange.client", "exchange.runner", "ledger.witness")


@dataclass(frozen=True, slots=True)
class Row:
    """One code.

    Args:
        en: what the code stands for; the answer itself says more.
    """

    code: str
    status: int
    zh: str
    en: str


def rows() -> list[Row]:
    """All codes in alphabetical order."""
    assert get_resolver().url_patterns  # noqa: S101  importing the URL map imports every app's errors
    found: dict[str, Row] = {}
    for kind in _subclasses(DomainError):
        code = getattr(kind, "code", "")
        if code not in found and isinstance(code, str):
            found[code] = Row(code, kind.status, _chinese(code), _first_line(kind.__doc__))
    for failure, code in problems.FRAMEWORK_CODES.items():
        found.setdefault(code, Row(code, failure.status_code, _chinese(code), str(failure.default_detail)))
    for code in sorted(codes.CODES):
        failure_code = codes.get(code)
        found.setdefault(code, Row(code, 409, failure_code.sentence("zh"), failure_code.sentence("en")))
    return sorted(found.values(), key=lambda row: row.code)


def markdown() -> str:
    """`docs/reference/errors.md`."""
    lines = [
        "# Error codes · 错误代码",
        "",
        "Drawn from the error classes by `manage.py error_table`; a test checks that this page is current.",
        "Every API error is `application/problem+json` (RFC 9457): `code` never changes, `detail` is written in the",
        "language of `Accept-Language` and says what to do next, `fields` names what is wrong with which field.",
        "",
        "本页由 `manage.py error_table` 从错误类生成。`code` 永不更改；",
        "`detail` 按 `Accept-Language` 给出，并说明下一步。",
        "",
        "| Code | Status | 中文 | English |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{row.code}` | {row.status} | {row.zh} | {row.en} |" for row in rows()]
    return "\n".join(lines) + "\n"


def _subclasses(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for sub in sorted(kind.__subclasses__(), key=lambda one: (one.__module__, one.__qualname__)):
        if sub.__module__.startswith(_OURS) and not sub.__module__.startswith(_OTHERS):
            yield sub
        yield from _subclasses(sub)


def _chinese(code: str) -> str:
    return sentences.sentence(code, english="", language="zh")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
