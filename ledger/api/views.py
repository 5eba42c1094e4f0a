"""The ledger over REST: public, read-only."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger import publication
from ledger.access import access_entry
from ledger.actions import proofs
from ledger.api.serializers import (
    ConsistencyQuerySerializer,
    ConsistencySerializer,
    EntryQuerySerializer,
    EntrySerializer,
    LogSerializer,
    ProofSerializer,
)
from ledger.models import Entry


class EntryPages(CursorPagination):
    """Pages of entries, newest first; a cursor stays right while the log grows."""

    ordering = "-id"
    page_size = 50


class PublicView(APIView):
    """Open to anyone, at a bounded rate."""

    permission_classes = [AllowAny]
    throttle_scope = "public"


class LogView(PublicView):
    """The log's size, root, newest checkpoint and newest anchor."""

    @extend_schema(responses=LogSerializer)
    def get(self, request: Request) -> Response:
        return Response(LogSerializer(publication.overview()).data)


class EntriesView(ListAPIView[Entry]):
    """The entries, newest first, by subject or kind."""

    permission_classes = [AllowAny]
    throttle_scope = "public"
    serializer_class = EntrySerializer
    pagination_class = EntryPages

    @extend_schema(parameters=[EntryQuerySerializer])
    def get(self, request: Request) -> Response:
        return self.list(request)

    def get_queryset(self) -> QuerySet[Entry]:
        query = EntryQuerySerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return publication.entries(**query.validated_data)


class EntryView(PublicView):
    """One entry."""

    @extend_schema(responses=EntrySerializer)
    def get(self, request: Request, ref: str) -> Response:
        return Response(EntrySerializer(access_entry(ref)).data)


class ProofView(PublicView):
    """One entry's inclusion proof under the newest checkpoint."""

    @extend_schema(responses=ProofSerializer)
    def get(self, request: Request, ref: str) -> Response:
        return Response(ProofSerializer(proofs.inclusion_proof(access_entry(ref))).data)


class ConsistencyView(PublicView):
    """The proof that an older log is a prefix of a newer one."""

    @extend_schema(parameters=[ConsistencyQuerySerializer], responses=ConsistencySerializer)
    def get(self, request: Request) -> Response:
        query = ConsistencyQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        old, new = query.validated_data["old"], query.validated_data["new"]
        return Response({"old": old, "new": new, "proof": publication.consistency(old_size=old, new_size=new)})
