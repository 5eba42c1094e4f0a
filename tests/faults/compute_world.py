"""A whole exchange for one case: the real one over HTTP on loopback, real nodes, real engine processes.

The nodes are daemons in threads of this process, so that a scenario can give one a wrong clock or a full disk; where
a node itself is to be killed it is a process (`armed_node`). What judges reads the database with SQL, the nodes' own
files with sqlite3, and the kernel's list of processes.
"""

import csv
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.utils import timezone

from compute.actions import advance, computations, dispatch
from compute.agreements import signed_terms
from compute.engines import registry
from compute.node import config as configuration
from compute.node import consents, datasets
from compute.node.store import Store
from compute.protocol import keyfiles, operations, sealing
from contracts.models import Contract
from exchange.runner import canary
from ledger import actions as ledger
from ledger import keys as ledger_keys
from ledger.proofs import statements
from tests.factories import compute as factory
from tests.faults import world as base
from tests.faults.compute_parties import Party, three_ports
from tests.faults.verdicts import Broken

ENDS = frozenset({"released", "failed", "withheld", "expired", "rejected", "withdrawn"})
PATIENCE_SECONDS = 40.0
SCHEMA = """
[dataset]
encoding = "utf-8"
id = "person_id"
block_dimensions = ["district", "age_band"]
[columns.person_id]
type = "text"
[columns.district]
type = "category"
values = ["North", "South"]
[columns.age_band]
type = "category"
values = ["20-29", "30-39"]
[columns.base]
type = "{type}"
{bounds}
"""
NUMBER = {"type": "decimal", "bounds": "scale = 2\nmin = 0\nmax = 60000"}
CATEGORY = {"type": "category", "bounds": 'values = ["low", "high"]'}


class ComputeContract(factory.World):
    """The contract of the tests' factory, over datasets that real nodes hold."""

    def __init__(self, commit: Callable[[str, str], str], **kwargs: Any) -> None:
        self._commit = commit
        super().__init__(**kwargs)

    def product(self, name: str) -> Any:
        made = super().product(name)
        made.version.dataset_commitment = self._commit(name, self.organizations[name].urn)
        made.version.save(update_fields=["dataset_commitment"])
        return made


class World(base.World):
    """Everything of one case. `rng` draws what varies."""

    def __init__(self, *, seed: int, name: str, closing: ExitStack) -> None:
        super().__init__(seed=seed, name=name, closing=closing)
        self.seed = seed
        self._reader: psycopg.Connection[Any] | None = None
        self.parties: dict[str, Party] = {}
        self.deal: ComputeContract | None = None
        self.released = 0
        self.leftovers = 0
        self._halt = threading.Event()
        self._kept = (settings.TASK_LEASE_SECONDS, settings.COMPUTATION_DEADLINE_SECONDS)
        closing.callback(self._put_back)
        self.url = self._serve()

    # --- setting up -------------------------------------------------------------------------------------------

    def agree(
        self,
        *,
        base_column: Mapping[str, Mapping[str, str]] | None = None,
        rows: Mapping[str, int] | None = None,
        relay: str | None = None,
        shared: int | None = None,
        walled: bool = False,
        down: tuple[str, ...] = (),
        operation: str = operations.JOINT_STATISTICS,
    ) -> None:
        """Two funds (and a helper, where the operation needs one) with rows, nodes, and a contract with the bank.

        Args:
            base_column: another type of `base` in a party's schema. rows: how many persons a party has.
            relay: every node's. shared: persons in both tables; None: as it comes. walled: nobody reaches a peer at
                its own address. down: nodes that are not started yet.
        """

        def commit(name: str, urn: str) -> str:
            party = self._party(name, urn, relay=relay)
            kind = (base_column or {}).get(name, NUMBER)
            count = (rows or {}).get(name, self.rng.randint(60, 120))
            party.rows = self._rows(name, count, kind)
            if shared is not None and name == "fund-b":
                for place in range(shared):
                    party.rows[place]["person_id"] = self.parties["fund-a"].rows[place]["person_id"]
            return self._add(party, kind)

        choices = {"max_concurrency": 4, "quota_total": 50, "quota_per_day": 50, "rate_per_minute": 50}
        self.deal = ComputeContract(commit, operation=operation, choices=choices)
        if "helper" in self.deal.organizations:
            self._party("helper", self.deal.organizations["helper"].urn, relay=relay)
        terms = signed_terms(self.deal.contract)
        for name, party in self.parties.items():
            consents.accept_contract(terms, config=party.config, keys=factory.keys_of(name), store=party.store)
            consents.set_standing(store=party.store, contract=terms["id"], expires=None, per_day=None, chosen=None)
            party.store.close()
        self._pump = threading.Thread(target=self._advance, name="beat", daemon=True)
        self._pump.start()
        for name, party in self.parties.items():
            self.closing.callback(party.stop)
            party.is_walled = walled
            if name not in down:
                party.start()

    def _party(self, name: str, urn: str, *, relay: str | None) -> Party:
        home = self.directory / "members" / name
        keyfiles.save(factory.keys_of(name), home / "key.json")
        found: dict[str, Any] = {
            "name": name,
            "organization": urn,
            "key_file": "key.json",
            "min_group": 10,
            "poll_milliseconds": 150,
            **({} if relay is None else {"relay": relay}),
            "exchange": {
                "url": self.url,
                "document_key": ledger_keys.exchange_keys().document_key,
                "log_origin": settings.LOG_ORIGIN,
                "log_key": ledger_keys.log_vkey(),
            },
            "engine": {"host": "127.0.0.1", "base_port": three_ports()},
        }
        config = configuration.write(home, found)
        self.parties[name] = Party(name, config, Store(config.database, clock=timezone.now))
        return self.parties[name]

    def _rows(self, name: str, count: int, kind: Mapping[str, str]) -> list[dict[str, str]]:
        start = self.rng.randrange(10_000, 80_000)
        number = kind["type"] == "decimal"
        return [
            {
                "person_id": f"99010119{name[-1].encode()[0]:04d}{start + place:06d}",
                "district": ("North", "South")[place % 2],
                "age_band": ("20-29", "30-39")[place // 2 % 2],
                "base": f"{self.rng.randrange(10_000, 59_999)}.{self.rng.randrange(10, 99)}" if number else "low",
            }
            for place in range(count)
        ]

    def _add(self, party: Party, kind: Mapping[str, str]) -> str:
        table, schema = party.config.home / "people.csv", party.config.home / "people.toml"
        schema.write_text(SCHEMA.format(**kind))
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["person_id", "district", "age_band", "base"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(party.rows)
        name = party.name.replace("-", "_")
        added = datasets.add(table, name=name, schema_path=schema, root=party.config.datasets, store=party.store)
        return str(added["commitment"])

    # --- a run ------------------------------------------------------------------------------------------------

    @property
    def contract(self) -> Contract:
        if self.deal is None:
            raise RuntimeError("call agree first")
        return self.deal.contract

    def ask(self) -> str:
        """The bank's signed request; returns the computation's reference."""
        if self.deal is None:
            raise RuntimeError("call agree first")
        return str(computations.submit(document=self.deal.request(), by=self.deal.buyer).ref)

    def withdraw(self, ref: str) -> None:
        if self.deal is not None:
            computations.withdraw(computation=computations.Computation.objects.get(ref=ref), by=self.deal.buyer)

    def state(self, ref: str) -> tuple[str, str, str]:
        """State, code and stage of a computation, from its row."""
        found = self.sql("SELECT state, end_code, end_stage FROM compute_computation WHERE ref = %s", ref)
        return found[0] if found else ("", "", "")

    def sql(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """As in the other worlds, over one connection for the whole case: it is asked a hundred times a second."""
        if self._reader is None or self._reader.closed:
            self._reader = psycopg.connect(self._dsn(self.database), autocommit=True)
            self.closing.callback(self._reader.close)
        cursor = self._reader.execute(question, values or None)
        return cursor.fetchall() if cursor.description else []

    def wait(self, ref: str, *states: str, seconds: float = PATIENCE_SECONDS) -> tuple[str, str, str]:
        """Wait for one of the states, any end by default."""
        wanted, until = frozenset(states) or ENDS, time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.state(ref)
            if found[0] in wanted:
                return found
            if found[0] in ENDS:
                raise Broken(f"ended {found} on the way to {', '.join(sorted(wanted))}")
            time.sleep(0.02)
        raise Broken(f"stays {self.state(ref)} for {seconds:.0f} s: {self.tasks(ref)}")

    def tasks(self, ref: str) -> list[tuple[Any, ...]]:
        return self.sql(
            "SELECT t.rank, t.state, t.stage, t.percent, t.report->>'code' FROM compute_nodetask t"
            " JOIN compute_computation c ON c.id = t.computation_id WHERE c.ref = %s ORDER BY t.rank",
            ref,
        )

    def until(self, condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until something holds; Broken, in these words, when it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.005)
        raise Broken(what)

    def engine_at(self, name: str, stage: tuple[str, ...], *, of: str, percent: int = 0) -> int | None:
        """The process id of a party's newest engine once it is at a stage; None when it, or the run, ended before."""
        started = self.parties[name].launcher.started
        self.until(lambda: started or self.state(of)[0] in ENDS, f"the engine of {name} never started")
        run = started[-1] if started else None
        while run is not None and not run.is_finished():
            now = run.progress()
            if now[0] in stage and now[1] >= percent:
                return int(run._run.pid)
            time.sleep(0.001)
        return None

    # --- judging ----------------------------------------------------------------------------------------------

    def check_void(self, ref: str) -> str:
        """It has ended with a code and left nothing: no charge, no part, no hold, no file, no process; the code."""
        state, code, stage = self.wait(ref)
        urn = f"urn:hengshu:computation:{ref}"
        if state == "released" or not code:
            raise Broken(f"ended {state} {code!r} at {stage!r}")
        counts = {
            "charges": "SELECT COUNT(*) FROM contracts_transfer WHERE kind = 'charge' AND subject = %s",
            "usage records": "SELECT COUNT(*) FROM contracts_usagerecord WHERE subject = %s",
            "charges in the log": "SELECT COUNT(*) FROM ledger_entry"
            " WHERE kind = 'settlement.charged' AND subject = %s",
            "results": "SELECT COUNT(*) FROM ledger_entry WHERE kind = 'result.accepted' AND subject = %s",
            "reservations that hold": "SELECT COUNT(*) FROM contracts_reservation"
            " WHERE subject = %s AND state <> 'released'",
        }
        for what, question in counts.items():
            if number := self.sql(question, urn)[0][0]:
                raise Broken(f"{number} {what} of a run that ended {state} {code}")
        parts = self.sql(
            "SELECT COUNT(*) FROM compute_sealedpart p JOIN compute_nodetask t ON t.id = p.task_id"
            " JOIN compute_computation c ON c.id = t.computation_id WHERE c.ref = %s",
            ref,
        )[0][0]
        if parts:
            raise Broken(f"{parts} parts are kept of a run that ended {state} {code}")
        self._check_money()
        for party in self.parties.values():
            self.until(
                lambda party=party: party.state_of(urn) in ("", "void", "sent"),
                f"{party.name} still holds the job: {party.state_of(urn)}",
            )
        return code

    def check_next(self, ref: str = "") -> None:
        """Another run, asked for now or before: released, right to the last digit, charged once, nothing left over."""
        ref = ref or self.ask()
        state, code, stage = self.wait(ref)
        if state != "released":
            raise Broken(f"the next run ended {state} {code} at {stage}: {self.tasks(ref)}")
        urn = f"urn:hengshu:computation:{ref}"
        charges = self.sql("SELECT COUNT(*) FROM contracts_transfer WHERE kind = 'charge' AND subject = %s", urn)
        if charges[0][0] != 1:
            raise Broken(f"{charges[0][0]} charges for one released run")
        if self._opened(ref) != self._expected():
            raise Broken("a released result is not the sum of the parties' rows")
        self._check_money()
        for party in self.parties.values():
            self.until(lambda party=party: party.state_of(urn) == "sent", f"{party.name} has not closed the job")

    def check_clean(self) -> None:
        """Nothing of any run lies about: files, processes, units on hold, and no value of a row in the exchange."""
        for party in self.parties.values():
            self.until(
                lambda party=party: not list(party.config.work.iterdir()), f"files are left in {party.name}'s work"
            )
            meters = party.sql("SELECT reserved, committed FROM meters")
            sent = party.sql("SELECT COUNT(*) FROM jobs WHERE state = 'sent'")[0][0]
            if meters != [(0, sent)]:
                raise Broken(f"{party.name}'s meter says {meters} after {sent} parts were taken")
        if left := _engines(self.directory):
            raise Broken(f"engines are left: {left}")
        self._check_no_row()

    def _check_money(self) -> None:
        total, unbalanced = self.sql(
            "SELECT COALESCE(SUM(amount_fen), 0), (SELECT COUNT(*) FROM (SELECT transfer_id FROM contracts_posting"
            " GROUP BY transfer_id HAVING SUM(amount_fen) <> 0) AS broken) FROM contracts_posting"
        )[0]
        if total or unbalanced:
            raise Broken(f"postings add up to {total}, {unbalanced} transfers do not balance")

    def _check_no_row(self) -> None:
        """No value of any row in any table of the exchange, in any form that a value could take."""
        values = [row[column] for party in self.parties.values() for row in party.rows[::7] for column in _SECRET]
        needles = {needle for value in values for _, needle in canary.forms(value) if len(needle) >= 6}
        for (table,) in self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            text = "\n".join(row[0] for row in self.sql(f'SELECT t::text FROM "{table}" t')).encode()
            if any(needle in text for needle in needles):
                raise Broken(f"a value of a row stands in {table}")

    def _opened(self, ref: str) -> dict[str, tuple[int, Decimal]]:
        """The result as the bank opens it: count and sum by district."""
        rows = self.sql(
            "SELECT p.ciphertext, t.rank, a.job, c.request FROM compute_sealedpart p"
            " JOIN compute_nodetask t ON t.id = p.task_id JOIN compute_computation c ON c.id = t.computation_id"
            " JOIN compute_authorization a ON a.computation_id = c.id WHERE c.ref = %s ORDER BY t.rank",
            ref,
        )
        job, request = rows[0][2], rows[0][3]
        digest, key = statements.digest(job), factory.keys_of("bank").sealing
        parts = [
            sealing.open_sealed(bytes(sealed), key=key, info=sealing.part_context(job_digest=digest, rank=rank))
            for sealed, rank, _, _ in rows
        ]
        opened = registry.get(job["engine"]).open(parts, job=job, request=request).describe()
        return {cell["group"]["district"]: (cell["count"], Decimal(cell["sum"])) for cell in opened["cells"]}

    def _expected(self) -> dict[str, tuple[int, Decimal]]:
        """The same, added up from the rows in another way."""
        found: dict[str, tuple[int, Decimal]] = {}
        for party in self.parties.values():
            blocks: dict[tuple[str, str], list[Decimal]] = {}
            for row in party.rows:
                blocks.setdefault((row["district"], row["age_band"]), []).append(Decimal(row["base"]))
            for (district, _), block in blocks.items():
                if len(block) >= 10:
                    count, total = found.get(district, (0, Decimal(0)))
                    found[district] = (count + len(block), total + sum(block))
        return found

    # --- inner parts ------------------------------------------------------------------------------------------

    def _serve(self) -> str:
        class Quiet(WSGIRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet, allow_reuse_address=True)
        server.set_app(get_wsgi_application())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.closing.callback(thread.join, 5)
        self.closing.callback(server.server_close)
        self.closing.callback(server.shutdown)
        self.closing.callback(self._halt.set)
        return f"http://127.0.0.1:{server.server_port}"

    def _advance(self) -> None:
        """What the beat does, without waiting."""
        while not self._halt.wait(0.06):
            try:
                ledger.seal()
                advance.advance_all(now=timezone.now())
                dispatch.expire(now=timezone.now())
            except Exception as error:  # noqa: BLE001  the database goes away at a case's end
                if not self._halt.is_set():
                    sys.stderr.write(f"beat: {type(error).__name__}: {error}\n")
        connections.close_all()

    def _put_back(self) -> None:
        settings.TASK_LEASE_SECONDS, settings.COMPUTATION_DEADLINE_SECONDS = self._kept
        for pid in _engines(self.directory):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


_SECRET = ("person_id", "base")


def _engines(directory: Path) -> list[int]:
    """Engine processes that work below a directory, by the kernel's own list."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_engine = b"compute.engines.worker" in words and any(str(directory).encode() in word for word in words)
            if is_engine and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
    return found


@contextmanager
def world(name: str, seed: int) -> Iterator[World]:
    """A fresh world for one case; nothing of it is left."""
    with ExitStack() as closing:
        yield World(seed=seed, name=name, closing=closing)
