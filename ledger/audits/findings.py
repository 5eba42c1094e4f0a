"""What an audit finds, and how it tells of its progress."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

STEP = 50_000  # rows between two lines of progress

T = TypeVar("T")
Progress = Callable[[str, int], None]  # what is being looked at, and how many rows were


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. `table` and `ref` name a place, never a content."""

    code: str
    table: str
    ref: str

    @property
    def where(self) -> str:
        return f"{self.table} {self.ref}"


def silent(_what: str, _count: int) -> None:
    """Progress that nobody reads."""


def counted(rows: Iterable[T], what: str, progress: Progress) -> Iterator[T]:
    """The same rows; tells after every step how many went by."""
    for number, row in enumerate(rows, start=1):
        if not number % STEP:
            progress(what, number)
        yield row
