"""Several sealers, and writers that commit late, on a real PostgreSQL."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from ledger import actions as ledger
from ledger import audits
from ledger.actions import log
from ledger.kinds import EntryKind
from ledger.models import Checkpoint, Entry, Leaf, Log, Pending
from tests.factories.ledger import EXCHANGE, SUBJECT, record

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count, work):
    """Run `work` in threads that start together; returns what they raised."""
    start, raised = threading.Barrier(count), []

    def run():
        try:
            start.wait(10)
            work()
        except Exception as error:  # noqa: BLE001  whatever it is, the test shows it
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_sealers_at_once_write_one_history(monkeypatch):
    monkeypatch.setattr(log, "BATCH", 10)
    record(100)

    assert at_once(4, ledger.seal) == []

    assert list(Leaf.objects.order_by("index").values_list("index", flat=True)) == list(range(100))
    assert Leaf.objects.values("entry").distinct().count() == 100
    assert Checkpoint.objects.latest_or_none().size == 100
    assert audits.audit() == []


def test_without_the_lock_a_sealer_gives_a_place_twice(monkeypatch):
    """The sister: a head read before another sealer's commit is an old one, and only the unique place stands behind."""
    log.open_first()
    read_before = Log.objects.get()
    record(10)
    assert log.sequence() == 10
    record(10)
    monkeypatch.setattr(log, "lock_log", lambda: read_before)

    with pytest.raises(IntegrityError):
        log.sequence()


def test_writers_and_sealers_together_lose_nothing():
    def write():
        for number in range(25):
            with transaction.atomic():
                ledger.record(
                    kind=EntryKind.RESULT_ACCEPTED, subject=SUBJECT, issuer=EXCHANGE, payload={"number": number}
                )
            if number % 5 == 0:
                ledger.seal()

    assert at_once(4, write) == []
    ledger.seal()

    assert Entry.objects.count() == Leaf.objects.count() == 100
    assert audits.audit() == []


def test_a_fact_that_commits_after_a_later_one_was_sealed_is_sealed_next():
    recorded, may_commit = threading.Event(), threading.Event()

    def slow():
        with transaction.atomic():
            ledger.record(kind=EntryKind.RESULT_ACCEPTED, subject=SUBJECT, issuer=EXCHANGE, payload={"slow": True})
            recorded.set()
            may_commit.wait(20)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert recorded.wait(20)
    later = record(1)[0]
    assert ledger.seal().size == 1
    may_commit.set()
    thread.join(20)

    assert ledger.seal().size == 2
    slow_one = Entry.objects.exclude(pk=later.pk).get()
    assert slow_one.pk < later.pk
    assert slow_one.leaf.index > later.leaf.index
    assert not Pending.objects.exists()


def test_one_key_at_once_is_one_fact():
    def write():
        with transaction.atomic():
            ledger.record(
                kind=EntryKind.SETTLEMENT_CHARGED, subject=SUBJECT, issuer=EXCHANGE, payload={"n": 1}, key="charge:1"
            )

    assert at_once(6, write) == []
    assert Entry.objects.count() == Pending.objects.count() == 1
