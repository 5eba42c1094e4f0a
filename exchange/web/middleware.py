"""Who is asking, and what a page shows when the answer is no."""

from collections.abc import Callable
from urllib.parse import unquote

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from exchange.kernel.errors import DomainError
from exchange.members.models import Membership, User
from exchange.web import problems
from exchange.web.parsers import MAX_BODY_BYTES

SESSION_KEY = "membership"
API_PREFIX = "/api/"
Next = Callable[[HttpRequest], HttpResponseBase]


class MembershipMiddleware:
    """Set `request.membership`: for whom a signed-in person acts, None for everybody else.

    A person with several memberships chose one (`accounts/membership/`); until then it is the oldest.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.membership = self._membership(request)  # type: ignore[attr-defined]  # see requests.MemberRequest
        return self.get_response(request)

    def _membership(self, request: HttpRequest) -> Membership | None:
        user = request.user
        if not isinstance(user, User):
            return None
        memberships = list(Membership.objects.of(user))
        chosen = request.session.get(SESSION_KEY)
        return next((one for one in memberships if one.ref == chosen), memberships[0] if memberships else None)


def _length_of(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isascii() and length.isdecimal() else 0


class RefusalMiddleware:
    """Show a page for what the domain turned down: code, sentence and status, never a stack trace.

    The API has its own handler (`problems.handle`); this one sees pages only, and API addresses that no view took.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "\x00" in request.path or "\x00" in unquote(request.META.get("QUERY_STRING", "")):
            # No address and no name has this character, and no database column could be asked for it.
            response: HttpResponseBase = problems.page_not_found(request, Http404())
        elif _length_of(request) > MAX_BODY_BYTES:  # answered before a byte of it is read or written to disk
            response = problems.body_too_large(request)
        else:
            response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        if request.path.startswith(API_PREFIX):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, DomainError):
            return None
        problem = problems.of_refusal(exception)
        if request.path.startswith(API_PREFIX):
            return problems.json_response(problem)
        return render(request, "refusal.html", {"refusal": problem}, status=problem.status)
