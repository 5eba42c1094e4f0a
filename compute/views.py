"""Pages of computations: the list, one computation with live progress and evidence, and the request builder."""

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from compute import deadlines, endings, timeline
from compute.access import access_computation, visible_computations
from compute.actions import computations, results, reviews
from compute.forms import ReviewForm, request_form
from compute.models import Computation
from compute.states import COMPUTATION, ComputationState
from contracts.access import access_contract
from exchange.kernel.errors import DomainError
from exchange.members.permissions import Permission, check_permission, has_permission
from exchange.web import problems
from exchange.web.requests import MemberRequest, acting_membership

PAGE_SIZE = 20


@login_required
@require_GET
def computation_list(request: MemberRequest) -> HttpResponse:
    """compute/list.html: `page` (of Computation, newest first), `state` (the filter), `states` (all of them)."""
    rows = visible_computations(by=request.membership).with_parties().select_related("contract", "buyer")
    state = request.GET.get("state", "")
    if state in set(ComputationState):
        rows = rows.filter(state=state)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "compute/list.html", {"page": page, "state": state, "states": list(ComputationState)})


@login_required
@require_GET
def computation_detail(request: MemberRequest, ref: str) -> HttpResponse:
    """compute/detail.html: see `_context` for the names."""
    return render(request, "compute/detail.html", _context(request, access_computation(ref, by=request.membership)))


@login_required
@require_GET
def computation_progress(request: MemberRequest, ref: str) -> HttpResponse:
    """compute/_progress.html: the part of the page that htmx asks for again while `is_final` is false.

    Names as in `_context`. Answers 286 once nothing more will change, which tells htmx to stop asking.
    """
    context = _context(request, access_computation(ref, by=request.membership))
    settled = context["is_final"] and (context["receipt_ready"] or context["computation"].state != "released")
    return render(request, "compute/_progress.html", context, status=286 if settled else 200)


@login_required
def request_builder(request: MemberRequest, contract: str) -> HttpResponse:
    """compute/builder.html: `contract`, `form`, `command` (the line to run on the buyer's machine, or empty)."""
    check_permission(request.membership, Permission.COMPUTATION_REQUEST)
    found = access_contract(contract, by=request.membership)
    form = request_form(found)(request.GET or None, contract=found)
    command = form.command() if form.is_bound and form.is_valid() else ""
    return render(request, "compute/builder.html", {"contract": found, "form": form, "command": command})


@login_required
@require_POST
def review(request: MemberRequest, ref: str, decision: str) -> HttpResponse:
    """Approve or reject from the page, then show the computation again."""
    computation = access_computation(ref, by=request.membership)
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return render(request, "compute/detail.html", _context(request, computation, review_form=form), status=400)
    act = reviews.approve if decision == "approve" else reviews.reject
    try:
        act(computation=computation, by=acting_membership(request), reason=form.cleaned_data["reason"])
    except DomainError as error:
        messages.error(request, problems.of_refusal(error).detail)
    else:
        messages.success(request, _("The decision is recorded in the ledger."))
    return redirect("compute:detail", ref=ref)


@login_required
@require_POST
def withdraw(request: MemberRequest, ref: str) -> HttpResponse:
    """Take a request back from the page, then show the computation again."""
    computation = access_computation(ref, by=request.membership)
    try:
        computations.withdraw(computation=computation, by=acting_membership(request))
    except DomainError as error:
        messages.error(request, problems.of_refusal(error).detail)
    else:
        messages.success(request, _("The request is withdrawn; the quota is back."))
    return redirect("compute:detail", ref=ref)


@login_required
@require_GET
def receipt(request: MemberRequest, ref: str) -> HttpResponse:
    """The receipt bundle as a file, byte for byte as it was signed."""
    computation = access_computation(ref, by=request.membership)
    results.check_may_read_receipt(computation, by=request.membership)
    answer = HttpResponse(results.receipt_of(computation), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{results.receipt_number(computation)}.json"'
    return answer


def _context(
    request: MemberRequest, computation: Computation, *, review_form: ReviewForm | None = None
) -> dict[str, Any]:
    """What every page of one computation may use.

    `computation`, `parties` (timeline.PartyProgress in rank order), `has_events` (whether any has a log),
    `steps` (timeline.Step in log order), `learned` (what each party learns: role, zh, en), `policy` (rule, controls,
    zh, en …), `plan` (engine, technique, zh, en), `request_document`,
    `other_parameters` (name, words, value), `path` (states from requested to released, for a
    stepper), `is_final`, `expected` (how long it takes, in words), `waits_for_node` (a party is at work on a long run),
    `end_sentence` (why there is no result), `receipt_ready`, `receipt_number`, `can_review`,
    `can_withdraw`, `can_open` (the buyer of a released result: show `hengshu result open REF`), `review_form`.
    """
    by = request.membership
    state = ComputationState(computation.state)
    parties = timeline.parties(computation)
    return {
        "computation": computation,
        "parties": parties,
        "has_events": any(party.events for party in parties),
        "steps": timeline.steps(computation),
        "learned": timeline.learned(computation),
        "policy": computation.policy,
        "plan": computation.plan,
        "request_document": computation.request,
        "other_parameters": _other_parameters(computation),
        "path": [
            step.value
            for step in list(ComputationState)[: list(ComputationState).index(ComputationState.RELEASED) + 1]
            if step is not ComputationState.REVIEWING or computation.needs_review or state is step
        ],
        "is_final": COMPUTATION.is_final(state),
        "expected": "" if COMPUTATION.is_final(state) else _expected(computation),
        "waits_for_node": state is ComputationState.AUTHORIZED and deadlines.waits_for_node(computation),
        "end_sentence": _end_sentence(computation),
        "receipt_ready": results.has_receipt(computation),
        "receipt_number": results.receipt_number(computation),
        "can_review": state is ComputationState.REVIEWING and has_permission(by, Permission.COMPUTATION_REVIEW),
        "can_withdraw": computations.can_withdraw(computation, by=by),
        "can_open": state is ComputationState.RELEASED
        and by is not None
        and by.organization_id == computation.buyer_id,
        "review_form": review_form or ReviewForm(),
    }


def _other_parameters(computation: Computation) -> list[tuple[str, str, str]]:
    """The parameters that the page has no line of its own for: member, words for it or nothing, and its value.

    Organisations go by their names; everything else stands as it was signed.
    """
    language = "zh" if (get_language() or "zh").startswith("zh") else "en"
    names = {party["organization"]: party[f"name_{language}"] for party in computation.contract.terms["parties"]}
    words = {"group_provider": _("Provider of the groups"), "value_provider": _("Provider of the values")}
    return [
        (
            name,
            words.get(name, ""),
            names.get(value, value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
        )
        for name, value in computation.request["parameters"].items()
        if name not in {"group_by", "values", "filters", "min_group"}
    ]


def _expected(computation: Computation) -> str:
    """How long the run takes by the nodes' own estimate, in words; empty where none says it."""
    seconds = timeline.estimated_seconds(computation)
    if seconds is None:
        return ""
    if seconds < 120:
        return ngettext("%(number)d second", "%(number)d seconds", seconds) % {"number": seconds}
    minutes = round(seconds / 60)
    return ngettext("%(number)d minute", "%(number)d minutes", minutes) % {"number": minutes}


def _end_sentence(computation: Computation) -> str:
    """Why a computation ended without a result, in the reader's language; empty while it has not."""
    ending = endings.of(computation)
    if ending is None:
        return ""
    return ending.zh if (get_language() or "zh").startswith("zh") else ending.en
