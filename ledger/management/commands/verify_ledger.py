"""Check the stored log against itself, the last checkpoint it signed, the chain, and the tables of the business."""

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from ledger import audits
from ledger.actions import deployments

PARTS = ("log", "chain", "business")


class Command(BaseCommand):
    """Rebuild what can be rebuilt in one snapshot and report every disagreement; exit 1 if there is one."""

    help = "Rebuilds the log from its entries and compares tiles, checkpoints, chain and the business tables."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
        parser.add_argument("--only", choices=PARTS, help="look at one part; all three unless told")
        parser.add_argument("--no-chain", action="store_true", help="compare rows only, and do not ask the chain")
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="where the file with the last signed checkpoint is gone: write it anew from a log that agrees",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings, counted = self._look(options)
        adoptable = [finding.code for finding in findings] == ["LOG_SIGNED_CHECKPOINT_MISSING"]
        if options["adopt"] and adoptable:
            audits.adopt()
            findings, counted = self._look(options)
        if options["json"]:
            listed = [{"code": one.code, "table": one.table, "ref": one.ref} for one in findings]
            self.stdout.write(json.dumps({"ok": not findings, "findings": listed, **counted}))
        else:
            for finding in findings:
                self.stdout.write(f"{finding.code}  {finding.where}")
            self.stdout.write(", ".join(f"{count} {name}" for name, count in counted.items()))
        if findings:
            raise CommandError(f"What is stored does not agree with itself in {len(findings)} places.")
        if not options["json"]:
            self.stdout.write("The log agrees with itself, with what it signed, and with every row that owes it.")

    def _look(self, options: dict[str, Any]) -> tuple[list[audits.Finding], dict[str, int]]:
        with transaction.atomic():
            if not connection.savepoint_ids:  # a snapshot of its own; inside a test there is one already
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return list(self._findings(options)), audits.counts()

    def _findings(self, options: dict[str, Any]) -> Iterator[audits.Finding]:
        parts = [options["only"]] if options["only"] else PARTS
        if "log" in parts:
            yield from audits.audit(self._progress)
        if "chain" in parts:
            backend = None if options["no_chain"] else deployments.configured_backend()
            yield from audits.audit_chain(backend, self._progress)
        if "business" in parts:
            yield from audits.audit_business(self._progress)

    def _progress(self, what: str, count: int) -> None:
        self.stderr.write(f"{count} {what}")
