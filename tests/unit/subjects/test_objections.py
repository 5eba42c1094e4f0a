"""Objections at the exchange: filed with a token, marked, answered, overdue; one entry for each step."""

from datetime import UTC, datetime, timedelta

import pytest

from compute.protocol.shapes import DocumentInvalid
from exchange.kernel.errors import InvalidTransition, NotFound
from exchange.subjects import deadlines, errors
from exchange.subjects.actions import objections
from exchange.subjects.models import Objection
from exchange.subjects.states import OBJECTION, ObjectionState
from ledger.actions.entries import payload_of
from ledger.models import Entry
from tests.factories.objections import DISPUTED, IDENTIFIER, Subject, digest

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture
def subject():
    return Subject()


def kinds(found: Objection) -> list[str]:
    return list(Entry.objects.filter(subject=found.urn).order_by("pk").values_list("kind", flat=True))


def test_file_keeps_sealed_bytes_and_says_so_in_the_ledger(subject):
    sealed = subject.sealed()

    filed = objections.file(token=subject.token, organization=subject.provider.urn, sealed=sealed, now=NOW)

    assert (filed.state, filed.computation, filed.organization) == ("filed", subject.computation, subject.provider)
    assert filed.last_day == "2026-12-11"
    (entry,) = Entry.objects.filter(subject=filed.urn)
    assert payload_of(entry) == {
        "objection": filed.urn,
        "computation": subject.computation.urn,
        "organization": subject.provider.urn,
        "sealed_digest": digest(sealed),
        "last_day": "2026-12-11",
    }


def test_nothing_of_the_person_is_kept(subject):
    filed = subject.file()

    kept = str(list(Objection.objects.values().get().values())).encode() + bytes(filed.sealed)
    kept += str(payload_of(Entry.objects.get(subject=filed.urn))).encode()
    for secret in (IDENTIFIER, DISPUTED[:4], subject.card["public_key"], subject.token.hex()):
        assert secret.encode() not in kept


def test_the_same_bytes_again_are_the_same_objection(subject):
    sealed = subject.sealed()
    first, again = (
        objections.file(token=subject.token, organization=subject.provider.urn, sealed=sealed, now=NOW + later)
        for later in (timedelta(), timedelta(days=1))
    )

    assert (first.pk, first.filed_at) == (again.pk, again.filed_at)
    assert Entry.objects.filter(subject=first.urn).count() == 1


def test_another_objection_to_the_same_provider_is_refused_and_to_another_is_not(subject):
    subject.file()
    other = subject.world.organizations["fund-b"]

    with pytest.raises(errors.ObjectionExists):
        subject.file(disputed="something else")
    second = objections.file(token=subject.token, organization=other.urn, sealed=subject.sealed(), now=NOW)

    assert second.organization == other
    assert Objection.objects.count() == 2


def test_without_a_token_of_a_published_notice_nothing_is_filed(subject):
    with pytest.raises(errors.NoticeTokenUnknown):
        objections.file(token=bytes(16), organization=subject.provider.urn, sealed=subject.sealed(), now=NOW)
    subject.computation.tasks.get(rank=0).notices.delete()
    with pytest.raises(errors.NoticeTokenUnknown):
        subject.file()

    assert not Objection.objects.exists()
    assert not Entry.objects.filter(kind="objection.filed").exists()


def test_an_unpublished_notice_files_nothing(subject):
    batch = subject.computation.tasks.get(rank=0).notices
    batch.published = None
    batch.save()

    with pytest.raises(errors.NoticeTokenUnknown):
        subject.file()


def test_who_gave_nothing_to_the_run_is_not_objected_to(subject):
    for name in ("bank",):
        with pytest.raises(errors.ObjectionNotToProvider):
            objections.file(
                token=subject.token,
                organization=subject.world.organizations[name].urn,
                sealed=subject.sealed(),
                now=NOW,
            )


def test_bytes_of_another_length_are_refused(subject):
    with pytest.raises(DocumentInvalid):
        objections.file(token=subject.token, organization=subject.provider.urn, sealed=b"x" * 100, now=NOW)


def test_from_filed_to_answered_with_an_entry_for_each_step(subject):
    filed = subject.file()
    marked = objections.mark(ref=filed.ref, organization=subject.provider, now=NOW)
    sealed = subject.sealed_answer(filed, outcome="upheld")
    answered = objections.answer(ref=filed.ref, organization=subject.provider, outcome="upheld", sealed=sealed, now=NOW)

    assert (marked.state, answered.state, answered.outcome) == ("marked", "answered", "upheld")
    assert kinds(filed) == ["objection.filed", "objection.marked", "objection.answered"]
    entry = Entry.objects.get(kind="objection.answered")
    assert entry.issuer == subject.provider.urn
    assert payload_of(entry)["sealed_digest"] == digest(sealed)


def test_every_step_again_changes_nothing(subject):
    filed = subject.file()
    for _ in range(2):
        objections.mark(ref=filed.ref, organization=subject.provider, now=NOW)
    sealed = subject.sealed_answer(filed)
    for later in range(2):
        answered = objections.answer(
            ref=filed.ref,
            organization=subject.provider,
            outcome="corrected",
            sealed=sealed,
            now=NOW + timedelta(days=later),
        )
    again = objections.mark(ref=filed.ref, organization=subject.provider, now=NOW)

    assert (answered.answered_at, again.state) == (NOW, "answered")
    assert len(kinds(filed)) == 3


def test_an_answer_is_not_changed_afterwards(subject):
    filed = subject.file()
    subject.answer(filed)

    with pytest.raises(errors.ObjectionClosed):
        objections.answer(
            ref=filed.ref,
            organization=subject.provider,
            outcome="upheld",
            sealed=subject.sealed_answer(filed, outcome="upheld"),
            now=NOW,
        )


def test_first_the_mark_then_the_answer(subject):
    filed = subject.file()

    with pytest.raises(InvalidTransition):
        objections.answer(
            ref=filed.ref,
            organization=subject.provider,
            outcome="corrected",
            sealed=subject.sealed_answer(filed),
            now=NOW,
        )
    assert kinds(filed) == ["objection.filed"]


def test_another_provider_cannot_touch_it(subject):
    filed, other = subject.file(), subject.world.organizations["fund-b"]

    with pytest.raises(NotFound):
        objections.mark(ref=filed.ref, organization=other, now=NOW)
    with pytest.raises(NotFound):
        objections.answer(
            ref=filed.ref, organization=other, outcome="corrected", sealed=subject.sealed_answer(filed), now=NOW
        )


# --- the clock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filed", "last_day"),
    [
        (datetime(2026, 11, 21, 8, 0, tzinfo=UTC), "2026-12-11"),
        (datetime(2026, 11, 20, 15, 59, 59, tzinfo=UTC), "2026-12-10"),  # still the 20th in Beijing
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), "2026-12-11"),  # the 21st has begun there
        (datetime(2028, 2, 10, 8, 0, tzinfo=UTC), "2028-03-01"),  # a leap year
    ],
)
def test_twenty_days_of_beijing_and_the_day_of_receipt_does_not_count(filed, last_day):
    due = deadlines.due(filed)

    assert deadlines.last_day(due) == last_day
    assert due.astimezone(deadlines._CHINA).time().isoformat() == "00:00:00"


def test_overdue_is_found_once_and_only_after_the_last_day(subject):
    filed = subject.file(now=NOW)
    due = filed.due_at

    assert objections.sweep(now=due - timedelta(seconds=1)) == 0
    assert [objections.sweep(now=due + timedelta(hours=hour)) for hour in (0, 1)] == [1, 0]

    filed.refresh_from_db()
    assert (filed.state, filed.is_overdue, filed.overdue_at) == ("filed", True, due)
    assert kinds(filed) == ["objection.filed", "objection.overdue"]


def test_a_late_answer_counts_and_the_delay_stays_on_record(subject):
    filed = subject.file(now=NOW)
    objections.sweep(now=filed.due_at)
    answered = subject.answer(filed, now=filed.due_at + timedelta(days=3))

    assert (answered.state, answered.is_overdue, answered.overdue_at) == ("answered", False, filed.due_at)


def test_an_answered_objection_never_becomes_overdue(subject):
    filed = subject.file(now=NOW)
    subject.answer(filed, now=NOW)

    assert objections.sweep(now=filed.due_at + timedelta(days=100)) == 0


def test_the_beat_wakes_the_sweep(subject, settings):
    from exchange.subjects import tasks

    filed = subject.file(now=NOW - timedelta(days=60))
    assert settings.CELERY_BEAT_SCHEDULE["overdue-objections"]["task"] == tasks.find_overdue_objections.name

    tasks.find_overdue_objections()

    filed.refresh_from_db()
    assert filed.is_overdue


def test_the_table_leads_from_filed_over_marked_to_answered_and_no_other_way():
    assert OBJECTION.reachable(ObjectionState.FILED) == frozenset(ObjectionState)
    assert not OBJECTION.can(ObjectionState.FILED, ObjectionState.ANSWERED)
    assert OBJECTION.is_final(ObjectionState.ANSWERED)
