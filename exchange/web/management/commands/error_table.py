"""`manage.py error_table`: write docs/reference/errors.md from the error classes, or check that it is current."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchange.web import error_table

PAGE = "docs/reference/errors.md"


class Command(BaseCommand):
    """Writes or checks the table of error codes."""

    help = f"Write {PAGE} from the error classes; --check only compares."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="fail when the page is old")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / PAGE
        fresh = error_table.markdown()
        if not options["check"]:
            path.write_text(fresh)
        elif not path.exists() or path.read_text() != fresh:
            raise CommandError(f"{PAGE} is old; run: manage.py error_table")
