"""What people and programs see: sentences in two languages, tables, progress bars, or one JSON document."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

BAR_WIDTH = 24
_MARKS = {"PASS": "✓", "FAIL": "✗", "NOT CHECKED": "·"}


class Output:
    """Writes results to one stream and progress to another.

    With `as_json`, results are one JSON document on the first stream and nothing else is written.
    """

    def __init__(
        self, *, as_json: bool, language: str, stream: TextIO | None = None, progress: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self.language = language
        self._stream = stream or sys.stdout
        self._progress = progress or sys.stderr
        self._drawn = 0
        self._last: list[str] = []

    def pick(self, zh: str, en: str) -> str:
        return zh if self.language == "zh" else en

    def say(self, zh: str, en: str) -> None:
        """One sentence for people; nothing in JSON mode."""
        if not self.as_json:
            print(self.pick(zh, en), file=self._stream)

    def document(self, value: Any) -> None:
        """The result for programs; nothing otherwise."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, indent=2), file=self._stream)

    def facts(self, rows: Iterable[tuple[str, str, object]]) -> None:
        """Aligned lines of name and value; names are (zh, en)."""
        if self.as_json:
            return
        named = [(self.pick(zh, en), "" if value is None else str(value)) for zh, en, value in rows]
        width = max((columns(name) for name, _ in named), default=0)
        for name, value in named:
            print(f"{pad(name, width)}  {value}", file=self._stream)

    def table(self, titles: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]]) -> None:
        """A table with a title line; wide characters count double."""
        if self.as_json:
            return
        lines = [[self.pick(zh, en) for zh, en in titles]]
        lines += [["" if cell is None else str(cell) for cell in row] for row in rows]
        widths = [max(columns(line[index]) for line in lines) for index in range(len(titles))]
        for line in lines:
            cells = [pad(cell, width) for cell, width in zip(line, widths, strict=True)]
            print("  ".join(cells).rstrip(), file=self._stream)

    def bars(self, rows: Sequence[tuple[str, int, str]]) -> None:
        """Progress of several parties, (name, percent, word); redrawn in place on a terminal."""
        if self.as_json:
            return
        width = max((columns(name) for name, _, _ in rows), default=0)
        lines = [f"{pad(name, width)} {bar(percent)} {percent:3d} %  {word}" for name, percent, word in rows]
        if lines == self._last:
            return
        if self._progress.isatty():
            if self._drawn:
                self._progress.write(f"\x1b[{self._drawn}A")
            self._progress.writelines(f"\x1b[2K{line}\n" for line in lines)
            self._drawn = len(lines)
        else:
            changed = [line for line in lines if line not in self._last]
            self._progress.writelines(f"{line}\n" for line in changed)
        self._progress.flush()
        self._last = lines

    def check(self, status: str, sentence: str, detail: str = "") -> None:
        """One line of a verification."""
        if not self.as_json:
            print(f"{_MARKS[status]} {status:<11} {sentence}", file=self._stream)
            if detail:
                print(f"{'':14}{detail}", file=self._stream)

    def error(self, code: str, zh: str, en: str) -> None:
        """Why the command was not done: code, then what to do."""
        if self.as_json:
            problem = {"error": {"code": code, "message": self.pick(zh, en)}}
            print(json.dumps(problem, ensure_ascii=False), file=self._progress)
        else:
            print(f"{code}: {self.pick(zh, en)}", file=self._progress)


def bar(percent: int) -> str:
    """A progress bar of fixed width."""
    filled = max(0, min(100, percent)) * BAR_WIDTH // 100
    return "█" * filled + "░" * (BAR_WIDTH - filled)


def columns(text: str) -> int:
    """How many terminal columns a text takes; Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def pad(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def yuan(amount_fen: int) -> str:
    """Fen as yuan with two places."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100}.{abs(amount_fen) % 100:02d}"
