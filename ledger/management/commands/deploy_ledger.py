"""`python manage.py deploy_ledger`: make sure the ledger contract stands on the configured chain."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.kernel.errors import DomainError
from ledger import keys
from ledger.actions import deployments


class Command(BaseCommand):
    """Deploys the committed contract once per chain; a chain that was reset gets a new epoch."""

    help = "Deploy the ledger contract on CHAIN_RPC_URL, or record the one at CHAIN_CONTRACT_ADDRESS. Repeat-safe."

    def handle(self, *args: Any, **options: Any) -> None:
        backend = deployments.configured_backend()
        if backend is None:
            self.stdout.write("No chain is configured (CHAIN_RPC_URL is empty); anchors wait, everything else works.")
            return
        try:
            deployment = deployments.deploy(backend=backend, anchor=keys.log_keys(), record=keys.exchange_keys())
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        self.stdout.write(f"epoch {deployment.epoch}: {deployment.contract_address} on chain {deployment.chain_id}")
