"""The exchange as one of its own members: its organisation, and its key file as the process reads it once."""

from compute.protocol.keyfiles import KeyFile
from exchange.members.errors import ExchangeNotReady
from exchange.members.models import Organization
from ledger import keys as ledger_keys


def exchange_keys() -> KeyFile:
    """The exchange's own keys: they sign its documents and send its direct chain records."""
    return ledger_keys.exchange_keys()


def exchange_organization() -> Organization:
    """The exchange's own row among the organisations; its URN issues what staff and the system decide.

    Raises:
        ExchangeNotReady: `manage.py init_exchange` has not been run.
    """
    found = Organization.objects.filter(is_exchange=True).first()
    if found is None:
        raise ExchangeNotReady("The exchange has not been set up; run: manage.py init_exchange")
    return found
