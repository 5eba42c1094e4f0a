"""Check the stored log against itself and against the last checkpoint it signed."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger import audits


class Command(BaseCommand):
    """Rebuild the tree from the stored leaves and report every disagreement; exit 1 if there is one."""

    help = "Rebuilds the log from its leaves and compares tiles, checkpoints, entries and disclosures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
        parser.add_argument(
            "--adopt",
            action="store_true",
            help="where the file with the last signed checkpoint is gone: write it anew from a log that agrees",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = audits.audit()
        adoptable = [finding.code for finding in findings] == ["LOG_SIGNED_CHECKPOINT_MISSING"]
        if options["adopt"] and adoptable:
            audits.adopt()
            findings = audits.audit()
        counted = audits.counts()
        if options["json"]:
            listed = [{"code": finding.code, "where": finding.where} for finding in findings]
            self.stdout.write(json.dumps({"ok": not findings, "findings": listed, **counted}))
        else:
            for finding in findings:
                self.stdout.write(f"{finding.code}  {finding.where}")
            self.stdout.write(", ".join(f"{count} {name}" for name, count in counted.items()))
        if findings:
            raise CommandError(f"The log does not agree with itself in {len(findings)} places.")
        if not options["json"]:
            self.stdout.write("The log agrees with itself and with the last checkpoint it signed.")
