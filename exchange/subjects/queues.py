"""Read models of objections for pages: what waits, until when, the overdue first."""

from exchange.members.models import Organization
from exchange.subjects.models import Objection
from exchange.subjects.querysets import ObjectionQuerySet


def all_objections() -> ObjectionQuerySet:
    """Every objection, for staff: the open ones first, the longest overdue at the top."""
    return Objection.objects.select_related("computation", "organization").by_urgency()


def objections_to(organization: Organization) -> ObjectionQuerySet:
    """The same for one provider: its own only."""
    return all_objections().to(organization)


def waiting() -> int:
    """How many are not answered."""
    return Objection.objects.open().count()
