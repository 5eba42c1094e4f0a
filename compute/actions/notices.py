"""What the exchange does with notices to data subjects: takes them, counts them, publishes them, forgets them.

It can open none. A run whose operation makes notices has no result without them: the requester's report names the
Merkle root of a batch, and `check` recomputes it over everything that came.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from compute.actions import leases
from compute.errors import PartInvalid, ReportInvalid, TaskNotAvailable
from compute.models import Computation, NodeTask, NoticeBatch, NoticeChunk, NoticeToken
from compute.protocol import notices, operations
from compute.states import TaskState
from exchange.members.models import Organization

UNPUBLISHED_KEPT = timedelta(days=1)  # of runs that ended without a result
_MAX_CHUNKS = notices.MAX_RECORDS // notices.CHUNK_RECORDS


@transaction.atomic
def keep(
    *,
    organization: Organization,
    task: str,
    fencing_token: int,
    batch: str,
    number: int,
    statement: str,
    records: str,
    now: datetime,
) -> None:
    """Keep one piece of a batch; the first brings the sealed statement.

    Args:
        statement, records: base64; the statement is empty but in piece 0.
    Raises:
        PartInvalid: no notices are due from this task, or the piece is not one.
        LeaseLost, TaskClosed: the task is no longer this claim's.
    Idempotent: by batch and number; the first piece of a number stays.
    """
    found, computation = leases.lock(organization, task)
    leases.check(found, fencing_token, now)
    if found.state != TaskState.RUNNING:
        raise TaskNotAvailable("The run has not begun: send progress until the answer is go.")
    if not are_due(found, computation=computation):
        raise PartInvalid("This task makes no notices; send the part alone.")
    sealed, data = _bytes(statement), _bytes(records)
    if not 0 <= number < _MAX_CHUNKS or not _is_piece(data) or (number == 0) != bool(sealed):
        raise PartInvalid("A piece of notices is whole records, in pieces of the agreed size; update the node.")
    try:
        with transaction.atomic():
            _keep(found, batch=batch, number=number, statement=sealed, records=data, now=now)
    except IntegrityError:
        raise PartInvalid("Another batch has this reference or one of these tokens; make the notices anew.") from None


def check(report: Mapping[str, Any], *, task: NodeTask, computation: Computation) -> None:
    """Check that the batch a requester's report names has come whole, where the operation makes notices.

    Raises:
        ReportInvalid: it names none, or what came has another root or number of records.
    """
    if not are_due(task, computation=computation):
        return
    found = NoticeBatch.objects.filter(task=task).first()
    if found is None or "notices" not in report:
        raise ReportInvalid("The persons in the requester's table have not been told of this run; update the node.")
    data = b"".join(bytes(chunk.records) for chunk in found.chunks.order_by("number"))
    whole = notices.Batch(found.ref, bytes(found.statement), data)
    if whole.count != notices.padded(whole.count) or report["notices"] != whole.reported():
        raise ReportInvalid("The notices that came are not those of the report; send every piece, then the report.")
    NoticeBatch.objects.filter(pk=found.pk).update(count=whole.count, root=whole.root)


def publish(computation: Computation, *, now: datetime) -> None:
    """Let everybody fetch the notices of a run whose result is accepted, under the day and no finer time."""
    NoticeBatch.objects.filter(task__computation=computation, count__gt=0, published__isnull=True).update(
        published=now.date()
    )


@transaction.atomic
def forget(*, now: datetime) -> int:
    """Delete batches past their time, and those of runs that ended otherwise; returns how many."""
    day = (now - timedelta(days=settings.NOTICE_RETENTION_DAYS)).date()
    old = NoticeBatch.objects.filter(published__lt=day)
    never = NoticeBatch.objects.filter(published__isnull=True, received__lt=now - UNPUBLISHED_KEPT)
    found = list((old | never).values_list("pk", flat=True))
    NoticeBatch.objects.filter(pk__in=found).delete()
    return len(found)


def are_due(task: NodeTask, *, computation: Computation) -> bool:
    """Whether this task has to bring notices: the requester's, of an operation that makes them."""
    return task.role == "requester" and operations.get(computation.operation).notifies


def _keep(task: NodeTask, *, batch: str, number: int, statement: bytes, records: bytes, now: datetime) -> None:
    found = NoticeBatch.objects.filter(task=task).first()
    if found is None:
        if number != 0:
            raise PartInvalid("Piece 0 comes first; it brings the statement.")
        found = NoticeBatch.objects.create(task=task, ref=batch, statement=statement, received=now)
    if found.ref != batch:
        raise PartInvalid("Another batch was begun for this task; keep to the first.")
    _, is_new = NoticeChunk.objects.get_or_create(batch=found, number=number, defaults={"records": records})
    if is_new:
        NoticeToken.objects.bulk_create(NoticeToken(digest=digest, batch=found) for digest in notices.digests(records))


def _is_piece(data: bytes) -> bool:
    return len(data) % notices.RECORD_BYTES == 0 and 0 < len(data) <= notices.CHUNK_RECORDS * notices.RECORD_BYTES


def _bytes(text: str) -> bytes:
    limit = max(notices.CHUNK_RECORDS * notices.RECORD_BYTES, notices.MAX_STATEMENT_BYTES)
    try:
        found = base64.b64decode(text, validate=True) if len(text) <= (limit + 2) // 3 * 4 else None
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise PartInvalid("A piece of notices is not base64, or too large.")
    return found
