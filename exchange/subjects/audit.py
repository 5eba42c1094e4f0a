"""What the rows of objections owe the log: one entry for each step, and one for each that ran out of time."""

from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import F

from exchange.subjects.models import Objection
from exchange.subjects.states import OBJECTION, ObjectionState
from ledger.audits.counterparts import Counterpart, Owed, Standing, Stands, in_order, table_of, text, urn
from ledger.kinds import EntryKind

_E = EntryKind
_S = ObjectionState


def _steps(word: str, facts: Callable[[Objection], dict[str, Any]], **condition: Any) -> Callable[[], Iterator[Owed]]:
    def rows() -> Iterator[Owed]:
        found = Objection.objects.filter(**condition).select_related("computation", "organization")
        for row in in_order(found, text(f"objection-{word}:", F("ref"))):
            common = {"computation": row.computation.urn, "organization": row.organization.urn}
            yield Owed(row.token, row.urn, row.ref, {**common, **facts(row)})

    return rows


_filed = _steps("filed", lambda row: {"sealed_digest": row.digest, "last_day": row.last_day})
_marked = _steps("marked", lambda row: {}, marked_at__isnull=False)
_answered = _steps(
    "answered",
    lambda row: {"outcome": row.outcome, "sealed_digest": row.answer_digest},
    answered_at__isnull=False,
)
_overdue = _steps("overdue", lambda row: {"last_day": row.last_day}, overdue_at__isnull=False)


def _states() -> Iterator[Stands]:
    for row in in_order(Objection.objects.all(), urn("objection", "ref")):
        yield Stands(row.token, row.state, row.ref)


COUNTERPARTS = (
    Counterpart(table_of(Objection), (_E.OBJECTION_FILED,), _filed),
    Counterpart(table_of(Objection), (_E.OBJECTION_MARKED,), _marked),
    Counterpart(table_of(Objection), (_E.OBJECTION_ANSWERED,), _answered),
    Counterpart(table_of(Objection), (_E.OBJECTION_OVERDUE,), _overdue),
    Standing(
        table=table_of(Objection),
        states={_E.OBJECTION_FILED: _S.FILED, _E.OBJECTION_MARKED: _S.MARKED, _E.OBJECTION_ANSWERED: _S.ANSWERED},
        rows=_states,
        transitions=OBJECTION,
        start=frozenset({_S.FILED}),
    ),
)
