"""Objections over HTTP: a person with a token and no account; a node with its signature."""

import base64
import json

import pytest
from django.core.cache import cache
from django.test import Client

from exchange.subjects.api.views import ObjectionThrottle
from exchange.subjects.models import Objection
from ledger.models import Entry
from tests.factories.compute import keys_of
from tests.factories.objections import Subject

pytestmark = pytest.mark.django_db
FILE, STATUS = "/api/v1/subjects/objections/", "/api/v1/subjects/objections/status/"


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def subject():
    return Subject()


@pytest.fixture
def nodes(subject):
    return subject.world.nodes()


def post(address, body):
    return Client().post(address, json.dumps(body), content_type="application/json")


def filing(subject, **changes):
    sealed = base64.b64encode(subject.sealed()).decode()
    return {"token": subject.token.hex(), "organization": subject.provider.urn, "sealed": sealed, **changes}


def test_a_person_files_and_reads_the_state_by_token_alone(subject):
    body = filing(subject)
    filed, again = post(FILE, body), post(FILE, body)
    state = post(STATUS, {"token": subject.token.hex()})

    assert (filed.status_code, again.status_code) == (201, 201)
    assert filed.json() == again.json()
    assert state.json() == [filed.json()]
    assert filed.json()["state"] == "filed"
    assert filed.json()["sealed_answer"] is None
    assert post(STATUS, {"token": "00" * 16}).json() == []


def test_the_answer_reaches_whoever_has_the_token_sealed(subject):
    filed = subject.file()
    sealed = subject.answer(filed).sealed_answer

    (state,) = post(STATUS, {"token": subject.token.hex()}).json()

    assert (state["state"], state["outcome"]) == ("answered", "corrected")
    assert base64.b64decode(state["sealed_answer"]) == bytes(sealed)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"token": "00" * 16}, 404, "NOTICE_TOKEN_UNKNOWN"),
        ({"token": "xyz"}, 400, "DOCUMENT_INVALID"),
        ({"organization": "urn:hengshu:org:01JD000000000000000000000F"}, 400, "OBJECTION_NOT_TO_PROVIDER"),
        ({"organization": "fund-a"}, 400, "INVALID_INPUT"),
        ({"sealed": base64.b64encode(b"x" * 100).decode()}, 400, "DOCUMENT_INVALID"),
        ({"sealed": "!"}, 400, "INVALID_INPUT"),
        ({"sealed": "A" * 30_000}, 400, "INVALID_INPUT"),
        ({"identifier": "990101198001010017"}, 400, "INVALID_INPUT"),
    ],
    ids=["unknown token", "no token", "no provider", "no urn", "wrong length", "no base64", "too long", "in the clear"],
)
def test_what_is_refused(subject, changes, status, code):
    answer = post(FILE, filing(subject, **changes))

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "990101198001010017" not in answer.content.decode()
    assert not Objection.objects.exists()


def test_one_address_files_only_so_many(subject, monkeypatch):
    monkeypatch.setattr(ObjectionThrottle, "THROTTLE_RATES", {"objection": "2/hour"})
    body = filing(subject)

    assert [post(FILE, body).status_code for _ in range(3)] == [201, 201, 429]


def test_the_node_fetches_its_own_and_reports(subject, nodes):
    filed = subject.file()
    fund_a, fund_b = nodes[0], nodes[1]

    (waiting,) = fund_a.call("objections").body["objections"]
    others = fund_b.call("objections").body
    marked = fund_a.call("mark_objection", objection=filed.urn)
    body = {
        "objection": filed.urn,
        "outcome": "corrected",
        "sealed_answer": base64.b64encode(subject.sealed_answer(filed)).decode(),
    }
    answers = [fund_a.call("answer_objection", **body) for _ in range(2)]

    assert base64.b64decode(waiting["sealed"]) == bytes(filed.sealed)
    assert (waiting["objection"], waiting["computation"]) == (filed.urn, subject.computation.urn)
    assert others == {"objections": [], "is_all": True}
    assert [one.body for one in (marked, *answers)] == [{"state": "marked"}, *[{"state": "answered"}] * 2]
    assert fund_a.call("objections").body["objections"] == []
    assert Entry.objects.filter(subject=filed.urn).count() == 3


def test_another_node_learns_not_even_that_it_exists(subject, nodes):
    filed = subject.file()
    other = nodes[1]

    found = other.call("mark_objection", objection=filed.urn)
    missing = other.call("mark_objection", objection="urn:hengshu:objection:01JD000000000000000000000F")

    assert (found.status, found.body) == (missing.status, missing.body)
    assert found.code == "NOT_FOUND"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"objection": "urn:hengshu:org:01JD000000000000000000000F"},
        {
            "objection": "urn:hengshu:objection:01JD000000000000000000000F",
            "outcome": "refused",
            "sealed_answer": "AA==",
        },
        {"objection": "urn:hengshu:objection:01JD000000000000000000000F", "outcome": "upheld", "sealed_answer": "AAA"},
    ],
)
def test_a_body_that_is_none_is_refused(nodes, body):
    assert nodes[0].call("answer_objection", **body).code == "NODE_MESSAGE_INVALID"


def test_an_unsigned_message_is_refused(subject):
    message = subject.world.nodes()[0].message("objections", {})
    message.pop("proof")
    answer = post("/api/v1/nodes/objections/", message)

    assert answer.json()["code"] == "NODE_UNKNOWN"


def test_many_come_page_by_page(subject, nodes, monkeypatch):
    monkeypatch.setattr("exchange.subjects.api.nodes.PAGE", 1)
    filed = subject.file()

    first = nodes[0].call("objections").body
    rest = nodes[0].call("objections", after=filed.urn).body

    assert (len(first["objections"]), first["is_all"]) == (1, False)
    assert rest == {"objections": [], "is_all": True}


def test_the_keys_of_the_factory_are_the_provider_s(subject):
    assert keys_of("fund-a").sealing_key in {item["sealing_key"] for item in subject.world.contract.terms["parties"]}
