"""Idempotency-Key: the first answer, for ever; never a second effect."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from rest_framework.exceptions import Throttled
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from exchange.kernel.errors import DomainError, InvalidInput
from exchange.members.models import User
from exchange.web.idempotency import idempotent
from exchange.web.models import IdempotencyRecord
from tests.factories import members


class Gone(DomainError):
    code = "GONE"


class CountingView(APIView):
    """Makes a person for each call it takes, then answers as asked."""

    gate: threading.Event | None = None
    entered = threading.Event()

    @idempotent
    def post(self, request):
        person = members.person()
        if self.gate is not None:
            self.entered.set()
            self.gate.wait(10)
        outcome = {
            "refuse": InvalidInput("no"),
            "conflict": Gone("no"),
            "throttle": Throttled(),
            "crash": ZeroDivisionError(),
        }
        if request.data.get("do") in outcome:
            raise outcome[request.data["do"]]
        return Response({"made": person.ref}, status=201)


def send(user, body, key="k1", view=CountingView):
    headers = {} if key is None else {"Idempotency-Key": key}
    request = APIRequestFactory().post("/somewhere/", body, format="json", headers=headers)
    force_authenticate(request, user=user)
    return view.as_view()(request)


@pytest.fixture
def caller():
    return members.person()


def made():
    return User.objects.count() - 1


@pytest.mark.django_db
def test_the_same_request_again_is_answered_as_the_first_time(caller):
    first, again = send(caller, {"a": 1}), send(caller, {"a": 1})

    assert (again.status_code, again.content) == (201, b'{"made":"%s"}' % first.data["made"].encode())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert made() == 1


@pytest.mark.django_db
def test_without_a_key_every_request_counts(caller):
    send(caller, {}, key=None)
    send(caller, {}, key=None)

    assert made() == 2


@pytest.mark.django_db
def test_another_request_under_the_key_is_refused(caller):
    send(caller, {"a": 1})

    second = send(caller, {"a": 2})

    assert (second.status_code, second.data["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert made() == 1


@pytest.mark.django_db
def test_two_callers_may_use_the_same_key(caller):
    other = members.person()
    send(caller, {})
    assert "Idempotency-Replayed" not in send(other, {}).headers


@pytest.mark.django_db
def test_a_refusal_is_kept_and_its_effects_are_not(caller):
    first, again = send(caller, {"do": "refuse"}), send(caller, {"do": "refuse"})

    assert (first.status_code, again.status_code) == (400, 400)
    assert b"INVALID_INPUT" in again.content
    assert made() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("do", ["conflict", "throttle"])
def test_an_answer_that_a_repeat_may_improve_is_not_kept(caller, do):
    send(caller, {"do": do})

    assert not IdempotencyRecord.objects.exists()
    assert made() == 0


@pytest.mark.django_db
def test_our_own_mistake_is_not_kept(caller):
    with pytest.raises(ZeroDivisionError):
        send(caller, {"do": "crash"})

    assert not IdempotencyRecord.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 256, "键"])
def test_a_faulty_key_is_refused(caller, key):
    request = APIRequestFactory().post("/somewhere/", {}, format="json", HTTP_IDEMPOTENCY_KEY=key)
    force_authenticate(request, user=caller)

    assert CountingView.as_view()(request).data["code"] == "IDEMPOTENCY_KEY_INVALID"


@pytest.mark.django_db(transaction=True)
def test_a_twin_in_flight_is_told_to_wait(caller):
    class Slow(CountingView):
        gate = threading.Event()
        entered = threading.Event()

    def first():
        try:
            return send(caller, {}, view=Slow)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert Slow.entered.wait(10)
        twin = send(caller, {}, view=Slow)
        Slow.gate.set()

    assert (twin.status_code, twin.data["code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
    assert running.result().status_code == 201
    assert made() == 1
