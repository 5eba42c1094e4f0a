"""`manage.py rotate_exchange_key`: a new document key for the exchange, signed for by the old one."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.kernel.errors import DomainError
from exchange.members.actions import exchange_rotation


class Command(BaseCommand):
    """Logs the rotation, then puts the new file in the place of EXCHANGE_KEY_FILE; the old one is kept beside it."""

    help = "Rotate the exchange's document key. Repeat-safe: run it again when it was cut off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--new", type=Path, help="the new key file, beside EXCHANGE_KEY_FILE; made when left out")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = exchange_rotation.rotate_exchange_key(new=options["new"] or exchange_rotation.make_next_key())
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        self.stdout.write(f"exchange key  {key}")
        self.stdout.write("Members follow with: hengshu policy fetch; nodes with: hengshu-node policy update")
