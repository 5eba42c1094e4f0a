"""Refusals: a code for programs that never changes, a sentence for people that says what to do next."""

from collections.abc import Mapping
from typing import ClassVar


class DomainError(Exception):
    """A request that the exchange, a node or a client understood and turned down.

    Subclasses set `code`, an upper-snake-case word that never changes once published. The message
    says what is so and what to do next; it never quotes a row, a key or an identifier.

    Args:
        message: one sentence or two, in English; pages and the API translate it by `code`.
        fields: for input errors, the field's name and what is wrong with it.
    """

    code: ClassVar[str] = "REFUSED"
    status: ClassVar[int] = 409

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})


class InvalidInput(DomainError):
    """The request itself is wrong; sending it again unchanged will not help."""

    code = "INVALID_INPUT"
    status = 400


class InvalidTransition(DomainError):
    """The thing is in a state from which this step does not lead anywhere."""

    code = "INVALID_TRANSITION"


class PermissionRefused(DomainError):
    """The person or organisation asking has no right to this step."""

    code = "PERMISSION_REFUSED"
    status = 403


class NotFound(DomainError):
    """Nothing by that reference that the asker may know of."""

    code = "NOT_FOUND"
    status = 404
