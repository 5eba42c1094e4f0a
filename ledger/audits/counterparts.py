"""What an app declares of its tables: which rows owe the log which entries, and what state entries leave them in.

Each app has a module `audit` with `COUNTERPARTS`, a tuple of the three kinds below; the ledger reads them and
knows none of the tables. Every kind of entry is declared by somebody, if only as having no table.

- `Counterpart`: one entry for each row and one row for each entry, with the same facts
- `Standing`: a thing's entries lead along its transition table to the state that its row shows
- `Untabled`: kinds that no row is kept for, with the reason
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db.models import F, Model, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Collate, Concat
from django.utils.module_loading import module_has_submodule

from exchange.kernel.states import Transitions
from ledger.kinds import EntryKind
from ledger.models import Entry
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

CHUNK = 2000
KEY, SUBJECT, REF = "key", "subject", "ref"


@dataclass(frozen=True, slots=True)
class Owed:
    """What one row owes the log.

    Args:
        token: what finds the entry: its key, its subject or its ref, as the counterpart says.
        subject: URN the entry must be about.
        ref: names the row; no content.
        facts: members of the entry's payload and the values they must have.
        kind: which of the counterpart's kinds; the first unless told.
        optional: another entry may stand for it; where its own exists, they belong together.
    """

    token: str
    subject: str
    ref: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    kind: EntryKind | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Stands:
    """The state that a row shows; `facts` are those of the newest entry."""

    subject: str
    state: str
    ref: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counterpart:
    """Rows and entries that belong to each other, one to one.

    Args:
        table: the database table.
        by: KEY where entries have a business key, else SUBJECT, which may stand for several, or REF.
        rows: what the rows owe, ordered by token (`in_order` does it); streamed.
    """

    table: str
    kinds: tuple[EntryKind, ...]
    rows: Callable[[], Iterable[Owed]]
    by: str = KEY

    @property
    def name(self) -> str:
        return f"{self.table} {' '.join(self.kinds)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """States that rows show and entries lead to.

    Args:
        states: the state each kind of entry leaves its subject in. States of the table that are not
            named come and go without an entry.
        start: the states a thing may begin in.
        repeats: kinds that may follow each other in the same state.
    """

    table: str
    states: Mapping[EntryKind, str]
    rows: Callable[[], Iterable[Stands]]
    transitions: Transitions[Any]
    start: frozenset[str]
    repeats: frozenset[EntryKind] = frozenset()

    @property
    def kinds(self) -> tuple[EntryKind, ...]:
        return tuple(self.states)

    @property
    def name(self) -> str:
        return f"{self.table} state"

    def leads(self, before: str | None, after: str) -> bool:
        """Whether a thing may come from one state to another without an entry on the way; None: it begins."""
        loud = {str(state) for state in self.states.values()}
        waiting = [str(state) for state in self.start] if before is None else self._next(before)
        seen: set[str] = set()
        while waiting:
            state = waiting.pop()
            if state == after:
                return True
            if state not in seen and state not in loud:
                seen.add(state)
                waiting += self._next(state)
        return False

    def rests(self, last: str | None, now: str) -> bool:
        """Whether a row may show a state after its last entry."""
        if now == last:
            return True
        return now not in {str(state) for state in self.states.values()} and self.leads(last, now)

    def _next(self, state: str) -> list[str]:
        kind = type(next(iter(self.transitions.owners)))
        try:
            return [str(after) for after in kind if self.transitions.can(kind(state), after)]
        except ValueError:  # a state that is no word of the table
            return []


@dataclass(frozen=True, slots=True)
class Untabled:
    """Kinds of entries that no table has rows for."""

    kinds: tuple[EntryKind, ...]
    reason: str


Declaration = Counterpart | Standing | Untabled


def declared() -> list[Declaration]:
    """What every app declares, in the order of the installed apps."""
    found: list[Declaration] = []
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "audit"):
            found += getattr(import_module(f"{config.name}.audit"), "COUNTERPARTS", ())
    return found


def undeclared() -> set[EntryKind]:
    """Kinds that nobody has declared."""
    return set(EntryKind) - {kind for item in declared() for kind in item.kinds}


# --- for the apps' queries ----------------------------------------------------------------------------------


def text(*parts: Any) -> Any:
    """A text that the database puts together of literals and fields; `text("a:", F("ref"))`."""
    wrapped = [Value(part) if isinstance(part, str) else Cast(part, TextField()) for part in parts]
    return wrapped[0] if len(wrapped) == 1 else Concat(*wrapped, output_field=TextField())


def urn(kind: str, field_name: str) -> Any:
    """The URN of the thing whose reference stands in a field."""
    return text(f"urn:hengshu:{kind}:", F(field_name))


def entry_ref(field_name: str) -> Any:
    """The ref of the entry that a field points to; empty where there is none, whatever the constraints say."""
    found = Entry.objects.filter(pk=OuterRef(field_name)).values("ref")
    return Coalesce(Subquery(found), Value(""), output_field=TextField())


def agreed_digest(stored: str, document: Mapping[str, Any] | None) -> str:
    """A row's digest where it is that of the row's own document; otherwise a text that no entry holds."""
    try:
        return stored if document is not None and statements.digest(document) == stored else ""
    except (VerificationError, AttributeError, TypeError):  # what a changed column may hold is no document
        return ""


def in_order(rows: QuerySet[Any], token: Any) -> Iterator[Any]:
    """The rows with their `token`, in the order of its bytes, streamed."""
    ordered = rows.annotate(token=Collate(Cast(token, TextField()), "C")).order_by("token", "pk")
    yield from ordered.iterator(chunk_size=CHUNK)


def table_of(model: type[Model]) -> str:
    """The name of a model's table."""
    return str(model._meta.db_table)  # noqa: SLF001  Django documents it
