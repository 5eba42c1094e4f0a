"""`manage.py revoke_key`: withdraw a registered key by the exchange's own signature."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from compute.protocol.key_documents import Reason
from exchange.kernel.errors import DomainError
from exchange.members.actions import key_revocations
from exchange.members.models import SigningKey


class Command(BaseCommand):
    """For members that have lost their keys; whoever still holds one withdraws by `hengshu keys revoke`."""

    help = "Withdraw a member's key, or the exchange's own old one, at once. There is no way back. Repeat-safe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="the key's text: did:key, address or sealing key")
        parser.add_argument("--reason", required=True, help="for people, 1 to 500 characters; stays out of the log")
        parser.add_argument("--code", choices=[str(one) for one in Reason], default=str(Reason.LOST))

    def handle(self, *args: Any, **options: Any) -> None:
        key = SigningKey.objects.named(options["key"]).first()
        if key is None:
            raise CommandError("No such key is registered; copy its text from the organisation's page.")
        try:
            done = key_revocations.revoke(key=key, reason=options["reason"], code=Reason(options["code"]))
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        self.stdout.write(f"withdrawn {done.purpose} key of {done.organization} since {done.revoked_at}")
