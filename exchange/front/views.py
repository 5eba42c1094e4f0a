"""Pages of the front of house: home, rules, workplace, account, admission and organisations."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange.front import figures, subject_words
from exchange.front.forms import ApplicationForm, CardForm
from exchange.kernel.errors import DomainError
from exchange.members.access import access_organization, may_view_file
from exchange.members.actions import keys, organizations
from exchange.members.permissions import Permission, check_permission, has_permission, is_staff
from exchange.web import problems
from exchange.web.requests import membership_of, user_of


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show what the exchange is and how it stands: template `front/home.html` (htmx asks for `front/_figures.html`)."""
    context: dict[str, Any] = {"figures": figures.exchange_figures()}
    if getattr(request, "htmx", False):
        return render(request, "front/_figures.html", context)
    context |= {"products": figures.newest_products(), "entries": figures.newest_entries()}
    return render(request, "front/home.html", context)


@require_GET
def about(request: HttpRequest) -> HttpResponse:
    """Show the rules in short, and what each promise does not cover: template `front/about.html`."""
    return render(request, "front/about.html")


@require_GET
def subject(request: HttpRequest) -> HttpResponse:
    """Show a person which runs used its data, opened in its own browser: template `front/subject.html`."""
    context = {"words": subject_words.words(), "kept_days": settings.NOTICE_RETENTION_DAYS}
    return render(request, "front/subject.html", context)


@require_GET
@login_required
def workplace(request: HttpRequest) -> HttpResponseBase:
    """Show what waits for the reader's organisation: template `front/workplace.html`; staff go to their desk."""
    membership = membership_of(request)
    if membership is None:
        return redirect("front:join")
    if is_staff(membership):
        return redirect("desk:home")
    return render(request, "front/workplace.html", figures.workplace(membership))


@require_GET
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Show the person's own memberships and the way to password and second factor: template `front/account.html`."""
    return render(request, "front/account.html")


@require_http_methods(["GET", "POST"])
@login_required
def join(request: HttpRequest) -> HttpResponseBase:
    """Apply for admission: template `front/join.html`, then the organisation's page."""
    form = ApplicationForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        user = user_of(request)
        assert user is not None  # noqa: S101 - login_required
        try:
            organization = organizations.apply(
                by=user,
                name_zh=data["name_zh"],
                name_en=data["name_en"],
                uscc=data["uscc"],
                kinds=data["kinds"],
                card=data["card"],
                business_status={
                    "legal_representative": data["legal_representative"],
                    "scope": data["business_scope"],
                    "address": data["address"],
                },
                contact={"name": data["contact_name"], "email": data["contact_email"]},
            )
        except DomainError as refusal:
            form.add_error(None, problems.of_refusal(refusal).detail)
        else:
            messages.success(request, _("Your application is in. The admission desk will decide and give a reason."))
            return redirect("front:organization", ref=organization.ref)
    return render(request, "front/join.html", {"form": form})


@require_GET
def organization(request: HttpRequest, ref: str) -> HttpResponse:
    """Show an organisation and its public keys: template `front/organization.html`.

    Context: `organization`, `keys` (all ever registered), `may_view_file`, `may_manage_keys`, `form` (a key card).
    """
    membership = membership_of(request)
    found = access_organization(ref, by=membership)
    may_manage = (
        membership is not None
        and membership.organization_id == found.pk
        and has_permission(membership, Permission.KEY_MANAGE)
    )
    context = {
        "organization": found,
        "keys": figures.key_history(found),
        "may_view_file": may_view_file(found, by=membership),
        "may_manage_keys": may_manage,
        "form": CardForm(),
    }
    return render(request, "front/organization.html", context)


@require_POST
@login_required
def register_card(request: HttpRequest, ref: str) -> HttpResponseBase:
    """Register the public keys of a signed card for one's own organisation."""
    membership = membership_of(request)
    found = access_organization(ref, by=membership)
    check_permission(
        membership if membership and membership.organization_id == found.pk else None, Permission.KEY_MANAGE
    )
    form = CardForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect("front:organization", ref=found.ref)
    keys.accept(organization=found, document=form.cleaned_data["card"])
    messages.success(request, _("The public keys are registered and logged."))
    return redirect("front:organization", ref=found.ref)
