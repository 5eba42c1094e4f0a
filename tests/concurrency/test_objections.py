"""The same person files from many windows, and two nodes answer at once: one objection, one answer, one entry each."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from exchange.subjects.actions import objections
from exchange.subjects.models import Objection
from exchange.subjects.states import ObjectionState
from ledger.models import Entry
from tests.concurrency.test_contracts_reservations import in_parallel
from tests.factories.objections import Subject

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
CALLS, LANES = 48, 8


@pytest.fixture
def subject():
    return Subject()


def file_many(subject):
    """Every window seals anew, so no two send the same bytes."""
    sealed = [subject.sealed() for _ in range(CALLS)]

    def work(number):
        objections.file(
            token=subject.token, organization=subject.provider.urn, sealed=sealed[number], now=timezone.now()
        )

    return in_parallel(CALLS, work, workers=LANES)


def test_one_objection_for_each_token_and_provider(subject):
    answers = file_many(subject)

    assert answers == {"granted": 1, "OBJECTION_EXISTS": CALLS - 1}
    assert Objection.objects.count() == 1
    assert Entry.objects.filter(kind="objection.filed").count() == 1


def test_without_the_unique_key_there_are_many(subject):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE subjects_objection DROP CONSTRAINT objection_once")
    try:
        answers = file_many(subject)
        found = Objection.objects.count()
    finally:
        Objection.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE subjects_objection ADD CONSTRAINT objection_once UNIQUE (token_digest, organization_id)"
            )

    assert answers["granted"] == found > 1


def answer_many(subject):
    filed = subject.file()
    objections.mark(ref=filed.ref, organization=subject.provider, now=timezone.now())
    sealed = [subject.sealed_answer(filed) for _ in range(CALLS)]

    def work(number):
        objections.answer(
            ref=filed.ref,
            organization=subject.provider,
            outcome="corrected",
            sealed=sealed[number],
            now=timezone.now(),
        )

    return in_parallel(CALLS, work, workers=LANES)


def test_one_answer_stands_and_every_other_is_refused(subject):
    answers = answer_many(subject)

    assert answers == {"granted": 1, "OBJECTION_CLOSED": CALLS - 1}
    assert Entry.objects.filter(kind="objection.answered").count() == 1


def test_with_the_conditional_update_off_an_answer_is_overwritten(subject, monkeypatch):
    """Read, decide, write: several believe to be the one whose answer the person reads."""

    def read_decide_write(found, to, **fields):
        if Objection.objects.get(pk=found.pk).state == ObjectionState.ANSWERED.value:
            return False
        Objection.objects.filter(pk=found.pk).update(state=to.value, **fields)
        found.state = to.value
        return True

    monkeypatch.setattr(objections, "_move", read_decide_write)
    answers = answer_many(subject)

    assert answers["granted"] > 1
    assert Objection.objects.get().state == "answered"  # nobody would notice


def test_many_sweeps_find_one_overdue_once(subject):
    filed = subject.file(now=timezone.now() - timedelta(days=60))

    in_parallel(LANES, lambda _: objections.sweep(now=timezone.now()), workers=LANES)

    assert list(Entry.objects.filter(subject=filed.urn).values_list("kind", flat=True).order_by("pk")) == [
        "objection.filed",
        "objection.overdue",
    ]
