"""A throw-away exchange for benchmarks: a durable PostgreSQL, a Valkey, tables and keys; gone with the process.

It never uses a server that the environment names: benchmarks fill tables.
"""

import atexit
import io
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from exchange.runner import embedded, supervisor
from exchange.runner.supervisor import Process, Supervisor

SETTINGS = "exchange.settings"


@cache
def start() -> Path:
    """Start the servers, set Django up and make the tables; returns the run directory. Costs are not measured."""
    directory = Path(tempfile.mkdtemp(prefix="hengshu-bench-"))
    servers = Supervisor(logs=directory / "logs", say=lambda line: None)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(servers.stop)
    cluster = embedded.postgres(directory / "postgres")
    cluster.initialise()
    valkey = directory / "valkey"
    servers.start(
        Process("postgres", cluster.command(), supervisor.socket_answers(cluster.socket), cwd=Path("/")),
        Process("valkey", embedded.valkey_command(valkey), supervisor.socket_answers(valkey / "valkey.sock")),
    )
    os.environ.pop("CHAIN_RPC_URL", None)
    os.environ |= {
        "SECRET_KEY": "benchmarks only, never deployed",
        "DATABASE_URL": cluster.url,
        "REDIS_URL": embedded.valkey_url(valkey),
        "RUN_DIR": str(directory),
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "LOG_LEVEL": "WARNING",
    }
    _make_tables()
    return directory


def _make_tables() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("init_exchange", verbosity=0, stdout=io.StringIO())
