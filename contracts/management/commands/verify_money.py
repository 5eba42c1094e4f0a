"""`manage.py verify_money`: the books add up, balances are their postings, each counted run has one charge."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from contracts import audit
from contracts.errors import MoneyWrong
from contracts.models import Account, Transfer, UsageRecord


class Command(BaseCommand):
    """Audits the money in one snapshot; exits with an error and every finding when something is wrong."""

    help = "Check that the books add up and that every counted run was charged once."

    def handle(self, *_args: Any, **_options: Any) -> None:
        with transaction.atomic():
            if not connection.savepoint_ids:  # a snapshot of its own; inside a test there is one already
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = list(audit.findings())
            counts = (Transfer.objects.count(), Account.objects.count(), UsageRecord.objects.count())
        if found:
            raise MoneyWrong(" ".join(found))
        self.stdout.write("{} transfers, {} accounts, {} counted runs: in order".format(*counts))
