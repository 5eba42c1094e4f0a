"""Notices at the exchange: no result without them, everybody may fetch them, and they tell it nothing."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from compute.actions import notices as actions
from compute.api.notices import NoticePages
from compute.models import NoticeBatch, NoticeToken
from compute.protocol import notices
from compute.protocol.notices import Batch
from contracts.models import UsageRecord
from exchange.client.commands import subject
from tests.factories import notices as cards
from tests.factories import scoring_world as scoring
from tests.factories.scoring_world import ScoringWorld

pytestmark = pytest.mark.django_db


@pytest.fixture
def world():
    return ScoringWorld()


@dataclass
class Api:
    """The command line's way to the exchange, without the wire."""

    http: Client

    def get_bytes(self, path: str) -> bytes:
        answer = self.http.get(path)
        assert answer.status_code == 200
        return answer.content


def fetched(client, since) -> list[Batch]:
    """What anybody gets who asks for a window, by the command line's own reading."""
    api = Api(client)
    return [subject.fetch(api, item) for item in subject.listing(api, since=str(since))]


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
    listed = client.get(f"/api/v1/notices/?since={timezone.now().date()}").json()["results"]
    assert listed == [{"ref": batches[0].ref, "day": str(timezone.now().date()), "count": 64, "pieces": 1}]


def test_the_exchange_keeps_no_key_of_a_person(world):
    card = cards.card()
    _, (bank, *_) = world.running()
    scoring.send(bank, scoring.batch_of(bank, [card["public_key"]]))

    kept = NoticeBatch.objects.get()
    stored = bytes(kept.statement) + b"".join(bytes(chunk.records) for chunk in kept.chunks.all())
    for half in ("public_key", "private_key"):
        assert bytes.fromhex(card[half]) not in stored
        assert card[half].encode() not in stored


def test_many_batches_come_in_pages_and_pieces(world, client, monkeypatch):
    monkeypatch.setattr(notices, "CHUNK_RECORDS", 24)
    monkeypatch.setattr(NoticePages, "page_size", 1)
    card = cards.card()
    refs = {scoring.score(world, [card["public_key"]])[1].ref for _ in range(2)}

    batches = fetched(client, timezone.now().date())

    assert {batch.ref for batch in batches} == refs
    assert {batch.count for batch in batches} == {64}
    assert len(opened(batches, card)) == 2
    assert fetched(client, timezone.now().date() + timedelta(days=1)) == []
    assert client.get("/api/v1/notices/").status_code == 400
    place = f"/api/v1/notices/{batches[0].ref}"
    assert "max-age" in client.get(f"{place}/2/")["Cache-Control"]
    assert client.get(f"{place}/3/").status_code == 404


def test_without_its_notices_a_scoring_is_not_released(world, monkeypatch):
    """Not sent, half sent, not named, another root: refused, and nothing is charged; sent and named: released."""
    monkeypatch.setattr(notices, "CHUNK_RECORDS", 32)
    computation, (bank, *agencies) = world.running()
    batch = scoring.batch_of(bank, [cards.card()["public_key"]])
    half = Batch(batch.ref, batch.statement, batch.records[: 32 * notices.RECORD_BYTES])
    other = Batch(batch.ref, batch.statement, batch.records[:-1] + b"\0")
    for node in agencies:
        assert node.submit().status == 200

    for sent, named in ((None, None), (None, batch), (half, batch), (half, half), (batch, None), (batch, other)):
        if sent is not None:
            scoring.send(bank, sent)
        answer = scoring.submit(bank, named)
        assert (answer.status, answer.code) == (400, "REPORT_INVALID")
    assert scoring.settle(computation).state == "executing"
    assert not NoticeBatch.objects.filter(published__isnull=False).exists()
    assert not UsageRecord.objects.exists()

    assert scoring.submit(bank, batch).status == 200
    assert scoring.settle(computation).state == "released"


def test_with_the_check_off_the_bank_may_tell_nobody(world, monkeypatch):
    """Sister of the test above."""
    monkeypatch.setattr(actions, "check", lambda report, *, task, computation: None)
    computation, nodes = world.running()
    for node in nodes:
        assert node.submit().status == 200
    assert scoring.settle(computation).state == "released"


def test_what_is_no_piece_is_refused_and_one_sent_twice_counts_once(world):
    _, (bank, agency, *_) = world.running()
    batch = scoring.batch_of(bank, [])
    wrong = (
        {"records": ""},
        {"records": "AAAA"},
        {"records": "%%%"},
        {"records": "A" * 4 * notices.CHUNK_RECORDS * notices.RECORD_BYTES},
        {"statement": ""},
        {"number": 1},
        {"number": 16},
    )
    for change in wrong:
        (answer,) = scoring.send(bank, batch, **change)
        assert (answer.status, answer.code) == (400, "PART_INVALID"), change
    (answer,) = scoring.send(agency, batch)
    assert (answer.status, answer.code) == (400, "PART_INVALID"), "an agency has nobody to notify"
    assert not NoticeBatch.objects.exists()

    assert [answer.status for answer in scoring.send(bank, batch) + scoring.send(bank, batch)] == [200, 200]
    assert [answer.code for answer in scoring.send(bank, scoring.batch_of(bank, []))] == ["PART_INVALID"]
    assert NoticeToken.objects.count() == 64


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
