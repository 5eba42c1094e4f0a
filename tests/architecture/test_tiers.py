"""Each tier starts on a machine that has never heard of the others' packages."""

import os
import subprocess
import sys

import pytest

_BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("blocked for this test: " + name, name=name)
sys.meta_path.insert(0, Blocked())
"""
COMPUTE = {"numpy", "pandas", "spu", "jax", "scipy", "phe", "duckdb", "opendp"}
WEB = {"django", "rest_framework", "celery", "web3", "psycopg", "allauth", "redis", "kombu", "pgtrigger"}


def _run(program: str, *, blocked: set[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "exchange.settings"}
    code = _BLOCK.format(blocked=blocked) + program
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_the_exchange_starts_without_the_compute_stack():
    found = _run(
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('check')\n"
        "import exchange.urls, exchange.wsgi, exchange.celery; exchange.celery.app.loader.import_default_modules()",
        blocked=COMPUTE,
    )

    assert found.returncode == 0, found.stderr[-2000:]


@pytest.mark.parametrize(
    "module",
    ["compute.node.cli", "compute.node.service", "compute.engines.registry", "compute.engines.launcher",
     "compute.protocol.documents", "ledger.proofs.receipts", "exchange.client.cli", "contracts.pricing"],
)  # fmt: skip
def test_node_client_and_proofs_start_without_web_and_numbers(module):
    found = _run(f"import {module}", blocked=WEB | COMPUTE)

    assert found.returncode == 0, found.stderr[-2000:]


@pytest.mark.parametrize("module", ["compute.engines.worker", "compute.engines.additive", "compute.engines.aligned"])
def test_engines_start_without_the_exchange(module):
    found = _run(f"import {module}", blocked=WEB)

    assert found.returncode == 0, found.stderr[-2000:]


def test_the_block_works():
    assert _run("import django", blocked=WEB).returncode != 0
