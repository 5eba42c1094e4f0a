"""The Celery application. `exchange.apps` loads it, so that importing `exchange` stays free of it."""

import ctypes
import os
import signal
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_PR_SET_PDEATHSIG = 1


@signals.worker_process_init.connect
@signals.beat_embedded_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """Let the pool's processes and the beat die with the worker, also when that is killed with -9.

    An orphaned beat would go on asking for passes, and an orphaned pool process waits for ever.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
