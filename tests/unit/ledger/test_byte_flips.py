"""One bit flipped in every column of every table of the ledger, past all guards: named, or in the list below.

And a superuser who does it well: a cut tail, a rewritten history. Each test says who still finds that.
"""

import random
from contextlib import contextmanager
from io import StringIO

import pgtrigger
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from compute.protocol import keyfiles
from ledger import actions as ledger
from ledger import audits, keys
from ledger.actions import archiving, deployments
from ledger.actions import log as log_actions
from ledger.archive import checks, stores
from ledger.backends.base import own_call
from ledger.backends.evm import EVMBackend
from ledger.errors import LogBehindSignedCheckpoint
from ledger.kinds import EntryKind
from ledger.models import Anchor, ChainEvent, ChainRecord, Checkpoint, Cosignature, Entry, Leaf, Log, Pending
from ledger.proofs import grants, merkle
from tests.factories import witnesses
from tests.factories.ledger import EXCHANGE, SUBJECT, exchange_key_files, record
from tests.unit.ledger.chain_world import wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.chain]

SEED = 20261121
SURROGATE = "a number of the database's own, to which nothing points; no one outside sees it"
CLOCK = "our own note of when; what counts as time is in the entries and under signatures"
SENDER = "a note of the sender about its own work; the chain, read anew, is the truth"

# Columns that carry no evidence. A flip there must stay silent, or the line is out of date.
NO_EVIDENCE = {
    "ledger_leaf.id": SURROGATE, "ledger_tile.id": SURROGATE, "ledger_cosignature.id": SURROGATE,
    "ledger_anchor.id": SURROGATE, "ledger_anchorattempt.id": SURROGATE, "ledger_chainrecord.id": SURROGATE,
    "ledger_chainevent.id": SURROGATE,
    "ledger_disclosure.erased_at": CLOCK, "ledger_log.opened": CLOCK, "ledger_checkpoint.created": CLOCK,
    "ledger_witness.added": CLOCK, "ledger_witness.asked_at": CLOCK, "ledger_chaindeployment.created": CLOCK,
    "ledger_chaindeployment.seen_at": CLOCK, "ledger_anchor.confirmed_at": CLOCK,
    "ledger_anchorattempt.created": CLOCK, "ledger_anchorattempt.sent_at": CLOCK, "ledger_chainrecord.created": CLOCK,
    "ledger_chainrecord.sent_at": CLOCK, "ledger_chainrecord.confirmed_at": CLOCK,
    "ledger_witness.trouble": "how the last request went",
    "ledger_anchorattempt.old_size": SENDER, "ledger_anchorattempt.nonce": SENDER,
    "ledger_anchorattempt.block_number": SENDER, "ledger_anchorattempt.block_hash": SENDER,
    "ledger_chainrecord.nonce": SENDER, "ledger_chainrecord.block_number": SENDER,
    "ledger_chainrecord.block_hash": SENDER, "ledger_chainrecord.error_code": SENDER,
    "ledger_chaindeployment.first_size": "where the epoch began; every anchor is compared whatever it says",
    "ledger_chaindeployment.events_through": "where the next pass goes on; a later pass looks back",
}  # fmt: skip


@pytest.fixture
def chain(chain_rpc, settings, tmp_path):
    exchange_key_files(settings, tmp_path)
    settings.CHAIN_CONTRACT_ADDRESS = ""
    return EVMBackend(chain_rpc)


@pytest.fixture
def world(chain, tmp_path):
    """Every table of the ledger has a row: cosigned, anchored, a grant of ours and one of a stranger, one erased."""
    deployment = deployments.deploy(backend=chain, anchor=keys.log_keys(), record=keys.exchange_keys())
    record(3, kind=EntryKind.STAFF_VIEWED)
    ledger.seal()
    with witnesses.admitted(tmp_path / "w", log=Log.objects.get(), name="witness.example/w"):
        provider = keyfiles.generate("fund-a")
        chain.fund(provider.chain_address)
        fields = {"not_before": 1_700_000_000, "not_after": 1_900_000_000, "cap": 5}
        direct = chain.sign(
            own_call("grant", {"terms_digest": "ab" * 32, **fields}), address=deployment.contract_address,
            chain_id=deployment.chain_id, key=provider.chain, nonce=0, gas_price=chain.gas_price(),
        )  # fmt: skip
        chain.send(direct.raw)
        wait_for(chain, direct.transaction_hash)
        place = {"chain_id": deployment.chain_id, "contract_address": deployment.contract_address}
        payload = grants.sign_grant(key=provider.chain, terms_digest="cd" * 32, **place, **fields)
        payload = {name: value for name, value in payload.items() if name not in place}
        grant_id = grants.grant_id(grantor=payload["grantor"], terms_digest="cd" * 32)
        with transaction.atomic():
            ledger.submit_chain_record(kind="grant", key=f"grant:{grant_id}", payload=payload)
        ledger.seal()
        ledger.ask_witnesses()
        for _ in range(60):
            ledger.send_chain_records(backend=chain)
            ledger.anchor_pass(backend=chain, confirmations=0)
            if Anchor.objects.exists() and ChainRecord.objects.get().state == "confirmed":
                break
        assert ledger.read_chain_events(backend=chain, confirmations=0)
        ledger.seal()
        ledger.ask_witnesses()
    ledger.erase(entry=Entry.objects.filter(kind=EntryKind.STAFF_VIEWED).first())
    record(1, kind=EntryKind.STAFF_VIEWED, subject=SUBJECT[:-1] + "3")
    assert Pending.objects.exists()
    assert Cosignature.objects.exists()
    assert Anchor.objects.get().proof is not None
    assert ChainEvent.objects.filter(name="Granted").count() == 2
    return deployment


def findings(chain) -> list[audits.Finding]:
    return [*audits.audit(), *audits.audit_chain(chain), *audits.audit_business()]


@contextmanager
def undone():
    """Everything inside is taken back, and runs as a superuser without triggers and foreign keys."""
    place = transaction.savepoint()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            yield cursor
    finally:
        transaction.savepoint_rollback(place)


def columns() -> list[tuple[type[models.Model], models.Field]]:
    found = apps.get_app_config("ledger").get_models()
    return [(model, field) for model in found for field in model._meta.concrete_fields]


def flipped(field: models.Field, value, chance: random.Random):
    """The value with one bit turned over; where there is none, one out of nothing."""
    kind = field.target_field if field.is_relation else field
    if isinstance(kind, models.DateTimeField):
        return timezone.now() if value is None else value.replace(second=value.second ^ 1)
    if isinstance(kind, models.IntegerField):
        return 1 if value is None else value ^ 1
    if value is None:
        return "x"
    if isinstance(kind, models.BinaryField):
        data = bytearray(value)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(data)
    if value == "":
        return "x"
    # One of the lowest three bits of a letter or digit: the text stays a text, and JSON stays JSON.
    places = [place for place, character in enumerate(value) if character.isascii() and character.isalnum()]
    while True:
        place, bit = chance.choice(places), 1 << chance.randrange(3)
        other = chr(ord(value[place]) ^ bit)
        if other.isalnum():
            return value[:place] + other + value[place + 1 :]


def flip(cursor, model, field, chance) -> None:
    """Turn one bit over in the column of one row; rows that hold something come first."""
    table, name, key = model._meta.db_table, field.column, model._meta.pk.column
    cast = "::text" if isinstance(field, models.JSONField) else ""
    cursor.execute(f'SELECT "{key}", "{name}"{cast} FROM {table} ORDER BY "{name}" IS NULL, "{key}"')
    rows = cursor.fetchall()
    assert rows, f"the world has no row of {table}"
    pk, value = chance.choice([row for row in rows if row[1] is not None] or rows)
    while True:
        changed = flipped(field, value, chance)
        if isinstance(field, models.JSONField):
            cursor.execute("SELECT %s IS JSON", [changed])
            if not cursor.fetchone()[0]:
                continue
            cast = "::jsonb"
        break
    cursor.execute(f'UPDATE {table} SET "{name}" = %s{cast} WHERE "{key}" = %s', [changed, pk])
    assert cursor.rowcount == 1


def test_a_flip_in_every_column_is_named_or_listed_as_no_evidence(world, chain):
    assert findings(chain) == []
    chance, silent, refused, named = random.Random(SEED), set(), set(), 0

    for model, field in columns():
        column = f"{model._meta.db_table}.{field.column}"
        with undone() as cursor:
            try:
                flip(cursor, model, field, chance)
            except DatabaseError:
                refused.add(column)  # by a constraint, to anybody who has not taken that away
                continue
            found = findings(chain)
        named += bool(found)
        if not found:
            silent.add(column)

    assert silent - set(NO_EVIDENCE) == set()
    assert set(NO_EVIDENCE) - silent - refused == set()
    assert named > 60


def test_what_only_the_chain_or_only_we_know_is_named(world, chain):
    event = ChainEvent.objects.filter(name="Granted").order_by("pk").first()
    with undone() as cursor:
        cursor.execute("DELETE FROM ledger_chainevent WHERE id = %s", [event.pk])
        assert [finding.code for finding in audits.audit_chain(chain)] == ["CHAIN_EVENT_WITHOUT_ROW"]
    with undone() as cursor:
        cursor.execute("UPDATE ledger_anchor SET size = 1, root = %s", [merkle.root([first_hash()]).hex()])
        codes = [finding.code for finding in audits.audit_chain(None)]
        assert codes == ["ANCHOR_PROOF_INVALID"]
        assert {finding.code for finding in audits.audit_chain(chain)} == {
            "ANCHOR_PROOF_INVALID",
            "ANCHOR_NOT_ON_CHAIN",
        }
    with undone() as cursor:
        cursor.execute("UPDATE ledger_chainrecord SET payload = jsonb_set(payload, '{cap}', '6')")
        assert [finding.code for finding in audits.audit_chain(chain)] == ["RECORD_DIFFERS_FROM_CHAIN"]


def first_hash() -> bytes:
    return bytes(Leaf.objects.get(index=0).leaf_hash)


def test_another_chain_at_the_same_address_is_a_finding_and_a_silent_one_too(world, chain):
    with undone() as cursor:
        cursor.execute("UPDATE ledger_chaindeployment SET genesis_hash = %s", ["0x" + "0" * 64])
        assert "CHAIN_MISMATCH" in {finding.code for finding in audits.audit_chain(chain)}
    nobody = EVMBackend("http://127.0.0.1:9")
    assert [finding.code for finding in audits.audit_chain(nobody)] == ["CHAIN_UNREACHABLE"]


# --- who finds what a superuser does well -------------------------------------------------------------------


def as_superuser(*statements: str) -> None:
    with pgtrigger.ignore(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


def rewrite(*, keep_leaves: int | None = None) -> None:
    """All tables of the log as if the first entry had said something else, or as if the newest had never been."""
    statements = [f"DELETE FROM ledger_{name}" for name in ("cosignature", "checkpoint", "tile", "leaf", "pending")]
    if keep_leaves is not None:
        gone = f"(SELECT id FROM ledger_entry ORDER BY id OFFSET {keep_leaves})"
        statements += [f"DELETE FROM ledger_disclosure WHERE entry_id IN {gone}"]
        statements += [f"DELETE FROM ledger_entry WHERE id IN {gone}"]
    else:
        statements += ["UPDATE ledger_entry SET subject = subject || '0' WHERE id = (SELECT min(id) FROM ledger_entry)"]
    statements += [
        "INSERT INTO ledger_pending (entry_id) SELECT id FROM ledger_entry",
        f"UPDATE ledger_log SET size = 0, root = '{merkle.EMPTY_ROOT.hex()}'",
    ]
    as_superuser(*statements)


def seal_without_memory() -> None:
    """He has the log's key too, and takes the file outside the database away."""
    keys.signed_checkpoint_file().unlink()
    ledger.seal()


def test_a_cut_tail_is_found_by_the_file_outside_the_database():
    record(5, kind=EntryKind.STAFF_VIEWED)
    ledger.seal()
    rewrite(keep_leaves=3)
    with pytest.raises(LogBehindSignedCheckpoint):
        ledger.seal()
    assert "LOG_BEHIND_SIGNED_CHECKPOINT" in {finding.code for finding in audits.audit()}


def test_a_rewritten_history_is_found_by_the_file_outside_the_database():
    record(5, kind=EntryKind.STAFF_VIEWED)
    ledger.seal()
    rewrite()
    with pytest.raises(LogBehindSignedCheckpoint):
        ledger.seal()


@pytest.mark.parametrize("keep_leaves", [None, 3])
def test_without_the_file_the_chain_finds_it(world, chain, keep_leaves):
    as_superuser("DELETE FROM ledger_chainevent", "DELETE FROM ledger_anchor", "DELETE FROM ledger_anchorattempt")
    rewrite(keep_leaves=keep_leaves)
    seal_without_memory()

    assert audits.audit() == []
    codes = {finding.code for finding in audits.audit_chain(chain)}
    assert codes >= {"CHAIN_HEAD_DIFFERS", "CHAIN_ROOT_DIFFERS"}


def test_without_file_and_chain_an_outside_verifier_with_an_older_checkpoint_finds_it(tmp_path):
    record(5, kind=EntryKind.STAFF_VIEWED)
    kept = ledger.seal().note.encode()
    rewrite()
    record(2, kind=EntryKind.STAFF_VIEWED)
    seal_without_memory()

    call_command("verify_ledger", "--no-chain", stdout=StringIO())
    archive = stores.open_store(archiving.export(to=tmp_path / "archive").path)
    assert checks.accepted(checks.verify(archive, policy=ledger.trust_policy()))
    assert not checks.accepted(checks.verify(archive, policy=ledger.trust_policy(), since=kept))


def test_without_file_and_chain_a_witness_finds_it(tmp_path):
    record(5, kind=EntryKind.STAFF_VIEWED)
    ledger.seal()
    with witnesses.admitted(tmp_path / "w", log=Log.objects.get(), name="witness.example/w"):
        ledger.seal()
        assert ledger.ask_witnesses().cosigned == ("witness.example/w",)
        rewrite()
        record(2, kind=EntryKind.STAFF_VIEWED, subject=EXCHANGE)
        seal_without_memory()

        answer = ledger.ask_witnesses()

        assert answer.cosigned == ()
        assert answer.troubles == (
            ("witness.example/w", log_actions.HELD_BY_WITNESS),
        )  # our own signature, on another history


def test_a_rewritten_business_table_is_found_by_the_log_and_a_rewritten_log_by_the_business():
    record(1, kind=EntryKind.SETTLEMENT_CHARGED)
    ledger.seal()
    with pytest.raises(CommandError):
        call_command("verify_ledger", "--no-chain", stdout=(output := StringIO()))
    assert output.getvalue().startswith("ENTRY_WITHOUT_ROW  ledger_entry ")
    assert (Leaf.objects.count(), Checkpoint.objects.count()) == (1, 1)
