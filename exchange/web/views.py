"""The web kit's own pages: choosing for whom one acts, and whether the process lives."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from exchange.members.models import Membership, User
from exchange.web.middleware import SESSION_KEY


@require_GET
@never_cache
def healthz(_: HttpRequest) -> HttpResponse:
    """Answer that the process lives; it asks nothing of anybody."""
    return HttpResponse("ok", content_type="text/plain; charset=utf-8")


@require_POST
@login_required
def switch_membership(request: HttpRequest) -> HttpResponseRedirect:
    """Act for another of one's own memberships: form fields `membership` (ref) and `next` (a path of ours)."""
    user = request.user
    wanted = request.POST.get("membership", "")
    if isinstance(user, User) and any(one.ref == wanted for one in Membership.objects.of(user)):
        request.session[SESSION_KEY] = wanted
    after = request.POST.get("next", "")
    if not (after.startswith("/") and url_has_allowed_host_and_scheme(after, allowed_hosts=None)):
        after = "/"
    return HttpResponseRedirect(after)
