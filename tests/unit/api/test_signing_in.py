"""Signing in under attack: guesses are counted, whoever they say they come from."""

from datetime import UTC, datetime

import pytest
import time_machine
from allauth.account.models import EmailAddress
from rest_framework.test import APIClient

from exchange.members.actions import people
from exchange.members.models import ApiToken
from tests.factories import members

pytestmark = pytest.mark.django_db


def attempt(username, password="wrong", **headers):
    body = {"username": username, "password": password}
    return APIClient().post("/api/v1/login/", body, format="json", headers=headers)


def test_the_eleventh_guess_at_one_name_waits_whatever_forwarded_address_it_claims():
    people.register(username="lin", email="lin@example.org", password=members.PASSWORD)

    answers = [attempt("lin", **{"X-Forwarded-For": f"10.0.0.{number}"}) for number in range(11)]

    assert [answer.status_code for answer in answers[:10]] == [401] * 10
    assert (answers[10].status_code, answers[10].json()["code"]) == (429, "TOO_MANY_REQUESTS")
    assert int(answers[10].headers["Retry-After"]) > 0
    # Nobody else is locked out, and the right name from elsewhere is not either.
    assert attempt("wang").status_code == 401


def test_a_list_of_names_from_one_address_ends_too():
    with time_machine.travel(
        datetime(2026, 11, 21, tzinfo=UTC), tick=False
    ):  # within one minute, however slow the machine is
        answers = [attempt(f"name{number}").status_code for number in range(121)]

    assert set(answers[:120]) == {401}
    assert answers[120] == 429


def test_a_wrong_name_and_a_wrong_password_look_the_same():
    people.register(username="lin", email="lin@example.org", password=members.PASSWORD)

    assert attempt("lin").json() == attempt("nobody").json()


def test_a_token_is_kept_as_a_digest_only():
    people.register(username="lin", email="lin@example.org", password=members.PASSWORD)

    value = attempt("lin", members.PASSWORD).json()["token"]

    assert len(value) >= 43
    assert value not in str(list(ApiToken.objects.values_list()))


def test_an_address_that_was_never_confirmed_signs_in_nowhere():
    user = people.register(username="lin", email="somebody.else@example.org", password=members.PASSWORD)
    EmailAddress.objects.filter(user=user).update(verified=False)

    answer = attempt("lin", members.PASSWORD)

    assert (answer.status_code, answer.json()["code"]) == (403, "ADDRESS_UNCONFIRMED")
    assert not ApiToken.objects.exists()
    assert attempt("lin", "wrong").json()["code"] == "SIGN_IN_REFUSED"
