"""Recording facts: with their change or not at all, once for each key, and never twice readable."""

import hashlib

import pytest
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from ledger import actions as ledger
from ledger import schedule
from ledger.errors import DisclosureErased, KeyReused, NotInTransaction, PayloadInvalid
from ledger.kinds import EntryKind
from ledger.models import Disclosure, Entry, Pending
from tests.factories.ledger import EXCHANGE, SUBJECT, record

pytestmark = pytest.mark.django_db


def charge(key=None, subject=SUBJECT, kind=EntryKind.SETTLEMENT_CHARGED, payload=None):
    return ledger.record(kind=kind, subject=subject, issuer=EXCHANGE, payload=payload or {"amount_fen": 5}, key=key)


def test_an_entry_commits_to_its_payload_with_a_salt_of_its_own():
    first, second = charge(), charge()

    assert first.commit != second.commit
    disclosure = first.disclosure
    opened = hashlib.sha256(bytes(disclosure.salt) + b'{"amount_fen":5}').hexdigest()
    assert first.commit == opened
    assert len(disclosure.salt) == 32
    assert ledger.payload_of(first) == {"amount_fen": 5}
    assert Pending.objects.filter(entry__in=[first, second]).count() == 2


def test_a_key_names_one_fact_for_ever():
    first = charge("charge:1")

    assert charge("charge:1", payload={"amount_fen": 6}) == first
    assert Entry.objects.count() == Disclosure.objects.count() == Pending.objects.count() == 1
    assert ledger.payload_of(first) == {"amount_fen": 5}


@pytest.mark.parametrize("other", [{"subject": SUBJECT[:-1] + "9"}, {"kind": EntryKind.RESULT_RELEASED}])
def test_a_key_used_for_another_fact_is_refused(other):
    charge("charge:1")

    with pytest.raises(KeyReused):
        charge("charge:1", **other)
    assert Entry.objects.count() == 1


def test_a_change_that_is_rolled_back_takes_its_evidence_with_it():
    with transaction.atomic():
        charge()
        transaction.set_rollback(True)

    assert not Entry.objects.exists()
    assert not Pending.objects.exists()


@pytest.mark.parametrize(
    "payload", [{"price": 1.5}, {"n": 2**53}, {1: "x"}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": "y" * 300_000}]
)
def test_payloads_without_one_form_are_refused_and_nothing_is_written(payload):
    with pytest.raises(PayloadInvalid):
        charge(payload=payload)

    assert not Entry.objects.exists()


def test_an_unknown_kind_is_a_mistake_in_our_code():
    with pytest.raises(ValueError, match="nonsense"):
        charge(kind="nonsense")


def test_erasing_a_payload_leaves_its_proof(settings):
    entry = record(3)[1]
    ledger.seal()
    before = ledger.inclusion_proof(entry)

    ledger.erase(entry=entry)
    ledger.erase(entry=entry)

    entry = Entry.objects.get(pk=entry.pk)
    assert ledger.inclusion_proof(entry) == before
    with pytest.raises(DisclosureErased):
        ledger.entry_proof(entry)
    assert Disclosure.objects.filter(pk=entry.pk, payload=None, salt=None, erased_at__isnull=False).exists()


def test_one_transaction_wakes_the_sealer_once(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        record(3)

    assert len(callbacks) == 1


def test_a_dead_broker_does_not_hurt_the_change(monkeypatch, django_capture_on_commit_callbacks, caplog):
    class Dead:
        def apply_async(self, **_options):
            raise OperationalError

    monkeypatch.setattr(schedule.current_app, "signature", lambda _name: Dead(), raising=False)
    with django_capture_on_commit_callbacks(execute=True):
        charge()

    assert Entry.objects.count() == 1
    assert "next beat" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused():
    assert not connection.in_atomic_block

    with pytest.raises(NotInTransaction):
        charge()
    assert not Entry.objects.exists()
