"""Notices at the exchange: no result without them, everybody may fetch them, and they tell it nothing."""

import struct
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from compute.actions import notices as actions
from compute.models import NoticeBatch, NoticeToken
from compute.protocol import notices
from compute.protocol.notices import Batch
from tests.factories import notices as cards
from tests.factories import scoring_world as scoring
from tests.factories.scoring_world import ScoringWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return ScoringWorld()


def fetched(client, since) -> list[Batch]:
    """What anybody gets who asks for a window."""
    found, place = [], f"/api/v1/notices/?since={since}"
    while place:
        page = client.get(place).json()
        place = page["next"]
        for item in page["results"]:
            pieces = [client.get(f"/api/v1/notices/{item['ref']}/{n}/").content for n in range(item["pieces"])]
            (size,) = struct.unpack(">I", pieces[0][:4])
            records = b"".join(piece[4 + (size if n == 0 else 0) :] for n, piece in enumerate(pieces))
            found.append(Batch(item["ref"], pieces[0][4 : 4 + size], records))
    return found


def opened(batches, card):
    return [found for batch in batches for found in notices.open_batch(batch, key=notices.card_key(card))]


def test_the_person_finds_the_run_and_a_stranger_finds_nothing(world, client):
    mine, stranger = cards.card(), cards.card()
    computation, _ = scoring.score(world, [mine["public_key"], ""])
    assert computation.state == "released"

    batches = fetched(client, timezone.now().date())

    (found,) = opened(batches, mine)
    assert found.statement["computation"] == computation.urn
    assert found.statement["buyer"]["organization"] == world.organizations["bank"].urn
    assert NoticeBatch.objects.with_token(found.token).get().computation == computation
    assert opened(batches, stranger) == []
    assert not NoticeBatch.objects.with_token(bytes(16)).exists()
    report = computation.tasks.get(role="requester").report
    assert report["notices"] == batches[0].reported()


def test_the_list_names_no_run_and_no_party(world, client):
    computation, batch = scoring.score(world, [cards.card()["public_key"]] * 3)

    page = client.get(f"/api/v1/notices/?since={timezone.now().date()}").json()

    assert page["results"] == [
        {"ref": batch.ref, "day": str(timezone.now().date()), "count": 64, "pieces": 1},
    ]
    assert computation.ref not in str(page)


def test_the_exchange_keeps_no_key_of_a_person(world):
    card = cards.card()
    scoring.score(world, [card["public_key"]])

    kept = NoticeBatch.objects.get()
    stored = bytes(kept.statement) + b"".join(bytes(chunk.records) for chunk in kept.chunks.all())
    for half in ("public_key", "private_key"):
        assert bytes.fromhex(card[half]) not in stored
        assert card[half].encode() not in stored
    assert NoticeToken.objects.count() == 64


@pytest.mark.parametrize("case", ["none named", "none sent", "another root", "a piece short"])
def test_without_its_notices_a_scoring_is_not_released(world, case, monkeypatch):
    """And nothing is charged."""
    monkeypatch.setattr(notices, "CHUNK_RECORDS", 32)
    computation, (bank, *agencies) = world.running()
    batch = scoring.batch_of(bank, [cards.card()["public_key"]])
    named = batch
    if case == "a piece short":
        scoring.send(bank, Batch(batch.ref, batch.statement, batch.records[: 32 * notices.RECORD_BYTES]))
    elif case != "none sent":
        scoring.send(bank, batch)
    if case == "another root":
        named = Batch(batch.ref, batch.statement, batch.records[:-1] + b"\0")

    answer = scoring.submit(bank, None if case == "none named" else named)
    for node in agencies:
        node.submit()

    assert (answer.status, answer.code) == (400, "REPORT_INVALID")
    assert scoring.settle(computation).state == "executing"
    assert not NoticeBatch.objects.filter(published__isnull=False).exists()


def test_with_the_check_off_the_bank_may_tell_nobody(world, monkeypatch):
    """Sister of the test above."""
    monkeypatch.setattr(actions, "check", lambda report, *, task, computation: None)
    computation, nodes = world.running()
    for node in nodes:
        assert node.submit().status == 200
    assert scoring.settle(computation).state == "released"


def test_a_piece_sent_twice_counts_once(world):
    _, (bank, *_) = world.running()
    batch = scoring.batch_of(bank, [])
    first, again = scoring.send(bank, batch), scoring.send(bank, batch)
    assert [answer.status for answer in first + again] == [200, 200]
    assert scoring.submit(bank, batch).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"records": ""},
        {"records": "AAAA"},
        {"records": "%%%"},
        {"statement": ""},
        {"number": 1},
        {"number": 16},
    ],
    ids=str,
)
def test_what_is_no_piece_is_refused(world, change):
    _, (bank, *_) = world.running()
    (answer,) = scoring.send(bank, scoring.batch_of(bank, []), **change)
    assert (answer.status, answer.code) == (400, "PART_INVALID")
    assert not NoticeBatch.objects.exists()


def test_an_agency_cannot_send_notices(world):
    _, (bank, agency, *_) = world.running()
    (answer,) = scoring.send(agency, scoring.batch_of(bank, []))
    assert (answer.status, answer.code) == (400, "PART_INVALID")


def test_tokens_of_a_published_batch_cannot_be_taken_over(world):
    """Their digests are public: a second batch with them would claim its objections."""
    _, batch = scoring.score(world, [])
    _, (bank, *_) = world.running()
    copied = scoring.batch_of(bank, [])
    copied = Batch(copied.ref, copied.statement, batch.records)

    (answer,) = scoring.send(bank, copied)

    assert (answer.status, answer.code) == (400, "PART_INVALID")
    assert NoticeBatch.objects.count() == 1


def test_a_batch_is_published_only_with_the_result(world, client):
    _, (bank, *_) = world.running()
    batch = scoring.batch_of(bank, [])
    scoring.send(bank, batch)
    assert scoring.submit(bank, batch).status == 200

    assert fetched(client, timezone.now().date()) == []
    assert client.get(f"/api/v1/notices/{batch.ref}/0/").status_code == 404


def test_a_window_is_asked_for_and_pieces_may_be_cached(world, client):
    _, batch = scoring.score(world, [])
    assert client.get("/api/v1/notices/").status_code == 400
    assert fetched(client, timezone.now().date() + timedelta(days=1)) == []
    assert "max-age" in client.get(f"/api/v1/notices/{batch.ref}/0/")["Cache-Control"]
    assert client.get(f"/api/v1/notices/{batch.ref}/1/").status_code == 404


def test_old_notices_and_those_of_runs_without_a_result_are_forgotten(world):
    scoring.score(world, [])
    _, (bank, *_) = world.running()
    scoring.send(bank, scoring.batch_of(bank, []))
    now = timezone.now()

    assert actions.forget(now=now) == 0
    assert actions.forget(now=now + timedelta(days=2)) == 1
    assert actions.forget(now=now + timedelta(days=settings.NOTICE_RETENTION_DAYS)) == 0
    assert actions.forget(now=now + timedelta(days=settings.NOTICE_RETENTION_DAYS + 1)) == 1
    assert not NoticeToken.objects.exists()
