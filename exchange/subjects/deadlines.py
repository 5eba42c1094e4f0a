"""Until when an objection must be answered: within 20 days of its receipt (征信业管理条例 art. 25), days of Beijing.

The day of receipt does not count and the last day counts whole (民法典 art. 201, 203): filed at any hour of the 1st, an
objection may be answered until the 21st ends, and is overdue from the first moment of the 22nd.
"""

from datetime import datetime, time, timedelta, timezone

DAYS = 20
_CHINA = timezone(timedelta(hours=8))


def due(filed: datetime) -> datetime:
    """The first moment at which an unanswered objection is overdue."""
    last = filed.astimezone(_CHINA).date() + timedelta(days=DAYS)
    return datetime.combine(last + timedelta(days=1), time(), tzinfo=_CHINA)


def last_day(due_at: datetime) -> str:
    """The last day for an answer, as pages and the API show it: 2026-12-11."""
    return (due_at.astimezone(_CHINA).date() - timedelta(days=1)).isoformat()
