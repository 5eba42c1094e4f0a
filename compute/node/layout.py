"""The tables of a node's SQLite file; reports and the journal cannot be changed or deleted."""

import sqlite3
from collections.abc import Iterator

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS contracts (
    contract TEXT PRIMARY KEY, terms_digest TEXT NOT NULL, document TEXT NOT NULL, accepted_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS meters (
    contract TEXT PRIMARY KEY REFERENCES contracts, quota INTEGER NOT NULL, per_day INTEGER NOT NULL,
    per_minute INTEGER NOT NULL, reserved INTEGER NOT NULL DEFAULT 0, committed INTEGER NOT NULL DEFAULT 0,
    CHECK (reserved >= 0 AND committed >= 0 AND reserved + committed <= quota)
) STRICT;
CREATE TABLE IF NOT EXISTS jobs (
    computation TEXT PRIMARY KEY, task TEXT NOT NULL, contract TEXT NOT NULL, fencing_token INTEGER NOT NULL,
    state TEXT NOT NULL, job TEXT NOT NULL, admitted_at TEXT NOT NULL, day TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '', units INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_contract ON jobs (contract, admitted_at);
CREATE TABLE IF NOT EXISTS answered (
    computation TEXT NOT NULL REFERENCES jobs, commitment_hex TEXT NOT NULL, column_name TEXT NOT NULL,
    partition TEXT NOT NULL, PRIMARY KEY (computation, commitment_hex, column_name)
) STRICT;
CREATE INDEX IF NOT EXISTS answered_by_column ON answered (commitment_hex, column_name);
CREATE TABLE IF NOT EXISTS datasets (
    name TEXT NOT NULL, version INTEGER NOT NULL, commitment_hex TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
    directory TEXT NOT NULL, added_at TEXT NOT NULL, PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS rules (
    contract TEXT PRIMARY KEY REFERENCES contracts, operations TEXT NOT NULL, per_day INTEGER NOT NULL,
    expires TEXT NOT NULL, made_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS requests (
    computation TEXT PRIMARY KEY, contract TEXT NOT NULL, request TEXT NOT NULL, seen_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS consents (
    computation TEXT PRIMARY KEY, decision TEXT NOT NULL, document TEXT NOT NULL, day TEXT NOT NULL,
    contract TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS revocations (
    contract TEXT NOT NULL, organization TEXT NOT NULL, sequence INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (contract, organization, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS revoked_keys (
    key TEXT PRIMARY KEY, document TEXT NOT NULL, learnt_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reports (
    sequence INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, document TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS reports_no_update BEFORE UPDATE ON reports
    BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TRIGGER IF NOT EXISTS reports_no_delete BEFORE DELETE ON reports
    BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TABLE IF NOT EXISTS reviews (
    computation TEXT NOT NULL, reviewer_key TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (computation, reviewer_key)
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, computation TEXT NOT NULL, body TEXT NOT NULL,
    written_at TEXT NOT NULL, settled TEXT NOT NULL DEFAULT ''
) STRICT;
"""

# Columns that a file of an earlier version lacks: (table, column, what it is).
LATER = (("jobs", "units", "INTEGER NOT NULL DEFAULT 1"),)


def prepare(connection: sqlite3.Connection, script: str) -> None:
    """Make the tables of a script and add what a file of an earlier version lacks; a second time nothing is done."""
    for statement in _statements(script):
        connection.execute(statement)
    for table, column, kind in LATER:
        known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if column not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: executescript would end the transaction."""
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
