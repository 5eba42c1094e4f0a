"""One task from claim to delivery: claim, admit, pre-flight, offer, wait for all, links, run, gate, seal, report.

Whatever happens, the work directory is wiped, the unit is spent or given back, and at most one report
about the computation leaves. Until the report of a finished run the unit is only reserved: what ends before,
by whatever code, costs nothing.
"""

import base64
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from compute.node import (
    admission,
    datasets,
    leftovers,
    linking,
    links,
    noises,
    notifying,
    preflight,
    reports,
    restarting,
    rowfiles,
    verdicts,
)
from compute.node.engine import EngineJob, EngineRun
from compute.node.errors import DatasetInvalid, ExchangeRefused, ExchangeUnavailable
from compute.node.store import JobState
from compute.node.task import Client as Client
from compute.node.task import Node as Node
from compute.node.task import Run, Stopped
from compute.protocol import documents, sealing, shapes, stages
from compute.protocol.codes import Refused
from exchange.kernel.errors import DomainError
from ledger.proofs import statements

Document = dict[str, Any]

HEARTBEAT_SECONDS = 1.0
WATCH_SECONDS = 0.1
SOON_SECONDS = 3.0  # the others are ready within a moment, as a rule: so long it is asked ten times a second
OTHERS_REASON_SECONDS = 3.0  # three heartbeats


def execute(node: Node, *, task: str, computation: str) -> str:
    """Work one task to its end; returns `sealed`, a code, or `not_claimed`."""
    run = Run(node=node, task=task, computation=computation, started=node.clock())
    try:
        bundle = _claim(run)
    except (ExchangeRefused, ExchangeUnavailable):
        return "not_claimed"
    try:
        run.enter("admission")
        _admit(run, bundle)
        return _work(run)
    except Refused as refused:
        with suppress(OSError):
            leftovers.keep_engine_log(run.work_dir, logs=run.node.config.home / "logs", name=run.computation)
        _report_end(run, bundle, code=refused.code)
        return refused.code
    except (OSError, sqlite3.Error):  # a full or failing disk: nothing of this run may leave
        shutil.rmtree(run.work_dir, ignore_errors=True)  # may make the room that the report needs
        _report_end(run, bundle, code="ENGINE_FAILED")
        return "ENGINE_FAILED"
    except Stopped as stopped:
        node.store.void(computation, code=stopped.code)
        return stopped.code
    finally:
        leftovers.wipe(run.work_dir)
        if run.case is not None and run.case.job:
            restarting.forget(run.case.job, home=node.config.home)


def _claim(run: Run) -> Any:
    answer = run.node.client.call("claim", {"task": run.task})
    try:
        shapes.integer(0)(answer["fencing_token"], "fencing_token")
        shapes.integer(1, 3600)(answer["lease_seconds"], "lease_seconds")
    except (KeyError, DomainError) as error:
        raise ExchangeUnavailable("The claim's answer has no lease.", zh="领取任务的答复缺少租约。") from error
    run.fencing_token, run.lease_seconds = answer["fencing_token"], float(answer["lease_seconds"])
    return answer.get("bundle")


def _admit(run: Run, bundle: Any) -> None:
    node = run.node
    case = admission.Case(
        bundle=bundle,
        task=run.task,
        fencing_token=run.fencing_token,
        lease_until=node.monotonic() + run.lease_seconds,
        config=node.config,
        store=node.store,
        grants=node.grants,
        now=node.clock(),
        monotonic=node.monotonic,
    )
    run.case = case
    admission.admit(case)
    if case.job["id"] != run.computation:
        raise Refused("REQUEST_MISMATCH")


def _work(run: Run) -> str:
    """Everything after admission; the dataset is opened here for the first time (step 7)."""
    node, case = run.node, run.admitted
    _preflight(run)
    run.stage = "admission"
    run.enter("dataset")
    dataset = _open_dataset(run)
    shutil.rmtree(run.work_dir, ignore_errors=True)
    run.work_dir.mkdir(mode=0o700, parents=True)
    run.stage = "link"
    until = shapes.parse_time(case.job["expires"])
    lasts = until + timedelta(seconds=case.job["deadline_seconds"])  # what begins in time may end after it
    certificate, private_key, pem = links.make_certificate(run.work_dir, now=node.clock(), until=lasts)
    offer = documents.link_offer(
        job=case.job,
        organization=node.config.organization,
        rank=case.rank,
        addresses=links.announced(node.config),
        certificate=pem,
        expires=until,
        relay=node.config.relay,
    )
    run.offer = statements.sign(offer, key=node.keys.document, created=shapes.write_time(node.clock()))
    run.deadline = node.monotonic() + float(case.job["deadline_seconds"])
    _tell(run, "offer", {"offer": run.offer})
    run.enter("waiting")
    _wait_for_all(run)
    run.stage = preflight.STAGE
    run.enter(preflight.STAGE)
    party = linking.Party(
        rank=case.rank,
        job_digest=statements.digest(case.job),
        job=case.job,
        request=case.request,
        greeting=_greeting(run),
        listens=links.addresses(node.config.engine_host, node.config.engine_base_port),
        certificate=certificate,
        key=private_key,
        relay=node.config.relay,
        memory_mb=node.config.engine_memory_mb,
    )

    def wait(check: linking.Check) -> None:
        while not check.is_finished():
            _beat(run, preflight.STAGE, check.percent)
            _check_may_go_on(run)
            node.sleep(WATCH_SECONDS / 4)

    with linking.linked(party, run.offers, check=node.check_links, wait=wait) as addresses:
        part = _compute(run, dataset, addresses=addresses, identity=(certificate, private_key))
    _deliver(run, part, notices=_notify(run))
    return "sealed"


def _preflight(run: Run) -> None:
    """What this node can tell without its peers; see preflight."""
    node, case = run.node, run.admitted
    run.stage = preflight.STAGE
    run.enter(preflight.STAGE)
    run.program = preflight.program_digest(case.job, case.request)
    node.config.work.mkdir(mode=0o700, exist_ok=True)
    preflight.check_here(
        job=case.job,
        request=case.request,
        rank=case.rank,
        dataset=case.dataset,
        min_group=_min_group(run),
        work=node.config.work,
        memory_mb=node.config.engine_memory_mb,
        skew_seconds=node.skew_seconds,
    )


def _greeting(run: Run) -> preflight.Greeting:
    case = run.admitted
    return preflight.greeting(
        job=case.job,
        digest=statements.digest(case.job),
        request=case.request,
        rank=case.rank,
        dataset=case.dataset,
        clock=run.node.clock().timestamp(),
    )


def _compute(
    run: Run, dataset: Path | None, *, addresses: Mapping[int, list[str]], identity: tuple[Path, Path]
) -> bytes:
    """Start the engine and watch it to its end; once more, a few times, where it was lost and can go on."""
    node, job, number = run.node, run.admitted.job, 0
    while True:
        process = _start_engine(run, dataset, addresses=addresses, identity=identity, is_first=number == 0)
        try:
            return _watch(run, process)
        except Refused as refused:
            is_lost = process.is_finished() and restarting.may_go_on(
                job, home=node.config.home, ending=process.ending(), restarts=number
            )
            if is_lost or refused.code == "LINK_FAILED":
                _let_the_other_say_why(run)
            if not is_lost:
                raise
        finally:
            process.stop()
            with suppress(OSError, sqlite3.Error):
                node.store.note("engine.ended", computation=run.computation, **process.ending())
        number += 1
        _look_again(run)
        node.store.note("engine.restarted", computation=run.computation, number=number)
        run.enter(restarting.STAGE, sent_bytes=process.sent_bytes())


def _start_engine(
    run: Run, dataset: Path | None, *, addresses: Mapping[int, list[str]], identity: tuple[Path, Path], is_first: bool
) -> EngineRun:
    """Start the engine in a directory of its own; the unit is used from the first start on."""
    node, case = run.node, run.admitted
    engine_dir = run.work_dir / "engine"
    shutil.rmtree(engine_dir, ignore_errors=True)
    engine_dir.mkdir(mode=0o700)

    def wait() -> None:  # the first answer of a version reads its rows for the gate: minutes for very many
        _beat(run, preflight.STAGE, 99)
        _check_may_go_on(run)

    noises.prepare(case, into=engine_dir, wait=wait)
    if is_first:
        node.store.start(run.computation)
    run.stage = "run"
    run.enter("link")
    return node.launcher.start(
        EngineJob(
            work_dir=engine_dir,
            job=case.job,
            request=case.request,
            terms=case.terms,
            rank=case.rank,
            dataset=dataset,
            min_group=_min_group(run),
            offers=run.offers,
            addresses=addresses,
            certificate=identity[0],
            private_key=identity[1],
            deadline_seconds=run.deadline - node.monotonic(),
            state=node.config.home / "engine_state",
            bucket_rows=node.config.engine_bucket_rows,
        )
    )


def _let_the_other_say_why(run: Run) -> None:
    """Give a lost peer some seconds for a report of its own, which says better than ours why the run ended.

    Raises:
        Stopped: the exchange has heard it, and takes the task back.
    """
    end = run.node.monotonic() + OTHERS_REASON_SECONDS
    while run.node.monotonic() < end:
        _beat(run, run.stage, 0)
        run.node.sleep(WATCH_SECONDS)


def _open_dataset(run: Run) -> Path | None:
    """Step 7: the stored files are exactly those that the contract's commitment speaks of.

    The version's directory; for a version of the old form its file, so that the engine takes no other version for one.
    """
    description = run.admitted.dataset
    if description is None:
        return None
    directory = run.node.config.datasets / str(description["directory"])
    try:
        datasets.verify(
            directory,
            description=description,
            columns_used=datasets.columns_used(run.admitted.request, description=description),
        )
    except DatasetInvalid as error:
        raise Refused("COMMITMENT_MISMATCH") from error
    return directory if description.get("storage") else directory / rowfiles.DATA_FILE


def _wait_for_all(run: Run) -> None:
    """Heartbeats until every party has offered and the exchange says go."""
    node, case, began = run.node, run.admitted, run.node.monotonic()
    while True:
        is_soon = node.monotonic() - began < SOON_SECONDS
        answer = _beat(run, "waiting", 0, seconds=WATCH_SECONDS if is_soon else HEARTBEAT_SECONDS)
        if answer is not None and answer.get("go") is True:
            run.offers = links.check_offers(
                answer.get("offers"), job=case.job, accepted=case.terms, own=run.offer, now=node.clock()
            )
            return
        _check_may_go_on(run)
        node.sleep(min(WATCH_SECONDS, node.config.poll_seconds))


def _watch(run: Run, process: EngineRun) -> bytes:
    """Heartbeats while the engine works; stops it when anyone with a right to has said so."""
    while not process.is_finished():
        stage, percent = process.progress()
        run.enter(stage, percent, sent_bytes=process.sent_bytes())
        _beat(run, stage, percent)
        _check_may_go_on(run)
        run.node.sleep(WATCH_SECONDS)
    return process.part()


def _check_may_go_on(run: Run) -> None:
    """What can end a run from inside the node: stop, kill switch, revocation, deadline."""
    node = run.node
    if node.is_stopping():
        raise Refused("RUN_INTERRUPTED")
    if node.store.is_paused():
        raise Refused("NODE_PAUSED")
    if node.store.is_revoked(run.admitted.terms["id"]):
        raise Refused("CONTRACT_REVOKED")
    admission.check_keys(run.admitted.terms, store=node.store)
    if node.monotonic() >= run.deadline:
        raise Refused("DEADLINE_PASSED")


def _notify(run: Run) -> Document | None:
    """Tell the persons whose rows were used; nothing leaves before their notices have."""

    def wait() -> None:
        _beat(run, "part", 100)
        _check_may_go_on(run)

    return notifying.notify(run, tell=lambda verb, body: _tell(run, verb, body), wait=wait)


def _look_again(run: Run) -> None:
    """Whether the contract is still open, nobody has withdrawn a grant, and the node may still work."""
    node, case = run.node, run.admitted
    if node.grants is not None:
        node.grants.forget()
    admission.check_contract_open(case.terms, store=node.store, now=node.clock())
    admission.check_grants(case.terms, job=case.job, grants=node.grants, now=node.clock())
    _check_may_go_on(run)


def _deliver(run: Run, part: bytes, *, notices: Document | None) -> None:
    """Gate the size, look once more for a revocation, seal, and write report and outbox in one transaction."""
    node, case = run.node, run.admitted
    run.stage = "gate"
    run.enter("gate")
    if len(part) > case.terms["output"]["max_bytes"]:
        raise Refused("RESULT_TOO_LARGE")
    _look_again(run)  # a result leaves only after a fresh look at the chain
    run.stage = "delivery"
    run.enter("delivery", 100)
    sealed = sealing.seal(
        part,
        recipient=case.job["result"]["sealing_key"],
        info=sealing.part_context(job_digest=statements.digest(case.job), rank=case.rank),
    )
    node.store.finish(
        computation=run.computation,
        verb="submit",
        body={
            "task": run.task,
            "fencing_token": run.fencing_token,
            "sealed_part": base64.b64encode(sealed).decode(),
            "events": run.untold,
        },
        report=reports.RunFacts(
            keys=node.keys,
            job=case.job,
            party=case.party,
            card=node.launcher.card(case.job["engine"]),
            min_group=_min_group(run),
            started=run.started,
            finished=node.clock(),
            program=run.program,
            gate=_gate(run),
            usage=reports.usage_of(case.request, terms=case.terms),
        ).completed(sealed=sealed, notices=notices),
    )


def _report_end(run: Run, bundle: Any, *, code: str) -> None:
    """Write the signed report of a refusal or failure, give the unit back, and let the outbox send it.

    A job so malformed that no report can name it gets a journal line only; its lease runs out.
    """
    node, case = run.node, run.case
    job: Any = bundle.get("job") if isinstance(bundle, dict) else None
    held = node.store.job_state(run.computation) in (JobState.RESERVED, JobState.RUNNING)
    admitted = held and code != "JOB_REPLAYED"
    try:
        documents.check_job(job)
        party = next(item for item in job["parties"] if item["organization"] == node.config.organization)
        card = node.launcher.card(job["engine"])
    except (DomainError, StopIteration, KeyError):
        node.store.note("job.unreportable", computation=run.computation, code=code)
        return
    node.store.finish(
        computation=run.computation,
        verb="fail" if admitted else "refuse",
        body={"task": run.task, "fencing_token": run.fencing_token, "events": run.untold},
        report=reports.RunFacts(
            keys=node.keys,
            job=job,
            party=party,
            card=card,
            min_group=int(job["min_group"]),
            started=run.started,
            finished=node.clock(),
            program=run.program,
            gate=_gate(run) if case is not None and case.verdict is not None else None,
        ).ended(
            outcome="failed" if admitted else "refused",
            code=code,
            stage=run.stage if admitted or case is None else "admission",
        ),
    )


def _gate(run: Run) -> Document:
    """What the privacy gate did, for the report; a failed run says what it had spent."""
    case, node = run.admitted, run.node
    return verdicts.gate_member(
        case.verdict, computation=run.computation, min_group=_min_group(run), store=node.store, now=node.clock()
    )


def _min_group(run: Run) -> int:
    """The stricter of the job's k, this node's and this dataset's."""
    case = run.admitted
    own = int(case.dataset["min_group"]) if case.dataset else 0
    return max(int(case.job["min_group"]), run.node.config.min_group, own)


def _tell(run: Run, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send one message of this task, again and again while the exchange is away and the lease lasts."""
    end = run.node.monotonic() + run.lease_seconds
    while True:
        try:
            return run.node.client.call(verb, {"task": run.task, "fencing_token": run.fencing_token, **body})
        except ExchangeRefused as refused:
            raise Stopped("LEASE_LOST" if refused.answer == "LEASE_LOST" else "RUN_CANCELLED") from refused
        except ExchangeUnavailable as error:
            if run.node.monotonic() >= end or run.node.is_stopping():
                raise Stopped("LEASE_LOST") from error
            run.node.sleep(HEARTBEAT_SECONDS)


def _beat(run: Run, stage: str, percent: int, *, seconds: float = HEARTBEAT_SECONDS) -> dict[str, Any] | None:
    """At most one heartbeat in so many seconds; None when none was due or the exchange was away."""
    node = run.node
    interval = min(seconds, node.config.poll_seconds)
    if node.monotonic() - run.last_beat < interval:
        return None
    events = run.untold
    try:
        answer = node.client.call(
            "progress",
            {
                "task": run.task,
                "fencing_token": run.fencing_token,
                "stage": stages.known(stage),
                "percent": max(0, min(100, percent)),
                "events": events,
            },
        )
    except ExchangeRefused as refused:
        raise Stopped("LEASE_LOST" if refused.answer == "LEASE_LOST" else "RUN_CANCELLED") from refused
    except ExchangeUnavailable as error:
        # The lease is over by our own clock: the exchange has given the task up, so do we.
        if run.last_beat > float("-inf") and node.monotonic() - run.last_beat > run.lease_seconds:
            raise Stopped("LEASE_LOST") from error
        return None
    run.last_beat = node.monotonic()
    run.told += len(events)
    if answer.get("cancel") is True:
        raise Stopped("RUN_CANCELLED")
    return answer
