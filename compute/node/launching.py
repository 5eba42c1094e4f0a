"""The engine promise kept with disposable worker processes; the daemon loads no numeric library."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from compute.engines import launcher, registry
from compute.engines.errors import EngineRefused
from compute.node.engine import EngineCard, EngineJob
from compute.protocol.codes import Refused


class WorkerRun:
    """One worker process; its codes become those of the closed list."""

    def __init__(self, run: launcher.Run) -> None:
        self._run = run

    def progress(self) -> tuple[str, int]:
        """See engine.EngineRun."""
        return self._run.progress()

    def sent_bytes(self) -> int:
        """See engine.EngineRun."""
        return self._run.sent_bytes()

    def ending(self) -> Mapping[str, Any]:
        """See engine.EngineRun."""
        return self._run.ending()

    def is_finished(self) -> bool:
        """See engine.EngineRun."""
        return self._run.is_finished()

    def part(self) -> bytes:
        """See engine.EngineRun."""
        try:
            return self._run.part()
        except EngineRefused as refused:
            raise Refused(refused.failure_code) from refused

    def stop(self) -> None:
        """See engine.EngineRun."""
        self._run.stop()


class WorkerLauncher:
    """Starts `compute.engines.worker` for each run."""

    def card(self, engine: str) -> EngineCard:
        """See engine.EngineLauncher."""
        return _card(engine)

    def start(self, job: EngineJob) -> WorkerRun:
        """See engine.EngineLauncher."""
        launcher.write_job(
            job.work_dir,
            job=job.job,
            request=job.request,
            rank=job.rank,
            addresses=job.addresses,
            certificates={offer["rank"]: offer["certificate"] for offer in job.offers},
            private_key=Path(job.private_key).read_text(),
            dataset=job.dataset,
            min_group=job.min_group,
            deadline_seconds=job.deadline_seconds,
            state=_own_state(job),
            bucket_rows=job.bucket_rows,
        )
        return WorkerRun(launcher.start(job.work_dir, deadline_seconds=job.deadline_seconds))


def _own_state(job: EngineJob) -> Path | None:
    """The directory of this job's engine, made when it is first asked for."""
    if job.state is None:
        return None
    found = job.state / str(job.job["engine"]).replace("/", "-")
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


@lru_cache(maxsize=16)
def _card(engine: str) -> EngineCard:
    try:
        described, card = registry.describe(engine), registry.get(engine).card
    except EngineRefused:
        # Not an engine of this node: the refusal's report still has to name it.
        return EngineCard(engine, "not started", "not started", {}, ())
    return EngineCard(
        id=described["id"],
        protocol=described["protocol"],
        adversary_model=described["adversary_model"],
        software=described["software"],
        learned=tuple(item.describe() for item in card.learned),
    )
