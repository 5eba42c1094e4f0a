"""What a case happens in: a database, a chain, key files, workers that can be killed, and a superuser.

One PostgreSQL for each process that runs cases, made by `tests.services`; each case gets a copy of the empty
database, an anvil of its own, fresh key files and a memory of what was signed.
"""

import os
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, connections
from django.test import Client

from exchange.runner import embedded, supervisor
from ledger import actions as ledger
from ledger import audits, keys
from ledger.actions import deployments, log
from ledger.actions.anchoring import AnchorPass, anchor_pass
from ledger.backends.evm import EVMBackend
from ledger.errors import LogBehindSignedCheckpoint, SignedCheckpointMissing
from ledger.kinds import EntryKind
from ledger.models import ChainDeployment, Disclosure, Entry, Pending
from ledger.proofs import canonical, leaves
from ledger.proofs.errors import VerificationError
from tests.factories import witnesses
from tests.factories.ledger import EXCHANGE, exchange_key_files
from tests.faults import outside, points
from tests.faults.verdicts import Broken

SUBJECTS = [f"urn:hengshu:computation:01JD000000000000000000000{number}" for number in range(1, 5)]
PASSES = 8  # an anchoring pass is one step; every fault here must heal within so many
_PATIENCE_SECONDS = 20.0


class Anvil:
    """One development chain; gone with `stop`."""

    def __init__(self, *, born: int = 0) -> None:
        """Args: born: the genesis block's time in Unix seconds, now by default; two of one second are the same."""
        self.port = supervisor.free_ports(1, start=20_000 + os.getpid() * 7 % 20_000)[0]
        command = embedded.anvil_command(port=self.port, state=None)
        self._process = subprocess.Popen(
            [*command, "--timestamp", str(born or int(time.time()))], stdout=subprocess.DEVNULL
        )
        ready, until = supervisor.port_answers(self.port), time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            with suppress(OSError):
                if ready():
                    return
            time.sleep(0.01)
        raise RuntimeError("anvil did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


class Worker:
    """A forked process that does one piece of work and stops at a named moment until it is told to go on, or killed."""

    def __init__(self, work: Callable[[], Any], *, at: str, nth: int) -> None:
        connections.close_all()
        self._ended = False
        told, self._tell = os.pipe()
        self._heard, hears = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(work, at=at, nth=nth, told=told, hears=hears)
        os.close(told)
        os.close(hears)

    def _be(self, work: Callable[[], Any], *, at: str, nth: int, told: int, hears: int) -> None:
        code = 1
        try:
            os.close(self._tell)
            os.close(self._heard)
            if at:
                points.arm(at, lambda: _wait(told, hears), nth=nth)
            work()
            code = 0
        except BaseException:  # noqa: BLE001  a child must never return into its parent's stack
            traceback.print_exc()
        finally:
            os._exit(code)

    def reached(self) -> bool:
        """Wait until the moment has come; False when the work ended without it."""
        return os.read(self._heard, 4) == b"here"

    def go_on(self) -> None:
        os.write(self._tell, b"!")

    def kill(self) -> None:
        """kill -9: no handler, no rollback of its own, no goodbye to the database."""
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Wait for the end; returns the exit code, negative for a signal."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._ended = True
        os.close(self._heard)
        return code

    def put_away(self) -> None:
        """End it if the case went wrong before it was its turn."""
        if not self._ended:
            self.kill()
        with suppress(OSError):
            os.close(self._tell)


def _wait(told: int, hears: int) -> None:
    os.write(hears, b"here")
    os.read(told, 1)


class World:
    """Everything of one case. `rng` draws what varies."""

    def __init__(self, *, seed: int, name: str, closing: ExitStack) -> None:
        self.rng = random.Random(f"{name} {seed}")
        self.closing = closing
        self.directory = Path(tempfile.mkdtemp(prefix="hengshu-faults-"))
        closing.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.database = f"case_{secrets.token_hex(6)}"
        self.copy_database(template(), self.database)
        self._use(self.database)
        closing.callback(self._drop)
        settings.CHAIN_RPC_URL = ""
        settings.CHAIN_CONTRACT_ADDRESS = ""
        (self.directory / "keys").mkdir()
        exchange_key_files(settings, self.directory / "keys")
        settings.REVOCATION_KEY_FILE = self.directory / "keys" / "revocation.key.json"
        first = log.open_first()
        self.origin, self.vkey = first.origin, first.vkey
        self.chain_url = self.address = self.genesis = ""
        self._client = Client(raise_request_exception=False, headers={"host": "localhost"})

    # --- the chain -------------------------------------------------------------------------------------------

    def start_chain(self) -> Anvil:
        """Begin a fresh chain, put the contract on it, and look at it from now on."""
        anvil = Anvil()
        self.closing.callback(anvil.stop)
        self.look_at(anvil.url)
        self.deploy()
        return anvil

    def look_at(self, url: str, *, through: str = "") -> None:
        """Make this the configured chain; the exchange may see it through a proxy, the judges never do."""
        self.chain_url = url
        settings.CHAIN_RPC_URL = through or url

    def deploy(self) -> ChainDeployment:
        backend = EVMBackend(self.chain_url)
        deployment = deployments.deploy(backend=backend, anchor=keys.log_keys(), record=keys.exchange_keys())
        self.address, self.genesis = deployment.contract_address, deployment.genesis_hash
        return deployment

    def rpc(self, method: str, *parameters: Any) -> Any:
        return outside.rpc(self.chain_url, method, *parameters)

    # --- the log ---------------------------------------------------------------------------------------------

    def record(self, count: int) -> None:
        """Facts as the business writes them, each with its disclosure and its place in the queue; in one commit."""
        rows = []
        for number in range(count):
            payload, salt = canonical.encode({"number": number, "dice": self.rng.randrange(2**32)}), os.urandom(32)
            entry = Entry(
                kind=EntryKind.COMPUTATION_REQUESTED,
                subject=self.rng.choice(SUBJECTS),
                issuer=EXCHANGE,
                commit=leaves.commitment(payload, salt=salt),
            )
            rows.append((entry, payload, salt))
        Entry.objects.bulk_create([entry for entry, _, _ in rows])
        Disclosure.objects.bulk_create([Disclosure(entry=entry, payload=data, salt=salt) for entry, data, salt in rows])
        Pending.objects.bulk_create([Pending(entry=entry) for entry, _, _ in rows])

    def grow(self, count: int) -> int:
        """Record and seal; returns the size signed."""
        self.record(count)
        checkpoint = ledger.seal()
        if checkpoint is None:
            raise Broken("nothing was signed over new entries")
        return checkpoint.size

    def some(self, most: int = 300) -> int:
        """A number of entries: often few, sometimes over a tile."""
        return self.rng.choice([1, 2, 3, 10, self.rng.randint(4, most), self.rng.randint(250, 262)])

    def seal_refused(self) -> str:
        """The code with which sealing is refused; "" when it is not."""
        try:
            ledger.seal()
        except (LogBehindSignedCheckpoint, SignedCheckpointMissing) as refusal:
            return refusal.code
        return ""

    def remembered(self) -> bytes:
        """The file outside the database."""
        return keys.signed_checkpoint_file().read_bytes()

    # --- passes, workers and audits --------------------------------------------------------------------------

    def anchor(self) -> AnchorPass:
        return anchor_pass()

    def settle(self) -> None:
        """Seal and anchor until the chain holds the whole log, as the beat does."""
        ledger.seal()
        for _ in range(PASSES):
            if anchor_pass().outcome == "nothing_new":
                return
        raise Broken(f"not settled after {PASSES} passes: {anchor_pass()}")

    def worker(self, work: Callable[[], Any], *, at: str = "", nth: int = 1) -> Worker:
        made = Worker(work, at=at, nth=nth)
        self.closing.callback(made.put_away)
        return made

    def findings(self) -> list[str]:
        """What `verify_ledger` finds in the log and against the chain, as codes and places."""
        backend = EVMBackend(settings.CHAIN_RPC_URL) if settings.CHAIN_RPC_URL else None
        found = [*audits.audit(), *audits.audit_chain(backend)]
        return [f"{finding.code} {finding.where}" for finding in found]

    def witness(self, name: str) -> witnesses.Running:
        """A real witness on loopback, asked by the exchange from now on."""
        current = log.open_first()
        return self.closing.enter_context(witnesses.admitted(self.directory / name, log=current, name=name))

    def fetch(self, path: str) -> bytes:
        """What a stranger gets below /ledger/."""
        response = self._client.get(f"/ledger/{path}")
        if response.status_code != 200:
            raise VerificationError("NOT_SERVED", f"/ledger/{path}: {response.status_code}")
        return response.content

    # --- the database ----------------------------------------------------------------------------------------

    def sql(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """A question to the database past the exchange's own code."""
        with psycopg.connect(self._dsn(self.database), autocommit=True) as reader:
            cursor = reader.execute(question, values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Cursor[Any]]:
        """A session that no trigger and no foreign key holds back; commits at its end."""
        with psycopg.connect(self._dsn(self.database)) as session, session.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            yield cursor

    def backup(self) -> str:
        """A copy of the database as it is; returns its name."""
        name = f"{self.database}_{secrets.token_hex(2)}"
        connections.close_all()
        self.copy_database(self.database, name)
        return name

    def restore(self, backup: str) -> None:
        """Work on the copy from now on, as after a restored backup. Files and chain stay as they are."""
        self._use(backup)

    def copy_database(self, template_name: str, name: str) -> None:
        with psycopg.connect(self._dsn("template1"), autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_name}" STRATEGY FILE_COPY')

    def _use(self, name: str) -> None:
        connections.close_all()
        self.database = name
        connection.settings_dict["NAME"] = name

    def _drop(self) -> None:
        connections.close_all()
        connection.settings_dict["NAME"] = template()
        with psycopg.connect(self._dsn("template1"), autocommit=True) as admin:
            stem = self.database.split("_", 2)
            found = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", ["_".join(stem[:2]) + "%"])
            for (name,) in found.fetchall():
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @staticmethod
    def _dsn(name: str) -> str:
        there = connection.settings_dict
        host = there["HOST"] or there["OPTIONS"].get("host")
        return f"host={host} user={there['USER']} dbname={name}"


def template() -> str:
    """The empty database that `prepare` has filled with tables."""
    return "postgres"


@contextmanager
def world(name: str, seed: int) -> Iterator[World]:
    """A fresh world for one case; nothing of it is left."""
    with ExitStack() as closing:
        yield World(seed=seed, name=name, closing=closing)
