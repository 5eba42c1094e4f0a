"""`manage.py init_exchange`: the exchange's key files, its organisation, and its public keys."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from compute.protocol import keyfiles, shapes
from exchange.kernel import identifiers
from exchange.members.actions import organizations
from exchange.members.exchange_keys import exchange_keys
from ledger import keys as ledger_keys

_INVENTED = "91990000MA0HENG88"  # region 990000 exists nowhere: replace it by the operator's own code


class Command(BaseCommand):
    """Sets an exchange up: makes what is missing, keeps what is there, prints public halves only."""

    help = "Make the exchange's key files and organisation where they are missing; print the public halves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--uscc",
            default=_INVENTED + identifiers.uscc_check_character(_INVENTED),
            help="unified social credit code of the operator; an invented one by default",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        files = (
            ("exchange", settings.EXCHANGE_KEY_FILE),
            ("log", settings.LOG_KEY_FILE),
            ("revocation", settings.REVOCATION_KEY_FILE),
        )
        for name, path in files:
            if not Path(path).exists():
                keyfiles.save(keyfiles.generate(name), Path(path))
        organization = organizations.found_exchange(
            name_zh=settings.EXCHANGE_NAME_ZH,
            name_en=settings.EXCHANGE_NAME_EN,
            uscc=options["uscc"],
            card=exchange_keys().card(created=shapes.write_time(timezone.now())),
        )
        self.stdout.write(f"organization  {organization.urn}")
        self.stdout.write(f"document key  {exchange_keys().document_key}")
        self.stdout.write(f"chain address {exchange_keys().chain_address}")
        self.stdout.write(f"log key       {ledger_keys.log_vkey()}")
        self.stdout.write(f"log address   {ledger_keys.log_keys().chain_address}")
        self.stdout.write(f"revocation address {ledger_keys.revocation_keys().chain_address}")
