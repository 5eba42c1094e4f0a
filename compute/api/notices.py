"""Notices to data subjects, for everybody and all alike: who fetches them says nothing, and asks for nobody.

`GET /api/v1/notices/?since=2026-11-01` lists every batch published since a day; `GET /api/v1/notices/<ref>/<n>/` gives
piece n: four bytes of length, the sealed statement (in piece 0), then the sealed records. A person fetches all pieces
of the window and tries them on its own machine; see docs/subsystems/subjects.md.
"""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.models import NoticeBatch, NoticeChunk
from compute.protocol import notices
from compute.querysets import NoticeBatchQuerySet
from exchange.kernel.errors import NotFound

_A_DAY = "public, max-age=86400"  # a piece never changes while it is kept


class SinceSerializer(serializers.Serializer[dict[str, Any]]):
    """From which day on."""

    since = serializers.DateField()


class NoticeBatchSerializer(serializers.ModelSerializer[NoticeBatch]):
    """One batch in the list: nothing that says which run, buyer or person it belongs to."""

    day = serializers.DateField(source="published", read_only=True)
    pieces = serializers.SerializerMethodField()

    class Meta:
        model = NoticeBatch
        fields = ("ref", "day", "count", "pieces")
        read_only_fields = fields

    def get_pieces(self, batch: NoticeBatch) -> int:
        return -(-batch.count // notices.CHUNK_RECORDS)


class NoticePages(CursorPagination):
    """Pages of batches; the references within a day are random, so the order tells no time."""

    ordering = ("published", "ref")
    page_size = 500


class NoticesView(ListAPIView[NoticeBatch]):
    """Every batch of sealed notices since a day."""

    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_scope = "public"
    serializer_class = NoticeBatchSerializer
    pagination_class = NoticePages

    @extend_schema(parameters=[SinceSerializer])
    def get(self, request: Request) -> Response:
        return self.list(request)

    def get_queryset(self) -> NoticeBatchQuerySet:
        query = SinceSerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return NoticeBatch.objects.since(query.validated_data["since"])


class NoticePieceView(APIView):
    """One piece of a batch, as bytes that only the persons in it can open."""

    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_scope = "public"

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, ref: str, number: int) -> HttpResponse:
        found = NoticeChunk.objects.filter(batch__ref=ref, number=number, batch__published__isnull=False)
        piece = found.select_related("batch").first()
        if piece is None:
            raise NotFound("There is no such piece of notices; ask for the list again.")
        statement = bytes(piece.batch.statement) if number == 0 else b""
        body = len(statement).to_bytes(4, "big") + statement + bytes(piece.records)
        answer = HttpResponse(body, content_type="application/octet-stream")
        answer["Cache-Control"] = _A_DAY
        return answer
