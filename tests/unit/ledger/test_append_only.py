"""What is evidence cannot be changed or deleted, even past the ORM; the same statements work with the guard off."""

import pgtrigger
import pytest
from django.db import DatabaseError, connection, transaction

from ledger import actions as ledger
from ledger.models import Checkpoint, Disclosure, Entry, Leaf, Tile
from tests.factories.ledger import record

pytestmark = pytest.mark.django_db

STATEMENTS = {
    "entry kind": "UPDATE ledger_entry SET kind = 'x'",
    "entry subject": "UPDATE ledger_entry SET subject = subject",
    "entry gone": "DELETE FROM ledger_entry",
    "leaf bytes": "UPDATE ledger_leaf SET data = ''",
    "leaf gone": "DELETE FROM ledger_leaf",
    "checkpoint root": "UPDATE ledger_checkpoint SET root = ''",
    "checkpoint gone": "DELETE FROM ledger_checkpoint",
    "tile rewritten": "UPDATE ledger_tile SET data = decode(repeat('00', 64), 'hex')",
    "tile cut": "UPDATE ledger_tile SET data = substring(data FOR 32)",
    "tile moved": "UPDATE ledger_tile SET index = index + 1",
    "tile gone": "DELETE FROM ledger_tile",
    "payload rewritten": "UPDATE ledger_disclosure SET payload = '{}'",
    "salt rewritten": "UPDATE ledger_disclosure SET salt = payload",
    "disclosure gone": "DELETE FROM ledger_disclosure",
}


@pytest.fixture(autouse=True)
def sealed_log():
    record(2)
    ledger.seal()


def run(statement: str) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(statement)
        return cursor.rowcount


def empty(table: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # rows of this very transaction would forbid it anyway
        cursor.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("case", STATEMENTS)
def test_raw_sql_is_refused_and_changes_nothing(case):
    before = snapshot()

    with pytest.raises(DatabaseError, match=r"Cannot (update|delete)"):
        run(STATEMENTS[case])

    assert snapshot() == before


@pytest.mark.parametrize("case", [case for case in STATEMENTS if not case.endswith("gone")])
def test_without_the_guard_the_same_statement_changes_the_evidence(case):
    with pgtrigger.ignore():
        assert run(STATEMENTS[case]) > 0


TABLES = [
    "contracts_account",
    "contracts_contract",
    "contracts_contractparty",
    "contracts_posting",
    "contracts_revocation",
    "contracts_settlement",
    "contracts_signature",
    "contracts_transfer",
    "contracts_usagerecord",
    "ledger_chainevent",
    "ledger_checkpoint",
    "ledger_cosignature",
    "ledger_disclosure",
    "ledger_entry",
    "ledger_leaf",
    "ledger_log",
    "ledger_tile",
]


@pytest.mark.parametrize("table", TABLES)
def test_no_table_of_evidence_or_money_can_be_emptied_at_one_stroke(table):
    before = snapshot()

    with pytest.raises(DatabaseError, match="Cannot truncate"):
        empty(table)

    assert snapshot() == before


@pytest.mark.parametrize("table", TABLES)
def test_without_the_guard_it_can(table):
    with pgtrigger.ignore():
        empty(table)

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        assert cursor.fetchone() == (0,)


def test_every_table_that_refuses_delete_refuses_truncate():
    guarded = {model._meta.db_table for model, trigger in pgtrigger.registered() if trigger.name == "no_truncate"}
    protected = {
        model._meta.db_table
        for model, trigger in pgtrigger.registered()
        if isinstance(trigger, pgtrigger.Protect) and "DELETE" in str(trigger.operation)
    }

    assert protected <= guarded
    assert guarded == set(TABLES)


def test_an_erased_payload_cannot_come_back():
    entry = Entry.objects.first()
    ledger.erase(entry=entry)

    with pytest.raises(DatabaseError, match="Cannot update"):
        run(f"UPDATE ledger_disclosure SET payload = 'a', salt = 'b', erased_at = NULL WHERE entry_id = {entry.pk}")


def test_a_payload_and_its_salt_go_together_or_not_at_all():
    with pytest.raises(DatabaseError, match="disclosure_whole_or_erased"):
        run("UPDATE ledger_disclosure SET payload = NULL")


def test_a_second_open_log_is_refused():
    with pytest.raises(DatabaseError, match="log_one_open"):
        run(INSERT_LOG)


def test_a_frozen_log_neither_grows_nor_thaws():
    run("UPDATE ledger_log SET frozen_at = now()")

    with pytest.raises(DatabaseError, match="Log 1 is frozen"):
        run(APPEND_LEAF)
    for change in ("size = size + 1", "root = repeat('0', 64)", "vkey = ''", "origin = 'x'", "frozen_at = NULL"):
        with pytest.raises(DatabaseError, match="Cannot update"):
            run(f"UPDATE ledger_log SET {change}")


def test_without_the_guard_a_frozen_log_would_grow():
    run("UPDATE ledger_log SET frozen_at = now()")
    with pgtrigger.ignore("ledger.Leaf:only_while_open"):
        run(APPEND_LEAF)

    assert Leaf.objects.count() == 3


INSERT_LOG = (
    "INSERT INTO ledger_log (number, origin, vkey, size, root, epoch, alarm, opened)"
    " VALUES (2, 'next', '', 0, '', 1, '', now())"
)
APPEND_LEAF = (
    "WITH fact AS (INSERT INTO ledger_entry (ref, kind, subject, issuer, at, commit)"
    " VALUES ('R', 'k', 's', 'i', now(), repeat('0', 64)) RETURNING id)"
    " INSERT INTO ledger_leaf (log_id, index, entry_id, data, leaf_hash) SELECT 1, 99, id, 'd', 'h' FROM fact"
)


def snapshot():
    return [
        [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]
        for table in (Entry, Leaf, Checkpoint, Tile, Disclosure)
        if (rows := table.objects.order_by("pk").values_list())
    ]
