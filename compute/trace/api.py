"""The trace over the API, for members with a token and, as far as the log is public, for everybody."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.trace import chain
from compute.trace.document import document
from exchange.web.requests import membership_of


class SignerSerializer(serializers.Serializer[dict[str, Any]]):
    """One signature that a step needs."""

    organization = serializers.CharField()
    name_zh = serializers.CharField()
    name_en = serializers.CharField()
    role = serializers.CharField()
    means = serializers.CharField(help_text="document, chain or entry.")
    key = serializers.CharField(help_text="did:key, chain address, or the name of the log.")
    entry = serializers.CharField(allow_null=True)
    standing = serializers.CharField(help_text="signed, waiting, missing or invalid.")


class StepSerializer(serializers.Serializer[dict[str, Any]]):
    """One link of the chain of custody."""

    kind = serializers.CharField()
    subject = serializers.CharField()
    is_open = serializers.BooleanField(help_text="False: only what the public log shows.")
    standing = serializers.CharField()
    defect = serializers.CharField(allow_null=True, help_text="TRACE_STEP_UNSIGNED, or null.")
    responsible = serializers.DictField(allow_null=True)
    signers = SignerSerializer(many=True)
    digest = serializers.CharField(allow_null=True, help_text="SHA-256, 64 hex characters.")
    entry = serializers.DictField(allow_null=True)
    at = serializers.DateTimeField(allow_null=True)
    facts = serializers.ListField(child=serializers.DictField())
    links = serializers.ListField(child=serializers.DictField())
    papers = serializers.ListField(child=serializers.DictField(), help_text="Signed documents, for parties.")
    opening = serializers.DictField(allow_null=True, help_text="What the entry's commitment opens to, for parties.")


class TraceSerializer(serializers.Serializer[dict[str, Any]]):
    """A chain of custody as the asker may see it."""

    type = serializers.CharField()
    kind = serializers.CharField(help_text="computation, contract, product, or log.")
    subject = serializers.CharField()
    title = serializers.CharField()
    steps = StepSerializer(many=True)
    onward = serializers.ListField(child=serializers.DictField())
    defects = serializers.ListField(child=serializers.DictField())
    proofs = serializers.DictField(help_text="By entry: log, leaf, index, path.")
    checkpoints = serializers.DictField(help_text="By log: the signed checkpoint that the proofs lead to.")


class TraceView(APIView):
    """The chain of custody behind a digest, reference, URN or number."""

    permission_classes = (AllowAny,)
    throttle_scope = "public"

    @extend_schema(responses=TraceSerializer)
    def get(self, request: Request, reference: str) -> Response:
        return Response(document(chain.trace(reference, by=membership_of(request))))
