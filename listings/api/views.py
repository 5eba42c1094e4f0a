"""The API of products and certificates."""

from collections.abc import Callable, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.members.models import Membership
from exchange.web.idempotency import idempotent
from exchange.web.pagination import Pages
from exchange.web.requests import acting_membership, membership_of
from listings import catalogue
from listings.access import access_certificate, access_product, may_see_file
from listings.actions import certificates, listing, products, reviews
from listings.api import serializers
from listings.errors import ProductNotFound
from listings.models import Product


def _shown(product: Product, by: Membership | None) -> Response:
    kind = serializers.ProductFileSerializer if may_see_file(product, by=by) else serializers.ProductDetailSerializer
    return Response(kind(product).data)


class ProductsView(APIView):
    """The catalogue, and beginning a product."""

    def get_permissions(self) -> Sequence[Any]:
        return [AllowAny()] if self.request.method == "GET" else super().get_permissions()

    @extend_schema(
        parameters=[serializers.CatalogueQuerySerializer], responses=serializers.ProductSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Search listed products; `mine=true` lists the own ones in every state."""
        query = serializers.CatalogueQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        own = Product.objects.of(acting_membership(request).organization) if query.validated_data["mine"] else None
        pages = Pages()
        rows = pages.paginate_queryset(catalogue.find(query.validated_data, among=own), request, view=self)
        return pages.get_paginated_response(serializers.ProductSerializer(rows, many=True).data)

    @extend_schema(request=serializers.DraftSerializer, responses={201: serializers.ProductFileSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Begin a product as a draft."""
        data = serializers.DraftSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        product = products.draft(by=acting_membership(request), **data.validated_data)
        return Response(serializers.ProductFileSerializer(product).data, status=201)


class ProductView(APIView):
    """One product."""

    def get_permissions(self) -> Sequence[Any]:
        return [AllowAny()] if self.request.method == "GET" else super().get_permissions()

    @extend_schema(responses=serializers.ProductFileSerializer)
    def get(self, request: Request, ref: str) -> Response:
        """Show a product; its provider and the desk also see the application file."""
        by = membership_of(request)
        return _shown(access_product(ref, by=by), by)

    @extend_schema(request=serializers.RevisionSerializer, responses=serializers.ProductFileSerializer)
    def patch(self, request: Request, ref: str) -> Response:
        """Change a draft or a returned product."""
        by = acting_membership(request)
        product = access_product(ref, by=by)
        data = serializers.RevisionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = dict(data.validated_data)
        names = {name: values.pop(name) for name in ("name_zh", "name_en") if name in values}
        return _shown(products.revise(product=product, by=by, names=names, **values), by)


Act = Callable[[Product, Membership, dict[str, Any]], Product]


def _certify(product: Product, by: Membership, _: dict[str, Any]) -> Product:
    certificates.issue(product=product, by=by)
    return access_product(product.ref, by=by)


ACTS: dict[str, Act] = {
    "submit": lambda product, by, _: products.submit(product=product, by=by),
    "next-version": lambda product, by, _: products.start_next_version(product=product, by=by),
    "approve": lambda product, by, data: reviews.approve(product=product, by=by, reason=data["reason"]),
    "return": lambda product, by, data: reviews.return_(
        product=product, by=by, reason=data["reason"], fields=data["fields_"]
    ),
    "reject": lambda product, by, data: reviews.reject(product=product, by=by, reason=data["reason"]),
    "certify": _certify,
    "list": lambda product, by, _: listing.list_(product=product, by=by),
    "suspend": lambda product, by, data: listing.suspend(product=product, by=by, reason=data["reason"]),
    "delist": lambda product, by, data: listing.delist(product=product, by=by, reason=data["reason"]),
}


class ProductActView(APIView):
    """One step in a product's life: submit, approve, return, reject, certify, list, suspend, delist, next-version."""

    @extend_schema(request=serializers.DecisionSerializer, responses=serializers.ProductFileSerializer)
    @idempotent
    def post(self, request: Request, ref: str, verb: str) -> Response:
        """Take the step."""
        by = acting_membership(request)
        product = access_product(ref, by=by)
        act = ACTS.get(verb)
        if act is None:
            raise ProductNotFound(f"There is no such step; the steps are {', '.join(ACTS)}.")
        data = serializers.DecisionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        return _shown(act(product, by, data.validated_data), by)


class CertificateView(APIView):
    """A certificate and what computing it anew shows; public."""

    permission_classes = (AllowAny,)

    @extend_schema(responses=serializers.CheckedCertificateSerializer)
    def get(self, request: Request, number: str) -> Response:
        """Show a certificate and judge it."""
        certificate = access_certificate(number)
        shown = serializers.CertificateSerializer(certificate).data
        verdict = serializers.VerdictSerializer(certificates.judge(certificate)).data
        return Response({**shown, "verdict": verdict, "disclaimer": certificates.DISCLAIMER_EN})
