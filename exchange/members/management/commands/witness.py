"""Whom the exchange asks to cosign its checkpoints."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.kernel.errors import DomainError
from exchange.members.exchange_keys import exchange_organization
from ledger import actions as ledger
from ledger.models import Witness


class Command(BaseCommand):
    """Admits, withdraws and lists the log's witnesses; each change is an entry in the log."""

    help = "Admit, withdraw or list the witnesses that cosign the log's checkpoints."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        admit = verbs.add_parser("admit", help="ask this witness from now on")
        admit.add_argument("name", help="what pages call it")
        admit.add_argument(
            "vkey", help="its verifier key, as `hengshu witness key` or `hengshu-node witness key` shows it"
        )
        admit.add_argument("url", help="its submission prefix, http or https")
        withdraw = verbs.add_parser("withdraw", help="ask it no more; its cosignatures stay")
        withdraw.add_argument("name")
        verbs.add_parser("list", help="who is asked, and how the last request went")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except DomainError as refusal:
            raise CommandError(f"{refusal.code}: {refusal.message}") from refusal

    def _admit(self, options: dict[str, Any]) -> None:
        found = ledger.admit_witness(
            name=options["name"], vkey=options["vkey"], url=options["url"], issuer=exchange_organization().urn
        )
        self.stdout.write(f"admitted {found.name}  {found.url}")

    def _withdraw(self, options: dict[str, Any]) -> None:
        found = Witness.objects.filter(name=options["name"], withdrawn_at=None).first()
        if found is None:
            raise CommandError(f"No present witness is called {options['name']}; see: manage.py witness list")
        ledger.withdraw_witness(witness=found, issuer=exchange_organization().urn)
        self.stdout.write(f"withdrawn {found.name}; its cosignatures stay evidence")

    def _list(self, _: dict[str, Any]) -> None:
        for witness in Witness.objects.all():
            state = "withdrawn" if witness.withdrawn_at else witness.trouble or "answers"
            last = witness.cosignatures.order_by("-checkpoint__log_id", "-checkpoint__size").first()
            size = last.checkpoint.size if last else 0
            self.stdout.write(f"{witness.name}  {state}  cosigned up to {size}  {witness.url}  {witness.vkey}")
