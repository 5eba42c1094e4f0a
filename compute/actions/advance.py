"""The pass that takes computations forward: one small step at a time, each repeatable, none remembered.

Two workers may run it at once: a computation held by one is skipped by the other, and every step looks
at the locked row again before it acts.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from django.db import transaction

from compute.actions import authorizations, dispatch, results
from compute.models import Computation
from compute.states import ComputationState
from exchange.kernel.errors import DomainError

logger = logging.getLogger(__name__)

Step = Callable[[Computation, datetime], object]

_STEPS: Mapping[ComputationState, Step] = {
    ComputationState.CONSENTING: lambda computation, now: authorizations.authorize(computation=computation, now=now),
    ComputationState.AUTHORIZED: lambda computation, now: dispatch.dispatch(computation=computation, now=now),
    ComputationState.EXECUTING: lambda computation, now: results.accept(computation=computation, now=now),
    ComputationState.SEALED: lambda computation, now: results.release(computation=computation, now=now),
    ComputationState.RELEASED: lambda computation, now: results.write_receipt(computation=computation, now=now),
}


def advance_all(*, now: datetime) -> int:
    """Advance every computation that may move; returns how many steps were taken.

    A computation whose step raises is logged by its reference and does not stop the others.
    """
    steps = 0
    for pk in list(Computation.objects.to_advance().values_list("pk", flat=True)):
        while _advance(pk, now=now):
            steps += 1
    return steps


def _advance(pk: int, *, now: datetime) -> bool:
    """One step of one computation; whether its state changed. Held by another worker: left to it."""
    try:
        with transaction.atomic():
            computation = Computation.objects.locked_if_free().filter(pk=pk).first()
            step = _STEPS.get(ComputationState(computation.state)) if computation else None
            if computation is None or step is None:
                return False
            before = computation.state
            step(computation, now)
            computation.refresh_from_db(fields=["state"])
            return computation.state != before
    except DomainError as error:
        logger.warning("computation row %s did not advance: %s %s", pk, error.code, " ".join(sorted(error.fields)))
    except Exception:
        logger.exception("computation row %s did not advance", pk)
    return False
