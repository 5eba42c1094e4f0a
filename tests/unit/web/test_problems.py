"""Errors of the API: problem+json, a stable code, a sentence in the reader's language."""

import pytest
from rest_framework.test import APIClient

from exchange.web import error_table
from tests.factories import members

pytestmark = pytest.mark.django_db


def test_a_visitor_is_told_to_sign_in_in_their_language():
    chinese = APIClient().get("/api/v1/me/", headers={"Accept-Language": "zh-CN"})
    english = APIClient().get("/api/v1/me/", headers={"Accept-Language": "en"})

    assert chinese.headers["Content-Type"] == "application/problem+json"
    assert (chinese.json()["code"], english.json()["code"]) == ("SIGN_IN_NEEDED", "SIGN_IN_NEEDED")
    assert "请先登录" in chinese.json()["detail"]
    assert english.json()["detail"].isascii()
    assert chinese.headers["WWW-Authenticate"] == "Token"


def test_an_address_nobody_serves_is_a_problem_too():
    answer = APIClient().get("/api/v1/nothing/")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("_case", "body", "status", "code"),
    [
        ("not JSON", b"{", 400, "JSON_INVALID"),
        ("a duplicate name", b'{"username":"a","username":"b"}', 400, "JSON_INVALID"),
        ("a float", b'{"username":1.5}', 400, "JSON_INVALID"),
        ("no object", b"[]", 400, "BODY_NOT_OBJECT"),
        ("not UTF-8", b'{"username":"\xff"}', 400, "JSON_INVALID"),
        ("nothing in it", b"{}", 400, "INVALID_INPUT"),
    ],
)
def test_a_faulty_body_is_refused_with_a_code(_case, body, status, code):
    answer = APIClient().post("/api/v1/login/", body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_missing_fields_are_named():
    assert set(APIClient().post("/api/v1/login/", {}, format="json").json()["fields"]) == {"username", "password"}


def test_a_body_too_large_is_refused():
    answer = APIClient().post(
        "/api/v1/login/", b'{"username":"' + b"x" * 9_000_000 + b'"}', content_type="application/json"
    )

    assert answer.status_code == 413


def test_a_wrong_token_is_refused():
    client = APIClient(headers={"Authorization": "Token nonsense"})

    assert client.get("/api/v1/me/").json()["code"] == "TOKEN_INVALID"


def test_every_code_has_a_sentence_in_both_languages():
    assert [row.code for row in error_table.rows() if not row.zh or not row.en] == []


def test_codes_are_upper_snake_case():
    assert all(row.code.replace("_", "").isalnum() and row.code.isupper() for row in error_table.rows())


def test_pages_carry_the_security_headers():
    members.exchange()
    answer = APIClient().get("/healthz")

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
