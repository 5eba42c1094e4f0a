"""Pages of objections for providers; the staff's is on the desk, the person's own is where notices are opened."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from exchange.members.permissions import Permission, check_permission
from exchange.subjects import queues
from exchange.web.requests import acting_membership

PAGE_SIZE = 30


@require_GET
@login_required
def objections_page(request: HttpRequest) -> HttpResponse:
    """Show the objections to one's own organisation: template `subjects/objections.html` with `page`.

    What is disputed, and by whom, is not here: only the organisation's own node opens it.
    """
    by = acting_membership(request)
    check_permission(by, Permission.COMPUTATION_CONSENT)
    found = queues.objections_to(by.organization)
    return render(
        request, "subjects/objections.html", {"page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))}
    )
