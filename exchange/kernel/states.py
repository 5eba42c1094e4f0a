"""State machines as tables: one table for each kind of thing, whichever door a request comes through."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from exchange.kernel.errors import InvalidTransition

S = TypeVar("S", bound=StrEnum)


class Owner(StrEnum):
    """Who may move a thing out of a state."""

    BUYER = "buyer"
    PROVIDER = "provider"
    PARTIES = "parties"
    STAFF = "staff"
    SYSTEM = "system"
    NOBODY = "nobody"


class Transitions(Generic[S]):
    """The allowed steps between the states of one kind of thing.

    Args:
        table: for every state, the states it may become; an end state maps to the empty set.
        owners: for every state, who moves the thing on.
    """

    def __init__(self, table: Mapping[S, frozenset[S]], *, owners: Mapping[S, Owner]) -> None:
        states = set(type(next(iter(table))))
        if set(table) != states or set(owners) != states:
            raise ValueError("every state needs a row in the table and an owner")
        self._table = dict(table)
        self.owners = dict(owners)

    def can(self, current: S, to: S) -> bool:
        return to in self._table[current]

    def check(self, current: S, to: S) -> None:
        """Raise InvalidTransition unless `current` may become `to`."""
        if not self.can(current, to):
            allowed = ", ".join(sorted(self._table[current])) or "nothing: it is final"
            raise InvalidTransition(f"{current} cannot become {to}; from here it may become {allowed}.")

    def is_final(self, state: S) -> bool:
        return not self._table[state]

    def reachable(self, start: S) -> frozenset[S]:
        """Every state that some chain of steps from `start` leads to, `start` included."""
        seen, waiting = {start}, [start]
        while waiting:
            for after in self._table[waiting.pop()] - seen:
                seen.add(after)
                waiting.append(after)
        return frozenset(seen)

    def sources(self, to: S) -> frozenset[S]:
        """The states that may become `to`: the WHERE clause of a conditional update."""
        return frozenset(state for state, after in self._table.items() if to in after)

    def mermaid(self) -> str:
        """Draw the table as a Mermaid state diagram, rows in declaration order."""
        lines = ["stateDiagram-v2"]
        for state, after in self._table.items():
            lines += [f"    {state} --> {to}" for to in sorted(after)]
            if not after:
                lines.append(f"    {state} --> [*]")
        return "\n".join(lines) + "\n"
