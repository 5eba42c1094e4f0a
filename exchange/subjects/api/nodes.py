"""What a provider's node may ask about objections: three verbs in the envelope of all node messages.

`objections` fetches what waits for this organisation, `mark_objection` says that the record is marked, and
`answer_objection` hands in the answer, sealed to the person. See `compute.api.nodes` for the envelope.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.actions import nodes
from compute.errors import NodeMessageInvalid
from compute.protocol import objections as documents
from compute.protocol import shapes
from exchange.kernel import identifiers
from exchange.kernel.errors import DomainError
from exchange.members.models import Organization
from exchange.subjects.actions import objections
from exchange.subjects.api.serializers import MAX_BASE64
from exchange.subjects.models import Objection

PAGE = 50  # in one answer; the node asks on with `after`

Body = Mapping[str, Any]
Answer = dict[str, Any]


class ObjectionNodeView(APIView):
    """One of the verbs; `verb` comes with the address."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # described in docs/subsystems/objections.md: one envelope for every verb

    def post(self, request: Request, verb: str) -> Response:
        now = timezone.now()
        organization, body = nodes.receive(verb=verb, message=request.data, now=now)
        shape, answer = VERBS[verb]
        try:
            shape({name: value for name, value in body.items() if name in _KNOWN}, "body")
        except DomainError as error:
            raise NodeMessageInvalid(error.message) from error
        return Response(answer(organization, body, now))


def _list(organization: Organization, body: Body, now: datetime) -> Answer:
    found = Objection.objects.to(organization).open().select_related("computation")
    after = _ref(body["after"]) if "after" in body else ""
    page = list(found.filter(ref__gt=after).order_by("ref")[:PAGE])
    return {"objections": [_described(one) for one in page], "is_all": len(page) < PAGE}


def _described(found: Objection) -> Answer:
    return {
        "objection": found.urn,
        "computation": found.computation.urn,
        "token_digest": found.token_digest,
        "sealed": base64.b64encode(found.sealed).decode(),
        "state": found.state,
        "filed": shapes.write_time(found.filed_at),
        "last_day": found.last_day,
    }


def _mark(organization: Organization, body: Body, now: datetime) -> Answer:
    marked = objections.mark(ref=_ref(body["objection"]), organization=organization, now=now)
    return {"state": marked.state}


def _answer(organization: Organization, body: Body, now: datetime) -> Answer:
    answered = objections.answer(
        ref=_ref(body["objection"]),
        organization=organization,
        outcome=body["outcome"],
        sealed=_bytes(body["sealed_answer"]),
        now=now,
    )
    return {"state": answered.state}


def _ref(urn: str) -> str:
    return identifiers.parse_urn(urn, kind="objection")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NodeMessageInvalid("body.sealed_answer must be base64.") from None


_OBJECTION = shapes.urn("objection")
_KNOWN = {"after", "objection", "outcome", "sealed_answer"}  # more is ignored, so that newer nodes can say more
VERBS: Mapping[str, tuple[shapes.Shape, Callable[[Organization, Body, datetime], Answer]]] = {
    "objections": (shapes.members({}, optional={"after": _OBJECTION}), _list),
    "mark_objection": (shapes.members({"objection": _OBJECTION}), _mark),
    "answer_objection": (
        shapes.members(
            {
                "objection": _OBJECTION,
                "outcome": shapes.choice(*documents.OUTCOMES),
                "sealed_answer": shapes.pattern(r"[A-Za-z0-9+/=]+", "base64", high=MAX_BASE64),
            }
        ),
        _answer,
    ),
}
