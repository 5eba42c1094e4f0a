"""The states of an objection, as a table; docs/states is drawn from it."""

from enum import StrEnum

from exchange.kernel.states import Owner, Transitions


class ObjectionState(StrEnum):
    """Where an objection stands, as the API shows it. Being overdue is no state: it can still be answered."""

    FILED = "filed"
    MARKED = "marked"
    ANSWERED = "answered"


_O = ObjectionState

OBJECTION: Transitions[ObjectionState] = Transitions(
    {
        _O.FILED: frozenset({_O.MARKED}),  # first the mark, then the answer: runs in between say disputed
        _O.MARKED: frozenset({_O.ANSWERED}),
        _O.ANSWERED: frozenset(),
    },
    owners={_O.FILED: Owner.PROVIDER, _O.MARKED: Owner.PROVIDER, _O.ANSWERED: Owner.NOBODY},
)

OPEN = frozenset({_O.FILED, _O.MARKED})
# The words as the API description names them (settings.SPECTACULAR_SETTINGS).
OBJECTION_CHOICES = [(state.value, state.value) for state in ObjectionState]
