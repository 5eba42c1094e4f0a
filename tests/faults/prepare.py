"""What must be there before Django is: throw-away servers, settings, tables."""

import logging
import os
import time
from importlib import import_module


def prepare() -> None:
    """Start the servers of this process, set Django up and make the tables; once."""
    for variable in ("DATABASE_URL", "REDIS_URL", "CHAIN_RPC_URL"):
        os.environ.pop(variable, None)  # never a server that somebody uses
    os.environ |= {"DJANGO_SETTINGS_MODULE": "exchange.settings"}
    import_module("tests.services")  # starts PostgreSQL and Valkey, and names them in the environment

    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    connections.close_all()
    logging.disable(logging.CRITICAL)  # alarms are what is being provoked

    from compute import schedule as compute_schedule
    from compute.actions import authorizations, node_tasks
    from ledger import schedule
    from ledger.actions import deployments

    schedule.seal_later = _nobody_waits  # scenarios seal when it is time
    compute_schedule.advance_later = _nobody_waits  # and a case of compute has a beat of its own
    authorizations.DELIVERY_SECONDS = node_tasks.DELIVERY_SECONDS = 2  # so that a deadline may pass in a case
    deployments._pause = lambda: time.sleep(0.02)  # anvil mines a moment after it has taken a transaction


def _nobody_waits() -> None:
    pass
