"""`manage.py rotate_log_key`: a new key for the open log; the checkpoint of that size carries both signatures."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.kernel.errors import DomainError
from exchange.members.exchange_keys import exchange_organization
from ledger import keys
from ledger.actions import chain_shards, deployments, shards
from ledger.models import Log


class Command(BaseCommand):
    """Logs the rotation, signs with both keys, puts the new file in the place of LOG_KEY_FILE, tells the contract."""

    help = "Rotate the log's key. Repeat-safe: run it again when it was cut off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--new", type=Path, help="the new key file, beside LOG_KEY_FILE; made when left out")
        parser.add_argument("--chain-only", action="store_true", help="only tell the contract the log's present key")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if not options["chain_only"]:
                new = options["new"] or shards.make_next_key()
                checkpoint = shards.rotate_key(new=new, issuer=exchange_organization().urn)
                self.stdout.write(f"log key       {checkpoint.log.vkey}\nboth signed   {checkpoint.size} leaves")
            backend = deployments.configured_backend()
            if backend is not None:
                chain_shards.show_log_key(Log.objects.open().get(), backend=backend, keys=keys.exchange_keys())
                self.stdout.write("the contract names the new key")
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
