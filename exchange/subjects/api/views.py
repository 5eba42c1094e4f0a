"""Objections for persons: no account, no cookie; the token of an opened notice is the only credential.

The token travels in the body, never in an address that a proxy would write down.
"""

import hashlib

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from compute.protocol import notices
from exchange.subjects.actions import objections
from exchange.subjects.api.serializers import FileSerializer, ObjectionSerializer, StatusSerializer
from exchange.subjects.models import Objection


class ObjectionThrottle(SimpleRateThrottle):
    """Objections from one address; the address is hashed before it becomes a key of the cache."""

    scope = "objection"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = hashlib.sha256(str(self.get_ident(request)).encode("utf-8", "replace")).hexdigest()
        return str(self.cache_format % {"scope": self.scope, "ident": ident})


class ObjectionsView(APIView):
    """Filing objections."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (ObjectionThrottle,)

    @extend_schema(request=FileSerializer, responses={201: ObjectionSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Object to one provider of a run, sealed to that provider; the same bytes again change nothing."""
        data = FileSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        filed = objections.file(**data.validated_data, now=timezone.now())
        return Response(ObjectionSerializer(filed).data, status=201)


class ObjectionStatusView(APIView):
    """How one's objections stand."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "public"

    @extend_schema(request=StatusSerializer, responses=ObjectionSerializer(many=True), auth=[])
    def post(self, request: Request) -> Response:
        """Show every objection that was filed with a token, and the sealed answers; a POST only to carry the token."""
        data = StatusSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        digest = notices.token_digest(data.validated_data["token"])
        found = Objection.objects.with_token(digest).select_related("organization").order_by("pk")
        return Response(ObjectionSerializer(found, many=True).data)
