"""Idempotency-Key: a POST that may be sent again, and is answered as the first time.

The first answer is stored in the transaction of the action itself, so there is never an effect without
its answer, nor an answer without its effect. Same key and same request: the first answer. Same key and
another request: 409 IDEMPOTENCY_KEY_REUSED. The first one still running: 409 IDEMPOTENCY_IN_FLIGHT.
Answers that a repeat may improve (409, 429, 5xx) are not stored. Keys are the caller's own: two
people, and one person in two roles, may use the same one.
"""

import hashlib
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.kernel.errors import DomainError, InvalidInput
from exchange.web import problems
from exchange.web.models import IdempotencyRecord
from exchange.web.requests import membership_of, user_of
from ledger.proofs import canonical

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 255
_NOT_STORED = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}

Handler = TypeVar("Handler", bound=Callable[..., HttpResponseBase])


class KeyReused(DomainError):
    """The key was used for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class KeyInFlight(DomainError):
    """The first request under this key has not been answered yet."""

    code = "IDEMPOTENCY_IN_FLIGHT"


class KeyInvalid(InvalidInput):
    """The key is empty, too long, or not printable ASCII."""

    code = "IDEMPOTENCY_KEY_INVALID"


def idempotent(handler: Handler) -> Handler:
    """Make a DRF view's `post` honour Idempotency-Key; without the header nothing changes."""

    @wraps(handler)
    def answer_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            raise KeyInvalid(f"{HEADER} must have 1 to {MAX_KEY} printable ASCII characters.")
        actor = _actor(request)
        digest = _request_digest(request)
        with transaction.atomic():
            if not _claim(actor, key):
                raise KeyInFlight("The first request under this key is still being answered; ask again in a moment.")
            first = IdempotencyRecord.objects.filter(actor=actor, key=key).first()
            if first is not None:
                return _replay(first, digest)
            response = _run(handler, view, request, args, kwargs)
            _store(response, actor=actor, key=key, digest=digest)
            return response

    answer_once.is_idempotent = True  # type: ignore[attr-defined]  # read by the test that walks the URL map
    return answer_once  # type: ignore[return-value]


def _actor(request: Request) -> str:
    membership = membership_of(request)
    if membership is not None:  # not the organisation's: a colleague may not be shown what another role was answered
        return membership.ref
    user = user_of(request)
    return user.ref if user is not None else "visitor"


def _request_digest(request: Request) -> str:
    head = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(head + canonical.encode(request.data)).hexdigest()


def _claim(actor: str, key: str) -> bool:
    """Hold the key until the transaction ends; False when another request holds it."""
    name = int.from_bytes(hashlib.sha256(f"{actor}\n{key}".encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [name])
        return bool(cursor.fetchone()[0])


def _run(
    handler: Callable[..., HttpResponseBase], view: Any, request: Request, args: Any, kwargs: Any
) -> HttpResponseBase:
    """The handler's answer; a refusal is an answer too, and undoes what the handler had begun."""
    try:
        with transaction.atomic():
            return handler(view, request, *args, **kwargs)
    except Exception as error:
        response = problems.handle(error, {"view": view, "request": request})
        if response is None:
            raise
        return response


def _store(response: HttpResponseBase, *, actor: str, key: str, digest: str) -> None:
    if response.status_code in _NOT_STORED or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return
    if isinstance(response, Response):
        body = JSONRenderer().render(response.data)
        content_type = response.content_type or "application/json"
    elif isinstance(response, HttpResponse):
        body, content_type = response.content, response.headers["Content-Type"]
    else:
        raise TypeError("an idempotent view cannot stream its answer")
    IdempotencyRecord.objects.create(
        actor=actor,
        key=key,
        request_digest=digest,
        status=response.status_code,
        content_type=content_type,
        body=body,
    )


def _replay(first: IdempotencyRecord, digest: str) -> HttpResponse:
    if first.request_digest != digest:
        raise KeyReused("This key was used for another request; give each request its own key.")
    response = HttpResponse(bytes(first.body), status=first.status, content_type=first.content_type)
    response.headers[REPLAYED] = "true"
    return response
