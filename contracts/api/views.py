"""Contracts for members and staff: propose, sign, grant, revoke, fund, look, settle."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from contracts.access import access_contract, view_of, visible_contracts
from contracts.actions import deposits, grants, lifecycle, proposals, revocations, signatures
from contracts.api import serializers
from contracts.models import Contract
from contracts.pricing import WHOLE_TERM
from exchange.kernel.errors import PermissionRefused
from exchange.web.idempotency import idempotent
from exchange.web.pagination import Pages
from exchange.web.requests import acting_membership, membership_of


class ContractsView(APIView):
    """The contracts a member may see; a buyer's proposal makes a new one."""

    def get(self, request: Request) -> Response:
        pages = Pages()
        page = pages.paginate_queryset(visible_contracts(by=membership_of(request)), request, view=self) or []
        return pages.get_paginated_response([serializers.summary(contract) for contract in page])

    @idempotent
    def post(self, request: Request) -> Response:
        data = serializers.ProposalSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        contract = proposals.propose(
            products=data.validated_data["products"],
            compute_party=data.validated_data.get("compute_party"),
            choices=data.choices(),
            by=acting_membership(request),
        )
        return _detail(request, contract, status=201)


class ContractView(APIView):
    """One contract: terms with every proof, signatures, grants, meter and, for those concerned, money."""

    def get(self, request: Request, ref: str) -> Response:
        return _detail(request, _access(request, ref))


class SignaturesView(APIView):
    """A party hands in the terms signed on its own machine."""

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        data = _parsed(serializers.SignedDocumentSerializer, request)
        contract = _access(request, ref)
        signed = signatures.sign(contract=contract, document=data["document"], by=acting_membership(request))
        return _detail(request, signed)


class GrantsView(APIView):
    """What a provider's grant must say; and the grant it signed for the chain (EIP-712)."""

    def get(self, request: Request, ref: str) -> Response:
        organization = acting_membership(request).organization
        return Response(grants.expected(_access(request, ref), organization=organization.urn))

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        grants.grant(contract=_access(request, ref), document=dict(request.data), by=acting_membership(request))
        return _detail(request, _access(request, ref), status=202)


class RevocationsView(APIView):
    """A provider ends the contract with a signed document, and its grant with a signature for the chain."""

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        data = _parsed(serializers.SignedDocumentSerializer, request)
        revocations.revoke(
            contract=_access(request, ref),
            document=data["document"],
            chain_signature=data.get("chain_signature"),
            by=acting_membership(request),
        )
        return _detail(request, _access(request, ref))


class DepositsView(APIView):
    """The settlement clerk confirms a line of the bank's statement."""

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        data = _parsed(serializers.DepositSerializer, request)
        contract = _access(request, ref)
        deposits.confirm(contract=contract, by=acting_membership(request), **data)
        return _detail(request, _access(request, ref), status=201)


class StatementView(APIView):
    """What the contract cost: inputs, lines, totals and shares, for both sides to recompute."""

    def get(self, request: Request, ref: str) -> Response:
        contract = _access(request, ref)
        if not view_of(contract, by=membership_of(request)).money:
            raise PermissionRefused("Your role does not include the money of this contract.")
        period = request.query_params.get("period", WHOLE_TERM)
        return Response(serializers.statement(contract, period=period))


class WithdrawView(APIView):
    """The buyer takes its proposal back."""

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        withdrawn = lifecycle.withdraw(contract=_access(request, ref), by=acting_membership(request))
        return _detail(request, withdrawn)


class DecisionView(APIView):
    """A mediator suspends, resumes or terminates, with a reason that the parties read."""

    decision: str = ""

    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        data = _parsed(serializers.ReasonSerializer, request)
        decide = {"suspend": lifecycle.suspend, "resume": lifecycle.resume, "terminate": lifecycle.terminate}
        decided = decide[self.decision](
            contract=_access(request, ref), by=acting_membership(request), reason=data["reason"]
        )
        return _detail(request, decided)


def _access(request: Request, ref: str) -> Contract:
    return access_contract(ref, by=membership_of(request))


def _parsed(serializer: Any, request: Request) -> dict[str, Any]:
    data = serializer(data=request.data)
    data.is_valid(raise_exception=True)
    parsed: dict[str, Any] = data.validated_data
    return parsed


def _detail(request: Request, contract: Contract, *, status: int = 200) -> Response:
    return Response(serializers.detail(contract, view_of(contract, by=membership_of(request))), status=status)
