"""Fsck: a sound log is silent, and one changed byte in any table is named."""

import json

import pgtrigger
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ledger import actions as ledger
from ledger import audits, keys
from ledger.models import Entry
from tests.factories.ledger import SUBJECT, record

pytestmark = pytest.mark.django_db

TAMPERING = {
    "entry": ("UPDATE ledger_entry SET kind = 'x.y' WHERE id = (SELECT min(id) FROM ledger_entry)",
              {"LEAF_DIFFERS_FROM_ENTRY"}),
    "entry time": ("UPDATE ledger_entry SET at = at + interval '1 second'", {"LEAF_DIFFERS_FROM_ENTRY"}),
    "leaf bytes": ("UPDATE ledger_leaf SET data = set_byte(data, 3, get_byte(data, 3) # 1) WHERE index = 1",
                   {"LEAF_HASH_DIFFERS", "LEAF_DIFFERS_FROM_ENTRY"}),
    "leaf hash": (
        "UPDATE ledger_leaf SET leaf_hash = set_byte(leaf_hash, 3, 255 - get_byte(leaf_hash, 3)) WHERE index = 1",
                  {"LEAF_HASH_DIFFERS", "LEAF_DIFFERS_FROM_ENTRY", "TILE_DIFFERS", "HEAD_DIFFERS",
                   "CHECKPOINT_DIFFERS_FROM_LEAVES"}),
    "tail cut": ("DELETE FROM ledger_leaf WHERE index = 4",
                 {"ENTRY_NEITHER_LOGGED_NOR_WAITING", "TILE_DIFFERS", "HEAD_DIFFERS",
                  "CHECKPOINT_DIFFERS_FROM_LEAVES"}),
    "gap": ("DELETE FROM ledger_leaf WHERE index = 1",
            {"ENTRY_NEITHER_LOGGED_NOR_WAITING", "LEAF_MISSING", "LEAF_DIFFERS_FROM_ENTRY", "TILE_DIFFERS",
             "HEAD_DIFFERS", "CHECKPOINT_DIFFERS_FROM_LEAVES"}),
    "tile": ("UPDATE ledger_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1)", {"TILE_DIFFERS"}),
    "head": ("UPDATE ledger_log SET root = repeat('0', 64)", {"HEAD_DIFFERS"}),
    "checkpoint root": ("UPDATE ledger_checkpoint SET root = repeat('0', 64)",
                        {"CHECKPOINT_DIFFERS_FROM_NOTE", "CHECKPOINT_DIFFERS_FROM_LEAVES",
                         "LOG_BEHIND_SIGNED_CHECKPOINT"}),
    "checkpoint note": ("UPDATE ledger_checkpoint SET note = replace(note, E'\\n5\\n', E'\\n6\\n')",
                        {"SIGNATURE_INVALID"}),
    "payload": ("UPDATE ledger_disclosure SET payload = set_byte(payload, 10, get_byte(payload, 10) # 1)",
                {"DISCLOSURE_DIFFERS"}),
    "salt": ("UPDATE ledger_disclosure SET salt = set_byte(salt, 0, get_byte(salt, 0) # 1)", {"DISCLOSURE_DIFFERS"}),
    "disclosure gone": ("DELETE FROM ledger_disclosure", {"DISCLOSURE_MISSING"}),
    "waiting twice": ("INSERT INTO ledger_pending SELECT id FROM ledger_entry ORDER BY id LIMIT 1",
                      {"ENTRY_NEITHER_LOGGED_NOR_WAITING"}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def sealed_log():
    record(3)
    record(2, subject=SUBJECT[:-1] + "2")
    ledger.seal()


def tamper(statement: str) -> None:
    with pgtrigger.ignore(), connection.cursor() as cursor:
        cursor.execute(statement)


def run_json(*options: str, fails: bool) -> dict:
    from io import StringIO

    output = StringIO()
    if fails:
        with pytest.raises(CommandError):
            call_command("verify_ledger", "--json", "--only", "log", *options, stdout=output)
    else:
        call_command("verify_ledger", "--json", "--only", "log", *options, stdout=output)
    return json.loads(output.getvalue())


def test_a_sound_log_is_silent():
    record(1)
    ledger.erase(entry=Entry.objects.order_by("pk").first())

    assert run_json(fails=False) == {
        "ok": True, "findings": [], "entries": 6, "leaves": 5, "tiles": 1, "checkpoints": 1, "cosignatures": 0,
        "anchors": 0, "chain_events": 0, "erased": 1,
    }  # fmt: skip


@pytest.mark.parametrize("table", TAMPERING)
def test_a_change_past_the_guards_is_named(table):
    statement, codes = TAMPERING[table]

    tamper(statement)

    assert {finding.code for finding in audits.audit()} == codes
    assert run_json(fails=True)["ok"] is False


def test_a_lost_memory_is_adopted_only_by_a_sound_log():
    memory = keys.signed_checkpoint_file()
    note = memory.read_text()
    memory.unlink()
    assert run_json(fails=True)["findings"] == [
        {
            "code": "LOG_SIGNED_CHECKPOINT_MISSING",
            "table": "the file of the last signed checkpoint",
            "ref": "of log 1",
        }
    ]

    assert run_json("--adopt", fails=False)["ok"] is True
    assert memory.read_text() == note

    memory.unlink()
    tamper("UPDATE ledger_log SET root = repeat('0', 64)")
    run_json("--adopt", fails=True)
    assert not memory.exists()


def test_the_command_speaks_to_people_too(capsys):
    call_command("verify_ledger", "--only", "log")
    assert "agrees with itself" in capsys.readouterr().out

    tamper("UPDATE ledger_log SET root = repeat('0', 64)")
    with pytest.raises(CommandError, match="1 places"):
        call_command("verify_ledger", "--only", "log")
    assert "HEAD_DIFFERS  ledger_log 1" in capsys.readouterr().out
