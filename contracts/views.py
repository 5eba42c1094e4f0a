"""Pages of contracts: the list, one contract with terms, signatures, meter and money, and the proposal."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.protocol import operations
from contracts import clauses
from contracts.access import access_contract, view_of, visible_contracts
from contracts.actions import deposits, lifecycle, proposals
from contracts.api import serializers
from contracts.forms import DepositForm, ProposalForm
from contracts.models import Contract
from contracts.pricing import WHOLE_TERM
from contracts.states import FUNDABLE, SIGNABLE, ContractState
from exchange.kernel.errors import DomainError
from exchange.members.permissions import Permission, check_permission, has_permission
from exchange.web import problems
from exchange.web.requests import MemberRequest, acting_membership
from ledger.models import Entry

PAGE_SIZE = 20


@login_required
@require_GET
def contract_list(request: MemberRequest) -> HttpResponse:
    """contracts/list.html.

    `page` (of Contract, newest first, with buyer and meter), `state` (the filter), `states` (all of them),
    `can_propose`.
    """
    rows = visible_contracts(by=request.membership).select_related("buyer", "meter")
    state = request.GET.get("state", "")
    if state in set(ContractState):
        rows = rows.filter(state=state)
    context = {
        "page": Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "state": state,
        "states": list(ContractState),
        "can_propose": has_permission(request.membership, Permission.CONTRACT_PROPOSE),
    }
    return render(request, "contracts/list.html", context)


@login_required
@require_GET
def contract_detail(request: MemberRequest, ref: str) -> HttpResponse:
    """contracts/detail.html: see `_context` for the names.

    While the contract comes about, the page asks with `?seen=…` whether anything moved: it is told to load anew, or
    (204) to stay as it is.
    """
    context = _context(request, access_contract(ref, by=request.membership))
    if getattr(request, "htmx", False) and "seen" in request.GET:
        moved = request.GET["seen"] != context["seen"]
        return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"HX-Refresh": "true"} if moved else {})
    return render(request, "contracts/detail.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def contract_propose(request: MemberRequest) -> HttpResponse:
    """contracts/propose.html: `form` (ProposalForm; errors of the domain stand in it), `product_count`.

    `?product=<ref>` may be repeated; the form starts with those products chosen.
    """
    by = acting_membership(request)
    check_permission(by, Permission.CONTRACT_PROPOSE)
    form = ProposalForm(request.POST or None, initial={"products": request.GET.getlist("product")})
    if request.method == "POST" and form.is_valid():
        try:
            contract = proposals.propose(
                products=form.cleaned_data["products"],
                compute_party=form.cleaned_data["compute_party"] or None,
                choices=form.choices(),
                by=by,
            )
        except DomainError as refusal:
            form.add_error(None, problems.of_refusal(refusal).detail)
        else:
            messages.success(request, _("The terms are ready. Every party now signs them on its own machine."))
            return redirect("contracts:detail", ref=contract.ref)
    return render(
        request,
        "contracts/propose.html",
        {"form": form, "product_count": form.product_count, "operations": operations.OPERATIONS.values()},
    )


@login_required
@require_POST
def contract_deposit(request: MemberRequest, ref: str) -> HttpResponse:
    """The clerk's form on the contract page: a bank line; then back to the page with a message."""
    contract = access_contract(ref, by=request.membership)
    form = DepositForm(request.POST)
    if form.is_valid():
        deposits.confirm(
            contract=contract,
            amount_fen=form.amount_fen(),
            reference=form.cleaned_data["reference"],
            by=acting_membership(request),
        )
        messages.success(request, _("The bank line is booked as escrow of this contract."))
    else:
        messages.error(request, _("State an amount in yuan with at most two decimals, and the bank's reference."))
    return redirect("contracts:detail", ref=contract.ref)


@login_required
@require_POST
def contract_withdraw(request: MemberRequest, ref: str) -> HttpResponse:
    """The buyer takes its proposal back; then to the list with a message."""
    contract = access_contract(ref, by=request.membership)
    lifecycle.withdraw(contract=contract, by=acting_membership(request))
    messages.success(request, _("The proposal is withdrawn."))
    return redirect("contracts:list")


def _context(request: MemberRequest, contract: Contract) -> dict[str, Any]:
    """Names in contracts/detail.html.

    `contract`; `seen` and `is_coming` (how far it is, and whether the page asks again);
    `view` (purpose, money, role); `terms` (as far as visible) and `sections` (of `clauses.Section`:
    code, title, rows of label, value, explanation); `parties` (dicts: organization, role, signature or None,
    grant or None); `signed`, `party_count`; `meter` (dict: unit, limit, reserved, committed, left, per_day,
    rate_per_minute) and `meter_percent`; `money` (None unless visible; dict: escrow_fen, held_fen,
    escrow_minimum_fen, transfers) and `statement` (None unless visible); `revocations` (documents);
    `grants` (dicts); `entries` (ledger entries, oldest first); what the reader may do next:
    `can_sign`, `can_grant`, `can_accept` (on its own node), `can_deposit`, `can_revoke`, `can_withdraw`,
    `can_request`; `deposit_form`.
    """
    view = view_of(contract, by=request.membership)
    detail = serializers.detail(contract, view)
    signatures = {one.organization_id: one for one in contract.signatures.all()}
    grants = {one.organization_id: one for one in contract.grants.all()}
    parties = [
        {
            "organization": party.organization,
            "role": party.role,
            "signature": signatures.get(party.organization_id),
            "grant": grants.get(party.organization_id),
        }
        for party in contract.parties.select_related("organization")
    ]
    own = request.membership.organization_id if request.membership else None
    state, meter = ContractState(contract.state), detail["meter"]
    by = request.membership
    return {
        "contract": contract,
        "view": view,
        "terms": detail["terms"],
        "sections": clauses.render(view.terms(contract), get_language() or "zh"),
        "parties": parties,
        "signed": len(signatures),
        "seen": "-".join([contract.state, str(len(signatures)), *sorted(grant.state for grant in grants.values())]),
        "is_coming": state in SIGNABLE | FUNDABLE and state != ContractState.EFFECTIVE,
        "party_count": len(parties),
        "meter": meter,
        "meter_percent": 100 * (meter["committed"] + meter["reserved"]) // meter["limit"],
        "money": detail["money"],
        "statement": serializers.statement(contract, period=WHOLE_TERM)["statement"] if view.money else None,
        "revocations": detail["revocations"],
        "grants": detail["grants"],
        "entries": Entry.objects.about(contract.urn),
        "can_sign": bool(view.role)
        and state in SIGNABLE
        and own not in signatures
        and has_permission(by, Permission.CONTRACT_SIGN),
        "can_grant": view.role == "provider"
        and contract.terms["evidence"]["chain"] == "required"
        and own in signatures
        and own not in grants
        and has_permission(by, Permission.CONTRACT_SIGN),
        "can_accept": view.role in {"provider", "compute_party"}
        and state in FUNDABLE
        and len(signatures) == len(parties),
        "can_deposit": state in FUNDABLE and has_permission(by, Permission.MONEY_CONFIRM),
        "can_revoke": view.role == "provider" and state in FUNDABLE and has_permission(by, Permission.CONTRACT_REVOKE),
        "can_withdraw": view.role == "buyer" and state in SIGNABLE and has_permission(by, Permission.CONTRACT_PROPOSE),
        "can_request": view.role == "buyer"
        and state == ContractState.EFFECTIVE
        and has_permission(by, Permission.COMPUTATION_REQUEST),
        "deposit_form": DepositForm(),
    }
