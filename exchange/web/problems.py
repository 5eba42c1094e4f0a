"""Errors of the API as RFC 9457 problem+json: a stable code for programs, a sentence in the reader's language."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.exceptions import TemplateDoesNotExist
from django.utils.translation import get_language
from rest_framework import exceptions
from rest_framework.response import Response

from exchange.kernel.errors import DomainError
from exchange.web import sentences
from ledger.proofs.errors import VerificationError

CONTENT_TYPE = "application/problem+json"
log = logging.getLogger(__name__)

FRAMEWORK_CODES: Mapping[type[exceptions.APIException], str] = {
    exceptions.ParseError: "JSON_INVALID",
    exceptions.NotAuthenticated: "SIGN_IN_NEEDED",
    exceptions.AuthenticationFailed: "TOKEN_INVALID",
    exceptions.PermissionDenied: "PERMISSION_REFUSED",
    exceptions.NotFound: "NOT_FOUND",
    exceptions.MethodNotAllowed: "METHOD_NOT_ALLOWED",
    exceptions.NotAcceptable: "NOT_ACCEPTABLE",
    exceptions.UnsupportedMediaType: "MEDIA_TYPE_UNSUPPORTED",
    exceptions.Throttled: "TOO_MANY_REQUESTS",
    exceptions.ValidationError: "INVALID_INPUT",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal as readers see it.

    Args:
        fields: for input errors, the field's path and what is wrong with it.
    """

    code: str
    status: int
    detail: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def document(self) -> dict[str, Any]:
        """The members of RFC 9457, and ours: `code`, and `fields` where there are some."""
        body: dict[str, Any] = {
            "type": f"{settings.PUBLIC_URL}/api/errors/#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return body | ({"fields": dict(self.fields)} if self.fields else {})


def of_refusal(error: DomainError) -> Problem:
    """A refusal of the domain: its own status and code."""
    detail = sentences.sentence(error.code, english=error.message, language=get_language() or "zh")
    return Problem(error.code, error.status, detail, error.fields)


def of_verification(error: VerificationError) -> Problem:
    """A document that is not what it claims to be: 400 with the proof's own code."""
    detail = sentences.sentence(error.code, english=f"{error.message}.", language=get_language() or "zh")
    return Problem(error.code, HTTPStatus.BAD_REQUEST, detail)


def of_code(code: str, status: int, english: str) -> Problem:
    """A problem that no exception stands for."""
    return Problem(code, status, sentences.sentence(code, english=english, language=get_language() or "zh"))


def json_response(problem: Problem) -> HttpResponse:
    """The problem as a plain Django response."""
    body = json.dumps(problem.document(), ensure_ascii=False)
    return HttpResponse(body, content_type=CONTENT_TYPE, status=problem.status)


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer for an exception in an API view; None lets Django answer 500 and tell the operators."""
    headers = {}
    if isinstance(error, DomainError):
        problem = of_refusal(error)
    elif isinstance(error, VerificationError):
        problem = of_verification(error)
    elif isinstance(error, Http404):
        problem = of_code("NOT_FOUND", HTTPStatus.NOT_FOUND, "There is nothing at this address.")
    elif isinstance(error, PermissionDenied):
        problem = of_code("PERMISSION_REFUSED", HTTPStatus.FORBIDDEN, "Your role does not include this step.")
    elif isinstance(error, exceptions.APIException):
        problem = _of_framework(error)
        if error.status_code == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Token"
        wait = getattr(error, "wait", None)
        if wait is not None:
            headers["Retry-After"] = str(int(wait) + 1)
    else:
        return None
    return Response(problem.document(), status=problem.status, headers=headers, content_type=CONTENT_TYPE)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address nobody serves: problem+json below /api/, a page elsewhere."""
    return _nothing_here(
        request, of_code("NOT_FOUND", HTTPStatus.NOT_FOUND, "There is nothing at this address; check it and try again.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer our own mistake; the log has the trace, the reader a sentence."""
    return _nothing_here(
        request,
        of_code("SERVER_ERROR", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side; try again."),
    )


def body_too_large(request: HttpRequest) -> HttpResponse:
    """Answer a body that no request of ours needs: problem+json below /api/, a page elsewhere."""
    english = "The request body is too large; make it smaller and send it again."
    return _nothing_here(request, of_code("JSON_TOO_LARGE", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, english))


def _nothing_here(request: HttpRequest, problem: Problem) -> HttpResponse:
    if request.path.startswith("/api/"):
        return json_response(problem)
    try:
        return render(request, "refusal.html", {"refusal": problem}, status=problem.status)
    except TemplateDoesNotExist:
        return HttpResponse(problem.detail, content_type="text/plain; charset=utf-8", status=problem.status)


def _of_framework(error: exceptions.APIException) -> Problem:
    code = next((word for kind, word in FRAMEWORK_CODES.items() if isinstance(error, kind)), "REFUSED")
    fields: dict[str, str] = {}
    if isinstance(error, exceptions.ValidationError):
        fields = dict(_flatten(error.detail))
        english = "Some fields are missing or wrong; correct them and send again."
    else:
        english = str(error.detail)
    return Problem(
        code, error.status_code, sentences.sentence(code, english=english, language=get_language() or "zh"), fields
    )


def _flatten(detail: Any, path: str = "") -> list[tuple[str, str]]:
    """Field errors of a serializer, nested or not, as (path, sentence)."""
    if isinstance(detail, dict):
        found = []
        for name, inner in detail.items():
            found += _flatten(inner, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        return found
    if isinstance(detail, list) and any(isinstance(one, dict | list) for one in detail):
        return [pair for index, one in enumerate(detail) for pair in _flatten(one, f"{path}[{index}]") if one]
    text = " ".join(str(one) for one in detail) if isinstance(detail, list) else str(detail)
    return [(path or "document", text)]
