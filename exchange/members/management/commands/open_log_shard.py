"""`manage.py open_log_shard`: end the open log and begin the next one, under a new name and key."""

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
    """Freezes the open log for ever, opens the next, and tells the contract once the old one is anchored whole."""

    help = "Open the log's next shard, such as the new year's. There is no way back. Repeat-safe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--origin", required=True, help="the new log's name, such as hengshu.example/ledger/2027")
        parser.add_argument("--key", type=Path, help="the new key file, beside LOG_KEY_FILE; made when left out")
        parser.add_argument("--stolen", action="store_true", help="the old log's key was stolen: withdraw it first")

    def handle(self, *args: Any, **options: Any) -> None:
        issuer = exchange_organization().urn
        try:
            if options["stolen"]:
                old = Log.objects.exclude(origin=options["origin"]).order_by("-number").first()
                if old is not None:
                    shards.revoke_key(vkey=old.vkey, reason="compromised", issuer=issuer)
            existing = Log.objects.filter(origin=options["origin"]).exists()
            done = existing and not shards.next_key_file().exists() and options["key"] is None
            if done:
                log = Log.objects.get(origin=options["origin"])
            else:
                new = options["key"] or shards.make_next_key()
                log = shards.open_shard(origin=options["origin"], new=new, issuer=issuer)
            self.stdout.write(f"log {log.number}  {log.origin}\nlog key       {log.vkey}")
            backend = deployments.configured_backend()
            if backend is not None:
                found = chain_shards.open_next(log, backend=backend, keys=keys.exchange_keys())
                self.stdout.write(f"on chain      {found}")
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
