"""Pages of products: the catalogue, a product, its certificate, and the provider's own work on them."""

from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange.kernel.errors import DomainError
from exchange.members.permissions import Permission, check_permission, has_permission
from exchange.web import labels, problems
from exchange.web.requests import acting_membership, membership_of
from listings import catalogue as shelves
from listings import defects, qr
from listings.access import access_certificate, access_product, is_own, may_see_file
from listings.actions import certificates, products
from listings.errors import ProductNotFound
from listings.forms import ProductForm
from listings.models import Product
from listings.states import EDITABLE, ProductState

PAGE_SIZE = 12


@require_GET
def catalogue(request: HttpRequest) -> HttpResponse:
    """Show what is listed: template `listings/catalogue.html` (htmx: `listings/_results.html`).

    Context: `page` (a page of products with `.provider`, `.version.specification`, `.version.grade`), `q` (the words),
    `chosen` (facets chosen), `facets` (industry, kind, grade, provider → rows of value, count, is_chosen), `total`.
    """
    chosen = {name: request.GET.get(name, "")[:200] for name in ("q", *shelves.FACETS, "delivery")}
    if not chosen["grade"].isdecimal():
        chosen["grade"] = ""
    page = Paginator(shelves.find(chosen), PAGE_SIZE).get_page(request.GET.get("page"))
    is_partial = bool(getattr(request, "htmx", False)) and not getattr(request.htmx, "boosted", False)  # type: ignore[attr-defined]
    return render(
        request,
        "listings/_results.html" if is_partial else "listings/catalogue.html",
        {
            "page": page,
            "q": chosen["q"],
            "chosen": chosen,
            "facets": shelves.facets(chosen),
            "total": page.paginator.count,
        },
    )


@require_GET
def product(request: HttpRequest, ref: str) -> HttpResponse:
    """Show a product: template `listings/product.html`.

    Context: `product`, `version`, `specification`, `columns`, `certificate` (or None), `versions`, `reviews` (empty
    unless the reader may see the file), `sees_file`, `is_own`, `can_edit`, `can_submit`, `can_start_next`,
    `can_propose` (a buyer may propose a contract).
    """
    by = membership_of(request)
    found = access_product(ref, by=by)
    version = found.version
    state, mine = ProductState(found.state), is_own(found, by=by) and has_permission(by, Permission.PRODUCT_PROVIDE)
    sees_file = may_see_file(found, by=by)
    return render(
        request,
        "listings/product.html",
        {
            "product": found,
            "version": version,
            "specification": version.specification,
            "columns": version.columns.all(),
            "certificate": getattr(version, "certificate", None),
            "versions": found.versions.select_related("certificate"),
            "reviews": version.reviews.all() if sees_file else [],
            "sees_file": sees_file,
            "is_own": mine,
            "can_edit": mine and state in EDITABLE,
            "can_submit": mine and state in EDITABLE,
            "can_start_next": mine and state in {ProductState.LISTED, ProductState.SUSPENDED},
            "can_propose": state == ProductState.LISTED and has_permission(by, Permission.CONTRACT_PROPOSE),
        },
    )


@require_GET
def certificate(request: HttpRequest, number: str) -> HttpResponse:
    """Show a certificate to anybody, computed anew: template `listings/certificate.html`.

    Context: `certificate` (`.document` is what was signed), `product`, `version`, `verdict` (`.digest`,
    `.digest_matches`, `.signature_valid`, `.is_genuine`), `qr` (inline SVG), `url`, `entry_ref` (its ledger entry),
    `disclaimer_zh`, `disclaimer_en`.
    """
    found = access_certificate(number)
    return render(
        request,
        "listings/certificate.html",
        {
            "certificate": found,
            "product": found.version.product,
            "version": found.version,
            "verdict": certificates.judge(found),
            "qr": qr.svg(certificates.public_url(found)),
            "url": certificates.public_url(found),
            "entry_ref": found.entry_ref,
            "disclaimer_zh": certificates.DISCLAIMER_ZH,
            "disclaimer_en": certificates.DISCLAIMER_EN,
        },
    )


@require_GET
@login_required
def mine(request: HttpRequest) -> HttpResponse:
    """List the provider's own products: template `listings/mine.html`. Context: `page`."""
    by = acting_membership(request)
    check_permission(by, Permission.PRODUCT_PROVIDE)
    own = Product.objects.of(by.organization).with_version()
    return render(request, "listings/mine.html", {"page": Paginator(own, PAGE_SIZE).get_page(request.GET.get("page"))})


@require_http_methods(["GET", "POST"])
@login_required
def create(request: HttpRequest) -> HttpResponse:
    """Begin a product: template `listings/product_form.html`. Context: `form`, `product` (None)."""
    by = acting_membership(request)
    check_permission(by, Permission.PRODUCT_PROVIDE)
    form = ProductForm(request.POST or None)
    if form.is_valid():
        try:
            made = products.draft(
                by=by,
                **{name: form.cleaned_data[name] for name in ("name_zh", "name_en", "dataset", "dataset_commitment")},
                specification=form.specification(holder=by.organization.name_zh, uscc=by.organization.uscc),
                columns=form.columns(),
            )
        except DomainError as refusal:
            _mark(form, refusal)
        else:
            messages.success(request, _("Saved as a draft. Submit it when it is complete."))
            return redirect(made)
    return _form_page(request, form, None)


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HttpRequest, ref: str) -> HttpResponse:
    """Change a draft or returned product: template `listings/product_form.html`.

    Context: `form`, `product`, `reviews` (the newest first, with `.reason` and `.fields`), `remarks` (what the
    reviewer wrote, by the form's control).
    """
    by = acting_membership(request)
    found = access_product(ref, by=by)
    check_permission(by, Permission.PRODUCT_PROVIDE)
    if not is_own(found, by=by):  # the form starts with the application file, which is not for other providers
        raise ProductNotFound("There is no such product of yours; look at your own products.")
    form = ProductForm(request.POST) if request.method == "POST" else ProductForm(initial=ProductForm.values_of(found))
    if request.method == "POST" and form.is_valid():
        try:
            products.revise(
                product=found,
                by=by,
                names={name: form.cleaned_data[name] for name in ("name_zh", "name_en")},
                dataset=form.cleaned_data["dataset"],
                dataset_commitment=form.cleaned_data["dataset_commitment"],
                specification=form.specification(holder=by.organization.name_zh, uscc=by.organization.uscc),
                columns=form.columns(),
            )
        except DomainError as refusal:
            _mark(form, refusal)
        else:
            messages.success(request, _("Saved. Submit it when it is complete."))
            return redirect(found)
    return _form_page(request, form, found)


@require_POST
@login_required
def submit(request: HttpRequest, ref: str) -> HttpResponse:
    """Hand a product in for review; back to its page with what happened."""
    by = acting_membership(request)
    found = access_product(ref, by=by)
    try:
        products.submit(product=found, by=by)
    except DomainError as refusal:
        problem = problems.of_refusal(refusal)
        messages.error(request, problem.detail)
        for name, what in problem.fields.items():
            messages.error(request, f"{labels.label(name, 'field')}: {defects.in_words(what)}")
    else:
        messages.success(request, _("Submitted for review."))
    return redirect(found)


@require_POST
@login_required
def start_next_version(request: HttpRequest, ref: str) -> HttpResponse:
    """Begin a product's next version, then edit it."""
    by = acting_membership(request)
    found = products.start_next_version(product=access_product(ref, by=by), by=by)
    return redirect("listings:edit", ref=found.ref)


def _mark(form: ProductForm, refusal: DomainError) -> None:
    """Show a refusal at the fields it names, or above the form."""
    for name, what in refusal.fields.items():
        control = next(iter(ProductForm.by_control({name: what})), None)
        form.add_error(control, defects.in_words(what))
    if not refusal.fields:
        form.add_error(None, problems.of_refusal(refusal).detail)


def _form_page(request: HttpRequest, form: ProductForm, found: Product | None) -> HttpResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.is_bound and form.errors else HTTPStatus.OK
    reviews = list(found.version.reviews.all()) if found is not None else []
    returned = reviews and found is not None and found.state == ProductState.RETURNED
    remarks = ProductForm.by_control(reviews[0].fields) if returned else {}
    context = {"form": form, "product": found, "reviews": reviews, "remarks": remarks}
    return render(request, "listings/product_form.html", context, status=status)
