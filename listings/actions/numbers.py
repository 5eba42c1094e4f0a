"""Business numbers without gaps: one row for each prefix and month, locked while a serial is taken."""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from exchange.kernel import identifiers
from listings.models import NumberSeries


@transaction.atomic
def next_number(prefix: str, *, now: datetime) -> str:
    """The next number of a prefix, such as `DPC-HS-202611-000001K`; a rolled-back one is given out again."""
    year_month = timezone.localtime(now).strftime("%Y%m")
    NumberSeries.objects.bulk_create([NumberSeries(prefix=prefix, year_month=year_month)], ignore_conflicts=True)
    series = NumberSeries.objects.select_for_update().get(prefix=prefix, year_month=year_month)
    series.last += 1
    series.save(update_fields=["last"])
    return identifiers.number(prefix, exchange=settings.EXCHANGE_CODE, year_month=year_month, serial=series.last)
