"""Pages of the staff desk. Each shows a queue or one case; each decision is one action of the app it belongs to."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute import queues as compute_queues
from contracts.access import access_contract
from contracts.actions import deposits as deposit_actions
from exchange.desk import queues
from exchange.desk.forms import DecisionForm, DepositForm, ReturnForm
from exchange.kernel.errors import DomainError, PermissionRefused
from exchange.members.access import access_organization
from exchange.members.actions import organizations
from exchange.members.models import Membership, Organization
from exchange.members.permissions import Permission, check_permission, is_staff
from exchange.subjects import queues as subject_queues
from exchange.web import problems
from exchange.web.requests import acting_membership
from listings.access import access_product, may_see_file
from listings.actions import certificates, listing
from listings.actions import reviews as product_reviews
from listings.models import Product

PAGE_SIZE = 30
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def staff_only(view: View[P]) -> View[P]:
    """Let through who acts for the exchange itself; everybody else is refused in one sentence."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not is_staff(acting_membership(request)):
            raise PermissionRefused("The desk is for staff of the exchange; your own work is on your workplace.")
        return view(request, *args, **kwargs)

    signed_in: View[P] = login_required(guarded)
    return signed_in


@require_GET
@staff_only
def home(request: HttpRequest) -> HttpResponse:
    """Show every queue and how many wait: template `desk/home.html` with `desks`."""
    by = acting_membership(request)
    return render(request, "desk/home.html", {"desks": queues.desks(by=by)})


@require_GET
@staff_only
def organizations_page(request: HttpRequest) -> HttpResponse:
    """Show applications and members: template `desk/organizations.html` with `applications`, `page`."""
    check_permission(acting_membership(request), Permission.ORGANIZATION_VIEW_ANY)
    page = Paginator(queues.members(), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "desk/organizations.html", {"applications": queues.applications(), "page": page})


@require_http_methods(["GET", "POST"])
@staff_only
def organization(request: HttpRequest, ref: str) -> HttpResponseBase:
    """Show one application and take the decision: template `desk/organization.html`.

    Context: `organization`, `keys`, `form`.
    """
    by = acting_membership(request)
    check_permission(by, Permission.ORGANIZATION_VIEW_ANY)
    found = access_organization(ref, by=by)
    form = DecisionForm(request.POST or None)
    decision = request.POST.get("decision", "")
    if decision == "verify" or (decision and form.is_valid()):
        reason = request.POST.get("reason", "").strip()
        if _try(request, lambda: _decide_organization(found, decision, by=by, reason=reason)):
            return redirect("desk:organizations")
    return render(
        request, "desk/organization.html", {"organization": found, "keys": queues.keys_of(found), "form": form}
    )


@require_GET
@staff_only
def products(request: HttpRequest) -> HttpResponse:
    """Show products that wait, and those decided: template `desk/products.html` with `waiting`, `page`."""
    by = acting_membership(request)
    check_permission(by, Permission.PRODUCT_VIEW_ANY)
    page = Paginator(queues.products_decided(), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "desk/products.html", {"waiting": queues.products_to_do(by=by), "page": page})


@require_http_methods(["GET", "POST"])
@staff_only
def product(request: HttpRequest, ref: str) -> HttpResponseBase:
    """Show one product side by side with its evidence, and decide: template `desk/product.html`.

    Context: `product`, `version`, `specification`, `sees_file`, `columns`, `reviews`, `form`, `return_form`.
    """
    by = acting_membership(request)
    check_permission(by, Permission.PRODUCT_VIEW_ANY)
    found = access_product(ref, by=by)
    decision = request.POST.get("decision", "")
    form = DecisionForm(request.POST if decision in {"approve", "reject", "suspend", "delist"} else None)
    return_form = ReturnForm(request.POST if decision == "return" else None)
    is_ready = decision in {"certify", "list"} or form.is_valid() or return_form.is_valid()
    if decision and is_ready and _try(request, lambda: _decide_product(found, decision, form, return_form, by=by)):
        return redirect("desk:products")
    version = found.version
    context = {
        "product": found,
        "version": version,
        "specification": version.specification,
        "sees_file": may_see_file(found, by=by),
        "columns": version.columns.all(),
        "reviews": version.reviews.select_related("reviewer"),
        "form": form,
        "return_form": return_form,
    }
    return render(request, "desk/product.html", context)


@require_GET
@staff_only
def computations(request: HttpRequest) -> HttpResponse:
    """Show computations that wait for a reviewer: template `desk/computations.html` with `computations`."""
    by = acting_membership(request)
    check_permission(by, Permission.COMPUTATION_VIEW_ANY)
    return render(request, "desk/computations.html", {"computations": compute_queues.to_review(by=by)})


@require_GET
@staff_only
def objections(request: HttpRequest) -> HttpResponse:
    """Show data subjects' objections and until when they wait: template `desk/objections.html` with `page`."""
    check_permission(acting_membership(request), Permission.COMPUTATION_VIEW_ANY)
    page = Paginator(subject_queues.all_objections(), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "desk/objections.html", {"page": page})


@require_GET
@staff_only
def deposits(request: HttpRequest) -> HttpResponse:
    """Show contracts that take deposits: template `desk/deposits.html` with `rows` (contract, escrow), `form`."""
    check_permission(acting_membership(request), Permission.MONEY_VIEW_ANY)
    return render(request, "desk/deposits.html", {"rows": queues.fundable(), "form": DepositForm()})


@require_POST
@staff_only
def confirm_deposit(request: HttpRequest, ref: str) -> HttpResponseBase:
    """Book one bank line as escrow of a contract."""
    by = acting_membership(request)
    contract = access_contract(ref, by=by)
    form = DepositForm(request.POST)
    if form.is_valid():
        amount, reference = form.amount_fen(), form.cleaned_data["reference"]
        _try(
            request,
            lambda: deposit_actions.confirm(contract=contract, amount_fen=amount, reference=reference, by=by),
        )
    else:
        messages.error(request, _("Give an amount in yuan and the bank's reference."))
    return redirect("desk:deposits")


@require_GET
@staff_only
def health(request: HttpRequest) -> HttpResponse:
    """Show how log, chain and nodes are: template `desk/health.html` (htmx asks for `desk/_health.html`)."""
    check_permission(acting_membership(request), Permission.HEALTH_VIEW)
    template = "desk/_health.html" if getattr(request, "htmx", False) else "desk/health.html"
    return render(request, template, queues.health(now=timezone.now()))


def _decide_organization(found: Organization, decision: str, *, by: Membership, reason: str) -> Organization:
    if decision == "verify":
        return organizations.verify(organization=found, by=by)
    steps = {
        "admit": organizations.admit,
        "more": organizations.ask_for_more,
        "reject": organizations.reject,
        "suspend": organizations.suspend,
    }
    if decision not in steps:
        raise PermissionRefused("The desk knows no such decision; choose one of the buttons.")
    return steps[decision](organization=found, by=by, reason=reason)


def _decide_product(
    found: Product, decision: str, form: DecisionForm, return_form: ReturnForm, *, by: Membership
) -> Any:
    if decision == "certify":
        return certificates.issue(product=found, by=by)
    if decision == "list":
        return listing.list_(product=found, by=by)
    if decision == "return":
        return product_reviews.return_(
            product=found, by=by, reason=return_form.cleaned_data["reason"], fields=return_form.by_field()
        )
    steps = {
        "approve": product_reviews.approve,
        "reject": product_reviews.reject,
        "suspend": listing.suspend,
        "delist": listing.delist,
    }
    if decision not in steps:
        raise PermissionRefused("The desk knows no such decision; choose one of the buttons.")
    return steps[decision](product=found, by=by, reason=form.cleaned_data["reason"])


def _try(request: HttpRequest, step: Callable[[], Any]) -> bool:
    """Take a step; say in the page what came of it."""
    try:
        step()
    except DomainError as refusal:
        messages.error(request, problems.of_refusal(refusal).detail)
        return False
    messages.success(request, _("Done. The decision is recorded in the ledger."))
    return True
