"""What a data node may ask of the exchange: nine verbs, each a signed message, each answered at once.

`POST /api/v1/nodes/<verb>/` with a `hengshu/node-message/v1`. The message's signature is the only
credential: there is no session, no token and nothing to guess. Nodes call; the exchange never does.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute.actions import consents, node_tasks, nodes, notices
from compute.errors import NodeMessageInvalid
from compute.protocol import shapes, stages
from exchange.kernel.errors import DomainError
from exchange.members.models import Organization

Body = Mapping[str, Any]
Answer = dict[str, Any]

_TASK = {"task": shapes.urn("task"), "fencing_token": shapes.integer(1)}
_REPORTED = {**_TASK, "report": shapes.map_of(shapes.anything, names=shapes.text(1, 64))}
_DOCUMENT = shapes.map_of(shapes.anything, names=shapes.text(1, 64))
_STAGE = shapes.choice(*stages.STAGES)  # a word for the page, never a free text
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,64}", re.ASCII)
_BODIES: dict[str, Mapping[str, shapes.Shape]] = {
    "consent": {"consent": _DOCUMENT},
    "claim": {"task": shapes.urn("task")},
    "offer": {**_TASK, "offer": _DOCUMENT},
    "progress": {**_TASK, "stage": _STAGE, "percent": shapes.integer(0, 100)},
    "notices": {
        **_TASK,
        "batch": shapes.HEX32,
        "number": shapes.integer(0, 1 << 10),
        "statement": lambda value, path: _check_text(value, path),
        "records": lambda value, path: _check_text(value, path),
    },
    "refuse": _REPORTED,
    "fail": _REPORTED,
    "submit": {**_REPORTED, "sealed_part": lambda value, path: _check_text(value, path)},
}
_OPTIONAL: Mapping[str, shapes.Shape] = {"events": stages.EVENTS}  # closed: no member can hold a text
MAX_BASE64 = 6 * 1024 * 1024


class NodeView(APIView):
    """One verb of the node API; see the module for the envelope."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # described in docs/subsystems/dispatch.md: one envelope for every verb

    def post(self, request: Request, verb: str) -> Response:
        now = timezone.now()
        answer = _VERBS.get(verb)
        if answer is None:
            raise NodeMessageInvalid("There is no such verb.")
        organization, body = nodes.receive(verb=verb, message=request.data, now=now)
        _check_body(verb, body)
        return Response(answer(organization, body, now))


def _poll(organization: Organization, body: Body, now: datetime) -> Answer:
    version = body.get("version")
    known = isinstance(version, str) and _VERSION.fullmatch(version) is not None
    return nodes.poll(organization=organization, version=str(version) if known else "", now=now)


def _consent(organization: Organization, body: Body, now: datetime) -> Answer:
    consents.answer(organization=organization, document=body["consent"], now=now)
    return {"recorded": True}


def _claim(organization: Organization, body: Body, now: datetime) -> Answer:
    taken = node_tasks.claim(organization=organization, task=body["task"], now=now)
    return {"fencing_token": taken.fencing_token, "lease_seconds": taken.lease_seconds, "bundle": taken.bundle}


def _offer(organization: Organization, body: Body, now: datetime) -> Answer:
    node_tasks.offer(
        organization=organization,
        task=body["task"],
        fencing_token=body["fencing_token"],
        document=body["offer"],
        now=now,
    )
    return {"accepted": True}


def _progress(organization: Organization, body: Body, now: datetime) -> Answer:
    beat = node_tasks.beat(
        organization=organization,
        task=body["task"],
        fencing_token=body["fencing_token"],
        stage=body["stage"],
        percent=body["percent"],
        now=now,
        events=body.get("events", ()),
    )
    return {"go": beat.go, "offers": beat.offers, "cancel": beat.cancel, "reason": beat.reason}


def _notices(organization: Organization, body: Body, now: datetime) -> Answer:
    notices.keep(
        organization=organization,
        task=body["task"],
        fencing_token=body["fencing_token"],
        batch=body["batch"],
        number=body["number"],
        statement=body["statement"],
        records=body["records"],
        now=now,
    )
    return {"accepted": True}


def _stop(outcome: str) -> Callable[[Organization, Body, datetime], Answer]:
    def answer(organization: Organization, body: Body, now: datetime) -> Answer:
        node_tasks.stop(
            organization=organization,
            task=body["task"],
            fencing_token=body["fencing_token"],
            report=body["report"],
            outcome=outcome,
            now=now,
            events=body.get("events", ()),
        )
        return {"recorded": True}

    return answer


def _submit(organization: Organization, body: Body, now: datetime) -> Answer:
    node_tasks.submit(
        organization=organization,
        task=body["task"],
        fencing_token=body["fencing_token"],
        report=body["report"],
        sealed_part=body["sealed_part"],
        now=now,
        events=body.get("events", ()),
    )
    return {"accepted": True}


_VERBS: Mapping[str, Callable[[Organization, Body, datetime], Answer]] = {
    "poll": _poll,
    "consent": _consent,
    "claim": _claim,
    "offer": _offer,
    "progress": _progress,
    "notices": _notices,
    "refuse": _stop("refused"),
    "fail": _stop("failed"),
    "submit": _submit,
}


def _check_text(value: Any, path: str) -> None:
    if not isinstance(value, str) or len(value) > MAX_BASE64:
        raise shapes.refuse(path, "must be base64 text")


def _check_body(verb: str, body: Body) -> None:
    """The members of a verb's body; more are ignored, so that newer nodes can say more."""
    known = _BODIES.get(verb, {})
    for name, shape in {**known, **{name: shape for name, shape in _OPTIONAL.items() if name in body}}.items():
        if name not in body:
            raise NodeMessageInvalid(f"body.{name} is missing.")
        try:
            shape(body[name], f"body.{name}")
        except DomainError as error:
            raise NodeMessageInvalid(error.message) from error
