"""Is everything here that the exchange needs? Counts and yes or no; nothing that tells an outsider more."""

import json
import urllib.request
from collections.abc import Callable
from datetime import timedelta

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.models import DataNode

TIMEOUT_SECONDS = 2
NODE_SILENT_AFTER = timedelta(seconds=30)


class ReadySerializer(serializers.Serializer[dict[str, object]]):
    """Each part: `ok`, `failed`, or `absent` where none is configured; and how many nodes were heard lately."""

    database = serializers.CharField()
    broker = serializers.CharField()
    chain = serializers.CharField()
    nodes_seen = serializers.IntegerField()
    nodes_known = serializers.IntegerField()
    ready = serializers.BooleanField()


class ReadyView(APIView):
    """Whether the exchange can work: 200 or 503."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "public"

    @extend_schema(responses={200: ReadySerializer, 503: ReadySerializer})
    def get(self, request: Request) -> Response:
        """Ask database, broker and chain; count the nodes heard in the last half minute."""
        parts = {"database": _state(_database), "broker": _state(_broker)}
        parts["chain"] = _state(_chain) if settings.CHAIN_RPC_URL else "absent"
        is_ready = "failed" not in parts.values()
        return Response({**parts, **_nodes(parts["database"]), "ready": is_ready}, status=200 if is_ready else 503)


def _state(check: Callable[[], None]) -> str:
    try:
        check()
    except (OSError, ValueError, DatabaseError, redis.RedisError):
        return "failed"
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS) as client:
        client.ping()


def _chain() -> None:
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = urllib.request.Request(  # noqa: S310  the operator's own endpoint
        settings.CHAIN_RPC_URL, data=question, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        if "result" not in json.loads(answer.read(4096)):
            raise ValueError("no chain id")


def _nodes(database: str) -> dict[str, int]:
    if database != "ok":
        return {"nodes_seen": 0, "nodes_known": 0}
    seen = DataNode.objects.heard_since(timezone.now() - NODE_SILENT_AFTER).count()
    return {"nodes_seen": seen, "nodes_known": DataNode.objects.count()}
