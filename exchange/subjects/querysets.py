"""Reads of objections that more than one caller needs."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from exchange.subjects.states import OPEN, ObjectionState

if TYPE_CHECKING:
    from exchange.members.models import Organization
    from exchange.subjects import models as tables

_OPEN = [state.value for state in OPEN]


class ObjectionQuerySet(models.QuerySet["tables.Objection"]):
    """Objections."""

    def open(self) -> "ObjectionQuerySet":
        """Those that wait for an answer."""
        return self.filter(state__in=_OPEN)

    def to(self, organization: "Organization") -> "ObjectionQuerySet":
        """Those to one organisation."""
        return self.filter(organization=organization)

    def by_ref(self, ref: str) -> "tables.Objection | None":
        """The objection of a reference, or None."""
        return self.select_related("computation").filter(ref=ref).first()

    def with_token(self, digest: str) -> "ObjectionQuerySet":
        """Those that one notice's token has filed: one for each provider at most."""
        return self.filter(token_digest=digest)

    def newly_overdue(self, now: datetime) -> "ObjectionQuerySet":
        """Unanswered after the last day, and not yet marked as such."""
        return self.open().filter(due_at__lte=now, overdue_at__isnull=True)

    def by_urgency(self) -> "ObjectionQuerySet":
        """Open ones first, the longest overdue at the top; then answered ones, the latest first."""
        is_answered = models.Case(
            models.When(state=ObjectionState.ANSWERED.value, then=models.Value(1)), default=models.Value(0)
        )
        return self.annotate(is_answered=is_answered).order_by("is_answered", "due_at", "pk")
