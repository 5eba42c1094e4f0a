"""The node's own memory: SQLite in WAL mode with synchronous=FULL, so what it answered survives a power cut.

Meters, job ids, consents, revocations, reports and the outbox live here and nowhere else: the exchange
can lower what a node will do, never raise it. One connection for each thread; every change is one
immediate transaction.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from compute.node import budget, journal, layout, partitions, withholding
from compute.node.layout import SCHEMA
from compute.protocol import shapes
from compute.protocol.codes import Refused
from ledger.proofs import canonical, statements

Document = dict[str, Any]


# The guard: one conditional update decides, whatever else happens at the same time.
_TAKE_UNITS = """
UPDATE meters SET reserved = reserved + :units
 WHERE contract = :contract AND reserved + committed + :units <= quota
   AND per_day >= :units + (
        SELECT coalesce(sum(units), 0) FROM jobs WHERE contract = :contract AND day = :day AND state <> 'void')
   AND per_minute > (SELECT count(*) FROM jobs WHERE contract = :contract AND admitted_at > :since)
"""


class JobState(StrEnum):
    """A job at this node. RESERVED and RUNNING hold a unit; SENT and SEALED have spent it."""

    RESERVED = "reserved"
    RUNNING = "running"
    SEALED = "sealed"
    SENT = "sent"
    VOID = "void"


class Store:
    """The node's database.

    Args:
        clock: gives the present moment, aware; a test may move it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.clock = clock
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.transaction() as connection:
            layout.prepare(connection, SCHEMA + budget.SCHEMA + withholding.SCHEMA + journal.SCHEMA)
        path.chmod(0o600)

    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            found.execute("PRAGMA foreign_keys=ON")
            self._local.connection = found
        return found

    def close(self) -> None:
        """Close this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One immediate transaction: all of it, durably, or nothing."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def note(self, event: str, **details: Any) -> None:
        """Write one journal line in a transaction of its own."""
        with self.transaction() as connection:
            journal.append(connection, event=event, now=self.clock(), **details)

    # --- contracts, kill switch ---------------------------------------------------------------------------

    def add_contract(self, document: Document) -> None:
        """Keep a contract that the owner accepted, and open its meter. Idempotent: the same digest again."""
        digest, quota = statements.digest(document), document["quota"]
        with self.transaction() as connection:
            known = connection.execute(
                "SELECT terms_digest FROM contracts WHERE contract = ?", (document["id"],)
            ).fetchone()
            if known is not None:
                if known[0] != digest:
                    raise Refused("TERMS_CHANGED")
                return
            connection.execute(
                "INSERT INTO contracts VALUES (?, ?, ?, ?)", (document["id"], digest, _text(document), self._now())
            )
            connection.execute(
                "INSERT INTO meters (contract, quota, per_day, per_minute) VALUES (?, ?, ?, ?)",
                (document["id"], quota["total"], quota["per_day"], quota["rate_per_minute"]),
            )
            journal.append(
                connection,
                event="contract.accepted",
                now=self.clock(),
                contract=document["id"],
                terms_digest=digest,
            )

    def contract(self, contract: str) -> Document | None:
        """The accepted, signed contract document."""
        return self._document("SELECT document FROM contracts WHERE contract = ?", contract)

    def contracts(self) -> list[Document]:
        """All accepted contracts."""
        return [json.loads(row[0]) for row in self._all("SELECT document FROM contracts ORDER BY accepted_at")]

    def meter(self, contract: str) -> dict[str, int]:
        """quota, reserved and committed of a contract."""
        row = self._one("SELECT quota, reserved, committed FROM meters WHERE contract = ?", contract)
        return dict(zip(("quota", "reserved", "committed"), row or (0, 0, 0), strict=True))

    def set_paused(self, paused: bool) -> None:  # the owner's kill switch
        """Stop (or allow) everything new; running jobs are stopped too."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO settings VALUES ('paused', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                ("1" if paused else "0",),
            )
            journal.append(connection, event="node.paused" if paused else "node.resumed", now=self.clock())

    def is_paused(self) -> bool:
        """Whether the owner has paused the node."""
        row: tuple[str] | None = self._one("SELECT value FROM settings WHERE name = 'paused'")
        return row == ("1",)

    # --- jobs and units -----------------------------------------------------------------------------------

    def reserve(
        self,
        *,
        job: Document,
        task: str,
        fencing_token: int,
        units: int = 1,
        uses: Sequence[partitions.Use] = (),
        spending: budget.Spending | None = None,
    ) -> None:
        """Take the job id and its units, durably, in one transaction: the last step before data is opened.

        Args:
            units: of the contract's meter, all of them or none.
            uses: which values the answer adds up over which blocks; see `partitions`.
            spending: what a noised answer takes from its table's budget, never to be given back; see `budget`.
        Raises:
            Refused: `JOB_REPLAYED` it was here before (for ever); `QUOTA_EXHAUSTED`; `PARTITION_DIFFERS`.
        """
        now = self.clock()
        at = shapes.write_time(now)
        with self.transaction() as connection:
            if connection.execute("SELECT 1 FROM jobs WHERE computation = ?", (job["id"],)).fetchone():
                raise Refused("JOB_REPLAYED")
            partitions.check(connection, uses)
            since = shapes.write_time(now - timedelta(seconds=60))
            wanted = {"contract": job["contract"], "day": at[:10], "since": since, "units": units}
            taken = connection.execute(_TAKE_UNITS, wanted).rowcount
            if taken != 1:
                raise Refused("QUOTA_EXHAUSTED")
            connection.execute(
                "INSERT INTO jobs (computation, task, contract, fencing_token, state, job, admitted_at, day, units)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job["id"], task, job["contract"], fencing_token, JobState.RESERVED, _text(job), at, at[:10], units),
            )
            partitions.keep(connection, uses, computation=job["id"])
            taken_micro = 0 if spending is None else budget.spend(connection, spending, computation=job["id"], now=now)
            journal.append(
                connection,
                event="job.admitted",
                now=now,
                computation=job["id"],
                contract=job["contract"],
                job_digest=statements.digest(job),
                **({} if spending is None else {"dataset": spending.dataset, "epsilon_micro": taken_micro}),
            )

    def start(self, computation: str) -> None:
        """Mark a reserved job as running."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = ? WHERE computation = ? AND state = ?",
                (JobState.RUNNING, computation, JobState.RESERVED),
            )

    def job_state(self, computation: str) -> JobState | None:
        """Where a job is at this node."""
        row = self._one("SELECT state FROM jobs WHERE computation = ?", computation)
        return None if row is None else JobState(row[0])

    def unfinished(self) -> list[dict[str, Any]]:
        """Jobs that hold a unit and whose part never left."""
        rows = self._all(
            "SELECT computation, task, fencing_token, job FROM jobs WHERE state IN ('reserved', 'running')"
        )
        return [
            {"computation": row[0], "task": row[1], "fencing_token": row[2], "job": json.loads(row[3])} for row in rows
        ]

    def void(self, computation: str, *, code: str) -> None:
        """Give the unit back: no part of this job was taken by the exchange. Idempotent."""
        with self.transaction() as connection:
            self._void(connection, computation, code=code)

    def finish(
        self,
        *,
        computation: str,
        verb: str,
        body: Mapping[str, Any],
        report: Callable[[int, str | None], Document],
    ) -> Document:
        """Write the report, its outbox row and the job's new state in one transaction; returns the report.

        Args:
            verb: submit, refuse or fail; submit spends the unit, fail gives it back.
            body: what goes beside the report (task, fencing_token, sealed_part).
            report: makes the signed report from its sequence number and the digest of the one before.
        """
        with self.transaction() as connection:
            last = connection.execute("SELECT sequence, digest FROM reports ORDER BY sequence DESC LIMIT 1").fetchone()
            document = report(last[0] + 1 if last else 1, last[1] if last else None)
            digest = statements.digest(document)
            connection.execute("INSERT INTO reports VALUES (?, ?, ?)", (document["sequence"], digest, _text(document)))
            self._enqueue(connection, verb=verb, computation=computation, body={**body, "report": document})
            if verb == "submit":
                moved = connection.execute(
                    "UPDATE jobs SET state = ? WHERE computation = ? AND state IN ('reserved', 'running')",
                    (JobState.SEALED, computation),
                ).rowcount
                if moved != 1:
                    raise Refused("RUN_CANCELLED")
                connection.execute(
                    "UPDATE meters SET reserved = reserved - units, committed = committed + units"
                    " FROM (SELECT contract AS of_job, units FROM jobs WHERE computation = ?) WHERE contract = of_job",
                    (computation,),
                )
            elif verb == "fail":  # a refused replay must not touch the run it repeats
                self._void(connection, computation, code=document["code"])
            journal.append(
                connection,
                event=f"report.{document['outcome']}",
                now=self.clock(),
                computation=computation,
                code=document["code"],
                report=digest,
                sequence=document["sequence"],
            )
        return document

    def reports(self) -> list[Document]:
        """All reports in order."""
        return [json.loads(row[0]) for row in self._all("SELECT document FROM reports ORDER BY sequence")]

    # --- outbox -------------------------------------------------------------------------------------------

    def waiting(self) -> list[tuple[int, str, str, Document]]:
        """Outbox rows that the exchange has not answered for good: (id, verb, computation, body)."""
        rows = self._all("SELECT id, verb, computation, body FROM outbox WHERE settled = '' ORDER BY id")
        return [(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def settle(self, row_id: int, *, answer: str) -> None:
        """The exchange answered for good: `recorded`, or its refusal code, which voids a submitted job."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT verb, computation FROM outbox WHERE id = ? AND settled = ''", (row_id,)
            ).fetchone()
            if row is None:
                return
            verb, computation = row
            connection.execute("UPDATE outbox SET settled = ?, body = '{}' WHERE id = ?", (answer, row_id))
            if verb == "submit" and answer == "recorded":
                connection.execute(
                    "UPDATE jobs SET state = ? WHERE computation = ? AND state = ?",
                    (JobState.SENT, computation, JobState.SEALED),
                )
            elif verb == "submit":
                self._void(connection, computation, code="RUN_CANCELLED")
            journal.append(connection, event=f"sent.{verb}", now=self.clock(), computation=computation, answer=answer)

    # --- consents and revocations -------------------------------------------------------------------------

    def set_rule(self, *, contract: str, operations: list[str], per_day: int, expires: str) -> None:
        """Keep the owner's standing consent for a contract; a new rule replaces the old one."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?)",
                (contract, json.dumps(sorted(operations)), per_day, expires, self._now()),
            )
            journal.append(
                connection,
                event="consent.standing",
                now=self.clock(),
                contract=contract,
                operations=sorted(operations),
                per_day=per_day,
                expires=expires,
            )

    def rule(self, contract: str) -> dict[str, Any] | None:
        """The standing rule of a contract."""
        row = self._one("SELECT operations, per_day, expires FROM rules WHERE contract = ?", contract)
        return None if row is None else {"operations": json.loads(row[0]), "per_day": row[1], "expires": row[2]}

    def add_request(self, request: Document) -> bool:
        """Keep a request that waits for a decision; False when it is known."""
        with self.transaction() as connection:
            return (
                connection.execute(
                    "INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?)",
                    (request["id"], request["contract"], _text(request), self._now()),
                ).rowcount
                == 1
            )

    def request(self, computation: str) -> Document | None:
        """A request that was seen."""
        return self._document("SELECT request FROM requests WHERE computation = ?", computation)

    def undecided(self) -> list[Document]:
        """Requests that wait for the owner."""
        query = (
            "SELECT request FROM requests WHERE computation NOT IN (SELECT computation FROM consents) ORDER BY seen_at"
        )
        return [json.loads(row[0]) for row in self._all(query)]

    def add_consent(self, document: Document, *, per_day: int | None = None) -> bool:
        """Keep a signed decision and its outbox row; False when there is one already or the day's share is used.

        Args:
            per_day: the standing rule's limit; the count and the insert are one transaction.
        """
        day = self._now()[:10]
        with self.transaction() as connection:
            known = connection.execute(
                "SELECT 1 FROM consents WHERE computation = ?", (document["computation"],)
            ).fetchone()
            today = connection.execute(
                "SELECT count(*) FROM consents WHERE contract = ? AND day = ? AND decision = 'granted'",
                (document["contract"], day),
            ).fetchone()[0]
            if known or (per_day is not None and today >= per_day):
                return False
            connection.execute(
                "INSERT INTO consents VALUES (?, ?, ?, ?, ?)",
                (document["computation"], document["decision"], _text(document), day, document["contract"]),
            )
            self._enqueue(connection, verb="consent", computation=document["computation"], body={"consent": document})
            journal.append(
                connection,
                event=f"consent.{document['decision']}",
                now=self.clock(),
                computation=document["computation"],
                basis=document["basis"],
                consent=statements.digest(document),
                reason=document["reason"],
            )
            return True

    def consent(self, computation: str) -> Document | None:
        """This node's own signed decision on a computation."""
        return self._document("SELECT document FROM consents WHERE computation = ?", computation)

    def add_revocation(self, document: Document) -> bool:
        """Keep a verified revocation; False when this sequence number, or a later one, is known."""
        key = (document["contract"], document["organization"])
        with self.transaction() as connection:
            last = connection.execute(
                "SELECT max(sequence) FROM revocations WHERE contract = ? AND organization = ?", key
            ).fetchone()[0]
            if last is not None and last >= document["sequence"]:
                return False
            connection.execute(
                "INSERT INTO revocations VALUES (?, ?, ?, ?)", (*key, document["sequence"], _text(document))
            )
            journal.append(
                connection,
                event="contract.revoked",
                now=self.clock(),
                contract=key[0],
                by=key[1],
                sequence=document["sequence"],
            )
            return True

    def last_revocation(self, contract: str, organization: str) -> int:
        """The highest sequence number seen of one organisation for one contract; 0 for none."""
        row = self._one(
            "SELECT max(sequence) FROM revocations WHERE contract = ? AND organization = ?", contract, organization
        )
        return (row[0] if row else 0) or 0

    def is_revoked(self, contract: str) -> bool:
        """Whether any party has revoked the contract; there is no un-revoking."""
        return self._one("SELECT 1 FROM revocations WHERE contract = ? LIMIT 1", contract) is not None

    # --- datasets (descriptions only; the files stay closed) ----------------------------------------------

    def add_dataset(self, description: Mapping[str, Any], *, directory: str) -> None:
        """Make a stored dataset version known; from here on it exists."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?)",
                (
                    description["name"],
                    description["version"],
                    description["commitment"],
                    _text(description),
                    directory,
                    self._now(),
                ),
            )
            journal.append(
                connection,
                event="dataset.added",
                now=self.clock(),
                dataset=description["name"],
                version=description["version"],
                commitment=description["commitment"],
                rows=description["rows"],
            )

    def datasets(self) -> list[dict[str, Any]]:
        """The descriptions of all dataset versions, without opening a file."""
        rows = self._all("SELECT description, directory, added_at FROM datasets ORDER BY name, version")
        return [{**json.loads(row[0]), "directory": row[1], "added_at": row[2]} for row in rows]

    def dataset(self, name: str, commitment: str) -> dict[str, Any] | None:
        """The description of the version with this commitment."""
        row = self._one(
            "SELECT description, directory FROM datasets WHERE name = ? AND commitment_hex = ?", name, commitment
        )
        return None if row is None else {**json.loads(row[0]), "directory": row[1]}

    # --- inner parts --------------------------------------------------------------------------------------

    def _void(self, connection: sqlite3.Connection, computation: str, *, code: str | None) -> None:
        row = connection.execute(
            "SELECT state, contract, units FROM jobs WHERE computation = ?", (computation,)
        ).fetchone()
        if row is None or row[0] in (JobState.VOID, JobState.SENT):
            return
        column = "committed" if row[0] == JobState.SEALED else "reserved"
        connection.execute(
            f"UPDATE meters SET {column} = {column} - ? WHERE contract = ?",  # noqa: S608
            (row[2], row[1]),
        )
        connection.execute(
            "UPDATE jobs SET state = ?, outcome = ? WHERE computation = ?", (JobState.VOID, code or "", computation)
        )
        journal.append(connection, event="job.voided", now=self.clock(), computation=computation, code=code)

    def _enqueue(self, connection: sqlite3.Connection, *, verb: str, computation: str, body: Mapping[str, Any]) -> None:
        connection.execute(
            "INSERT INTO outbox (verb, computation, body, written_at) VALUES (?, ?, ?, ?)",
            (verb, computation, _text(body), self._now()),
        )

    def _one(self, query: str, *values: object) -> Any:
        return self.connection().execute(query, values).fetchone()

    def _all(self, query: str, *values: object) -> list[Any]:
        return self.connection().execute(query, values).fetchall()

    def _document(self, query: str, key: str) -> Document | None:
        row = self._one(query, key)
        return None if row is None else json.loads(row[0])

    def _now(self) -> str:
        return shapes.write_time(self.clock())


def _text(value: Mapping[str, Any]) -> str:
    return canonical.encode(dict(value)).decode()
