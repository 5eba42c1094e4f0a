"""The exchange's side of witnesses: whom it asks, what it keeps, and that a silent one holds nobody up."""

import socket
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from exchange.kernel.errors import InvalidInput
from ledger import actions as ledger
from ledger.actions import log as log_actions
from ledger.actions import proofs, witnessing
from ledger.errors import LogBehindSignedCheckpoint
from ledger.models import Checkpoint, Cosignature, Entry, Witness
from ledger.proofs import checkpoints, cosignatures, leaves, merkle, notes, tlog_policy, tlog_proof
from ledger.proofs.errors import VerificationError
from ledger.witness.rules import Held
from tests.factories import witnesses
from tests.factories.ledger import EXCHANGE, record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.unit.ledger.urlconf")]


@pytest.fixture
def log():
    return log_actions.open_first()


@pytest.fixture
def three(log, tmp_path):
    """Three real witnesses, each asked by the exchange."""
    with (
        witnesses.admitted(tmp_path / "a", log=log, name="a.example") as first,
        witnesses.admitted(tmp_path / "b", log=log, name="b.example") as second,
        witnesses.admitted(tmp_path / "c", log=log, name="c.example") as third,
    ):
        yield [first, second, third]


def test_every_witness_cosigns_what_extends_what_it_saw(log, three):
    record(3)
    first = ledger.seal()
    once = ledger.ask_witnesses()
    record(700)
    second = ledger.seal()
    again = ledger.ask_witnesses()

    assert set(once.cosigned) == set(again.cosigned) == {"a.example", "b.example", "c.example"}
    for checkpoint in (first, second):
        note = proofs.cosigned_note(checkpoint)
        assert len(cosignatures.verify(note, keys=[one.row.vkey for one in three])) == 3
        assert checkpoints.verify(note.encode(), keys=[log.vkey], origin=log.origin).size == checkpoint.size
    assert not Witness.objects.exclude(trouble="").exists()


def test_a_round_with_nothing_new_asks_nobody(three):
    record(1)
    ledger.seal()
    ledger.ask_witnesses()

    for one in three:
        one.listener.stop()

    assert ledger.ask_witnesses().troubles == ()
    assert Cosignature.objects.count() == 3


def test_a_silent_witness_holds_nobody_up_and_is_left_alone_for_a_while(three):
    silent = three[0].row
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        Witness.objects.filter(pk=silent.pk).update(url=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        record(1)
        ledger.seal()
        first = ledger.ask_witnesses()
        soon = ledger.ask_witnesses(now=timezone.now() + timedelta(seconds=1))
    later = ledger.ask_witnesses(now=timezone.now() + witnessing.REST + timedelta(seconds=1))

    assert set(first.cosigned) == {"b.example", "c.example"}
    assert first.troubles == (("a.example", "WITNESS_UNAVAILABLE"),)
    assert soon.troubles == ()
    assert later.troubles == (("a.example", "WITNESS_UNAVAILABLE"),)


def test_a_witness_that_forgot_nothing_refuses_a_second_history(log, three):
    """The database's owner rewrites history consistently; no witness goes along, whatever the log signs."""
    record(4)
    ledger.seal()
    ledger.ask_witnesses()
    honest = Checkpoint.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # what only a superuser can do
        cursor.execute("DELETE FROM ledger_cosignature; DELETE FROM ledger_checkpoint; DELETE FROM ledger_tile")
        cursor.execute("DELETE FROM ledger_leaf; UPDATE ledger_entry SET kind = 'organization.applied' WHERE id = %s",
                       [Entry.objects.order_by("pk").values_list("pk", flat=True).first()])  # fmt: skip
        cursor.execute("INSERT INTO ledger_pending SELECT id FROM ledger_entry")
        cursor.execute("UPDATE ledger_log SET size = 0")
        cursor.execute("SET session_replication_role = DEFAULT")
    from ledger import keys

    keys.signed_checkpoint_file().unlink()
    forged = ledger.seal()
    result = ledger.ask_witnesses()

    assert forged.size == honest.size
    assert forged.root != honest.root
    assert result.cosigned == ()
    assert {code for _, code in result.troubles} == {"WITNESS_HOLDS_OTHER"}
    assert witnessing.newest_cosigned(log) == forged  # no quorum is asked for yet
    assert all(one.program.state.held(log.origin).size == honest.size for one in three)
    # Each of them shows a note under our own key that this tree does not extend: nothing more is signed.
    record(1)
    with pytest.raises(LogBehindSignedCheckpoint):
        ledger.seal()
    for one in three:
        one.listener.stop()
    ledger.ask_witnesses(now=timezone.now() + timedelta(minutes=1))
    with pytest.raises(LogBehindSignedCheckpoint):
        ledger.seal()
    for one in three:
        ledger.withdraw_witness(witness=one.row, issuer=EXCHANGE)  # people have looked, and say so in the log
    assert ledger.seal().size > forged.size


def test_a_witness_that_only_says_so_stops_nobody(log, three):
    record(4)
    ledger.seal()
    ledger.ask_witnesses()
    stranger = checkpoints.Checkpoint(log.origin, 900, b"\1" * 32)
    lines = three[0].program.keys.cosign(checkpoints.format_text(stranger), at=1_795_000_000)
    note = notes.add_signatures(checkpoints.sign(stranger, key=three[0].program.keys.ed25519), lines)
    three[0].program.state.hold(log.origin, Held(900, b"\1" * 32, note, 1_795_000_000))
    record(1)
    ledger.seal()

    assert ledger.ask_witnesses().troubles == (("a.example", "WITNESS_AHEAD"),)
    record(1)
    assert ledger.seal().size == ledger.latest_checkpoint().size


def test_the_anchor_goes_for_the_checkpoint_with_the_quorum_and_does_not_wait_for_ever(log, three, settings):
    settings.LOG_WITNESS_QUORUM, settings.LOG_WITNESS_PATIENCE_SECONDS = 2, 30
    record(1)
    first = ledger.seal()
    assert witnessing.anchor_target(log) is None
    ledger.ask_witnesses()
    record(1)
    second = ledger.seal()

    assert witnessing.anchor_target(log) == first
    assert witnessing.anchor_target(log, now=timezone.now() + timedelta(seconds=31)) == second
    ledger.ask_witnesses()
    assert witnessing.anchor_target(log) == second


def test_the_quorum_is_never_larger_than_the_witnesses_there_are(three, settings):
    settings.LOG_WITNESS_QUORUM = 5

    assert witnessing.quorum() == 3
    ledger.withdraw_witness(witness=three[0].row, issuer=EXCHANGE)
    assert witnessing.quorum() == 2


def test_admitting_and_withdrawing_are_logged_once(log, three):
    witness = three[0].row
    same = ledger.admit_witness(name=witness.name, vkey=witness.vkey, url=witness.url, issuer=EXCHANGE)
    ledger.withdraw_witness(witness=witness, issuer=EXCHANGE)
    ledger.withdraw_witness(witness=witness, issuer=EXCHANGE)
    back = ledger.admit_witness(name=witness.name, vkey=witness.vkey, url=witness.url, issuer=EXCHANGE)

    assert same == back == witness
    kinds = list(Entry.objects.filter(subject=witness.urn).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["witness.admitted", "witness.withdrawn", "witness.admitted"]


@pytest.mark.parametrize(
    ("vkey", "url"),
    [
        ("nonsense", "http://127.0.0.1:1"),
        ("LOG", "http://127.0.0.1:1"),
        ("OK", "ftp://127.0.0.1"),
        ("OK", "http://u:p@h/"),
    ],
)
def test_what_is_no_witness_is_refused(log, three, vkey, url):
    keys = {"LOG": log.vkey, "OK": three[0].row.vkey}

    with pytest.raises(InvalidInput, match="not a witness"):
        ledger.admit_witness(name="x", vkey=keys.get(vkey, vkey), url=url, issuer=EXCHANGE)


def test_a_stock_verifier_needs_the_policy_file_and_the_proof_file_alone(client, three, settings):
    """tlog-policy and tlog-proof@v1, as served; the leaf's own bytes; nothing else of ours."""
    settings.LOG_WITNESS_QUORUM = 2
    entries = record(300)
    ledger.seal()
    before = tlog_proof.parse(client.get(f"/ledger/proof/{entries[7].ref}.tlog-proof").content)
    ledger.ask_witnesses()

    policy = tlog_policy.parse(client.get("/.well-known/tlog-policy").content)
    proof = tlog_proof.parse(client.get(f"/ledger/proof/{entries[7].ref}.tlog-proof").content)
    leaf = client.get(f"/ledger/bundle/{entries[7].ref}.json").json()["leaf"].encode()

    assert leaves.parse(leaf).entry == entries[7].urn
    tlog_proof.verify(proof, leaf_hash=merkle.leaf_hash(leaf), policy=policy)
    with pytest.raises(VerificationError) as refusal:
        tlog_proof.verify(before, leaf_hash=merkle.leaf_hash(leaf), policy=policy)
    assert refusal.value.code == "QUORUM_MISSING"


def test_bundles_and_proof_files_of_waiting_entries_say_so(client):
    waiting = record(1)[0]

    for address in (f"/ledger/proof/{waiting.ref}.tlog-proof", f"/ledger/bundle/{waiting.ref}.json"):
        answer = client.get(address)
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_YET_SEALED")
    assert client.get("/ledger/bundle/01JD0000000000000000000000.json").status_code == 404
    assert tlog_policy.parse(client.get("/.well-known/tlog-policy").content).quorum == "none"
