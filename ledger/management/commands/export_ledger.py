"""Write the log as files that a third party checks without us."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.kernel.errors import DomainError
from ledger.actions import archiving


class Command(BaseCommand):
    """Exports checkpoint, tiles, leaves, anchors and policies; `hengshu archive verify` checks them offline."""

    help = "Export the ledger as a signed, deterministic archive of files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, metavar="DIR", help="where to write it; must not exist yet")
        parser.add_argument("--log", type=int, help="the number of the only log to export; all unless told")
        parser.add_argument("--size", type=int, help="end with the checkpoint of this size")
        parser.add_argument("--tar", action="store_true", help="write one tar file instead of a directory")
        parser.add_argument(
            "--with-disclosures", action="store_true", help="open every leaf: contracts and prices are readable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = archiving.export(
                to=options["directory"],
                log=options["log"],
                size=options["size"],
                with_disclosures=options["with_disclosures"],
                as_tar=options["tar"],
                progress=lambda what, count: self.stderr.write(f"{count} {what}"),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        for shard in made.shards:
            self.stdout.write(f"log {shard.number}  {shard.origin}  {shard.size} leaves  root {shard.root}")
        self.stdout.write(f"{made.files} files in {made.path}; check them with: hengshu archive verify {made.path}")
