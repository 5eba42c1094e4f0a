"""The node's daemon: asks the exchange for news, decides, works one task at a time, sends what is owed.

Two threads: one polls and sends, one works. Everything they agree on lies in the store, so that a kill
at any moment leaves either a finished part that is sent again, or a run that is void.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from typing import Any

from compute.node import consents, leftovers, reports, restarting, runs, withdrawn_keys
from compute.node.errors import ExchangeRefused, ExchangeUnavailable
from compute.node.runs import Node
from compute.protocol import shapes
from exchange.kernel.errors import DomainError

log = logging.getLogger("hengshu.node")

MAX_BACKOFF_SECONDS = 10.0
SOON_SECONDS, SOON_POLL_SECONDS = 3.0, 0.1  # after consent was given, its task is looked for so long, so often
IDLE_SECONDS, IDLE_FACTOR = 20.0, 3  # with no news for so long, it looks that much less often
OWED_SECONDS = 1.0
_OPEN_TASKS = ("pending", "PENDING")


class Daemon:
    """One node at work.

    Args:
        node: its parts; `node.is_stopping` is set by the daemon.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.stopping = threading.Event()
        self._news = threading.Condition()
        self._tasks: list[tuple[str, str]] = []
        self._offered: set[str] = set()
        self._soon_until = float("-inf")
        self._last_news = node.monotonic()
        node.is_stopping = self.stopping.is_set
        node.sleep = self._sleep

    def recover(self) -> None:
        """After a start: runs whose part never left are void and reported; the outbox is sent by the loop."""
        leftovers.sweep(self.node.config.work)
        restarting.sweep(self.node.config.home)
        self._void_unfinished()

    def _void_unfinished(self) -> None:
        """Report every run that holds a unit though nothing works on it."""
        for held in self.node.store.unfinished():
            job = held["job"]
            party = next(item for item in job["parties"] if item["organization"] == self.node.config.organization)
            now = self.node.clock()
            self.node.store.finish(
                computation=held["computation"],
                verb="fail",
                body={"task": held["task"], "fencing_token": held["fencing_token"]},
                report=reports.RunFacts(
                    keys=self.node.keys,
                    job=job,
                    party=party,
                    card=self.node.launcher.card(job["engine"]),
                    min_group=int(job["min_group"]),
                    started=now,
                    finished=now,
                ).ended(outcome="failed", code="RUN_INTERRUPTED", stage="run"),
            )

    def run(self, *, on_ready: Callable[[], None] | None = None) -> None:
        """Work until `stop` is called; a running engine is stopped and its run reported as void."""
        self.node.store.note("node.started")
        self.recover()
        worker = threading.Thread(target=self._work, name="worker")
        worker.start()
        wait, first = self.node.config.poll_seconds, True
        try:
            while not self.stopping.is_set():
                try:
                    self.poll()
                    self.flush()
                    wait = self.until_next_poll()
                    if first and on_ready is not None:
                        on_ready()
                    first = False
                except ExchangeUnavailable:
                    wait = min(wait * 2, MAX_BACKOFF_SECONDS)
                except ExchangeRefused as refused:
                    log.warning("the exchange refuses this node's messages: %s", refused.answer)
                    wait = min(wait * 2, MAX_BACKOFF_SECONDS)
                except (OSError, sqlite3.Error) as error:  # a full disk passes; a node that left would not come back
                    log.warning("the node cannot write: %s", type(error).__name__)
                    wait = min(wait * 2, MAX_BACKOFF_SECONDS)
                self.stopping.wait(wait)
        finally:
            self.stop()
            worker.join()
            self._last_words()
            with suppress(OSError, sqlite3.Error):
                self.node.store.note("node.stopped")

    def stop(self) -> None:
        """Ask both threads to end; safe from a signal handler's thread."""
        self.stopping.set()
        with self._news:
            self._news.notify_all()

    def poll(self) -> None:
        """Ask for news: revocations first, then requests for consent, then tasks."""
        answer = self.node.client.call("poll", {"version": metadata.version("hengshu")})
        self._compare_clocks(answer)
        for document in _listed(answer, "revocations"):
            consents.learn_revocation(document, store=self.node.store)
        for document in _listed(answer, "key_revocations"):
            withdrawn_keys.learn(document, config=self.node.config, store=self.node.store)
        requests = _listed(answer, "consent_requests")
        for pair in requests:
            consents.consider(
                pair, config=self.node.config, keys=self.node.keys, store=self.node.store, now=self.node.clock()
            )
        self._reconsider()
        found = sorted(_task(item) for item in _listed(answer, "tasks") if _is_claimable(item))
        if found:
            self._soon_until = float("-inf")
        if found or requests:
            self._last_news = self.node.monotonic()
        with self._news:
            # Oldest computation first: nodes that share two runs then take them in the same order.
            self._tasks = [(task, computation) for computation, task in found if task not in self._offered]
            self._news.notify_all()

    def flush(self) -> None:
        """Send what the outbox holds, oldest first; stops at the first message the exchange cannot take now."""
        for row_id, verb, _, body in self.node.store.waiting():
            try:
                self.node.client.call(verb, body)
                answer = "recorded"
                if verb == "consent":
                    self._soon_until = self.node.monotonic() + SOON_SECONDS
            except ExchangeRefused as refused:
                answer = refused.answer
            self.node.store.settle(row_id, answer=answer)

    def work_one(self, task: str, computation: str) -> str:
        """Work one task and send its report at once if the exchange is there."""
        outcome = runs.execute(self.node, task=task, computation=computation)
        log.info("%s: %s", computation, outcome)
        try:
            self.flush()
        except ExchangeUnavailable:
            log.info("the exchange is away; the outbox keeps the report")
        return outcome

    def until_next_poll(self) -> float:
        """Seconds: few once consent was given and a task should follow, more while there has been no news for long."""
        now, usual = self.node.monotonic(), self.node.config.poll_seconds
        if now < self._soon_until:
            return min(usual, SOON_POLL_SECONDS)
        return usual * IDLE_FACTOR if now - self._last_news > IDLE_SECONDS else usual

    def _compare_clocks(self, answer: dict[str, Any]) -> None:
        try:
            said = shapes.parse_time(answer["server_time"])
        except (KeyError, TypeError, ValueError):
            return
        self.node.skew_seconds = (self.node.clock() - said).total_seconds()

    def _sleep(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def _reconsider(self) -> None:
        """Requests that waited may be covered by a rule the owner has made since."""
        for request in self.node.store.undecided():
            if self.node.store.rule(request["contract"]) is not None:
                consents.consider(
                    {"request": request},
                    config=self.node.config,
                    keys=self.node.keys,
                    store=self.node.store,
                    now=self.node.clock(),
                )

    def _work(self) -> None:
        is_owed = False  # a run ended and the disk would not even take its report
        while not self.stopping.is_set():
            if is_owed:
                is_owed = self._is_still_owed()
            with self._news:
                while not self._tasks and not self.stopping.is_set() and not is_owed:
                    self._news.wait()
                if self.stopping.is_set():
                    return
                if not self._tasks:
                    self._news.wait(OWED_SECONDS)
                    continue
                task, computation = self._tasks.pop(0)
            if task in self._offered:  # a poll from before its claim has listed it once more
                continue
            try:
                outcome = self.work_one(task, computation)
            except DomainError as error:
                log.warning("%s: %s", computation, error.code)
                is_owed, outcome = True, error.code
            except Exception:  # the worker must outlive any one run; the lease ends it at the exchange
                log.exception("%s: an error in the node itself", computation)
                is_owed, outcome = True, "ENGINE_FAILED"
            if outcome != "not_claimed":
                self._offered.add(task)
        self.node.store.close()

    def _is_still_owed(self) -> bool:
        """Try again to void what a run left; whether it is still to be done. Only between runs."""
        try:
            self._void_unfinished()
        except (OSError, sqlite3.Error):
            return True
        return False

    def _last_words(self) -> None:
        try:
            self.flush()
        except (ExchangeUnavailable, ExchangeRefused, OSError, sqlite3.Error):
            log.info("the exchange is away; the outbox is sent at the next start")


def _listed(answer: dict[str, Any], name: str) -> list[Any]:
    found = answer.get(name, [])
    return found[:1000] if isinstance(found, list) else []


def _is_claimable(item: Any) -> bool:
    try:
        shapes.urn("task")(item["task"], "task")
        shapes.urn("computation")(item["computation"], "computation")
    except (DomainError, KeyError, TypeError):
        return False
    return item.get("state") in _OPEN_TASKS


def _task(item: dict[str, Any]) -> tuple[str, str]:
    return item["computation"], item["task"]
