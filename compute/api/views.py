"""Computations for members: ask, look, review, withdraw, fetch result and receipt."""

import base64
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.access import access_computation, visible_computations
from compute.actions import computations, results, reviews
from compute.api.serializers import (
    ComputationDetailSerializer,
    ComputationSerializer,
    RequestSerializer,
    ReviewSerializer,
)
from exchange.web.idempotency import idempotent
from exchange.web.pagination import Pages
from exchange.web.requests import acting_membership, membership_of


class ComputationsView(APIView):
    """The computations a member may see; a signed request makes a new one."""

    @extend_schema(responses=ComputationSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = visible_computations(by=membership_of(request)).with_parties()
        pages = Pages()
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ComputationSerializer(page, many=True).data)

    @extend_schema(request=RequestSerializer, responses={202: ComputationSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        data = RequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        computation = computations.submit(document=data.validated_data["request"], by=acting_membership(request))
        return Response(ComputationSerializer(computation).data, status=202)


class ComputationView(APIView):
    """One computation: state, progress of each party, evidence."""

    @extend_schema(responses=ComputationDetailSerializer)
    def get(self, request: Request, ref: str) -> Response:
        computation = access_computation(ref, by=membership_of(request))
        return Response(ComputationDetailSerializer(computation).data)


class ApproveView(APIView):
    """A reviewer lets a computation go on."""

    @extend_schema(request=ReviewSerializer, responses=ComputationSerializer)
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        computation = access_computation(ref, by=membership_of(request))
        approved = reviews.approve(computation=computation, by=acting_membership(request), reason=_reason(request))
        return Response(ComputationSerializer(approved).data)


class RejectView(APIView):
    """A reviewer ends a computation."""

    @extend_schema(request=ReviewSerializer, responses=ComputationSerializer)
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        computation = access_computation(ref, by=membership_of(request))
        rejected = reviews.reject(computation=computation, by=acting_membership(request), reason=_reason(request))
        return Response(ComputationSerializer(rejected).data)


class WithdrawView(APIView):
    """The buyer takes its request back."""

    @extend_schema(request=None, responses=ComputationSerializer)
    @idempotent
    def post(self, request: Request, ref: str) -> Response:
        computation = access_computation(ref, by=membership_of(request))
        withdrawn = computations.withdraw(computation=computation, by=acting_membership(request))
        return Response(ComputationSerializer(withdrawn).data)


class ResultView(APIView):
    """The sealed parts, for the buyer alone, once released: ciphertext that only the buyer's key opens."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, ref: str) -> Response:
        computation = access_computation(ref, by=membership_of(request))
        released = results.deliver(computation, by=acting_membership(request))
        parts: list[dict[str, Any]] = [
            {
                "rank": part.task.rank,
                "organization": part.task.organization.urn,
                "sealed_part": base64.b64encode(bytes(part.ciphertext)).decode(),
                "report": part.task.report,
            }
            for part in released
        ]
        return Response(
            {
                "job": computation.authorization.job,
                "request": computation.request,
                "parts": parts,
                "receipt_ready": results.has_receipt(computation),
            }
        )


class ReceiptView(APIView):
    """The receipt bundle, byte for byte as it was signed; for the parties and the auditors."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, ref: str) -> HttpResponse:
        computation = access_computation(ref, by=membership_of(request))
        results.check_may_read_receipt(computation, by=membership_of(request))
        body = results.receipt_of(computation)
        answer = HttpResponse(body, content_type="application/json")
        answer["Content-Disposition"] = f'attachment; filename="{results.receipt_number(computation)}.json"'
        return answer


def _reason(request: Request) -> str:
    data = ReviewSerializer(data=request.data)
    data.is_valid(raise_exception=True)
    reason: str = data.validated_data["reason"]
    return reason
