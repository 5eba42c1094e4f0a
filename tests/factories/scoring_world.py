"""A small world for scorings: a bank with a node of its own, three agencies, persons with notice cards."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils import timezone

from compute.actions import computations, reviews
from compute.models import Computation
from compute.protocol import notices, operations, shapes
from ledger.proofs import statements
from tests.factories.compute import World, run_to_ready, settle
from tests.fakes.nodes import Answer, FakeNode


@dataclass
class ScoringWorld(World):
    """One effective contract of `credit_scoring`."""

    providers: ClassVar[tuple[str, ...]] = ("fund-a", "civil", "social")
    columns: ClassVar[Mapping[str, str]] = {"base": "pi", "consent_until": "pi", "consent_for": "pi"}
    operation: str = operations.CREDIT_SCORING

    def parameters(self) -> dict[str, Any]:
        """One feature of each agency, by a linear card."""
        return operations.credit_scoring(
            dataset="to_score",
            commitment="d" * 64,
            features=[{"provider": self.organizations[name].urn, "columns": ["base"]} for name in self.providers],
            model={"kind": "linear", "version": "2026-11", "commitment": "e" * 64},
        )

    def running(self) -> tuple[Computation, list[FakeNode]]:
        """A scoring whose nodes, the bank's first, have all been told to go."""
        computation = computations.submit(document=self.request(), by=self.buyer)
        if computation.state == "reviewing":
            computation = reviews.approve(computation=computation, by=self.reviewer, reason="符合登记场景")
        nodes = self.nodes()
        for node in nodes:
            node.consent()
        assert settle(computation).state == "dispatched"
        run_to_ready(nodes)
        return computation, nodes


def batch_of(node: FakeNode, keys: Sequence[str]) -> notices.Batch:
    """The notices that the bank's node makes of its claimed task."""
    now = timezone.now()
    made = notices.statement(
        batch=secrets.token_hex(16),
        request=node.bundle["request"],
        terms=statements.unsigned(node.bundle["contract"]),
        at=now,
    )
    return notices.make(statements.sign(made, key=node.keys.document, created=shapes.write_time(now)), keys)[0]


def send(node: FakeNode, batch: notices.Batch, **changes: Any) -> list[Answer]:
    """Every piece of a batch; `changes` are made to each message."""
    answers = []
    for number, records in enumerate(batch.chunks()):
        statement = base64.b64encode(batch.statement).decode() if number == 0 else ""
        body = {"batch": batch.ref, "number": number, "statement": statement}
        answers.append(node.on_task("notices", **{**body, "records": base64.b64encode(records).decode(), **changes}))
    return answers


def submit(node: FakeNode, batch: notices.Batch | None) -> Answer:
    """The part, with a report that names the batch."""
    part = node.part()
    named: dict[str, Any] = {} if batch is None else {"notices": batch.reported()}
    return node.submit(part=part, report=node.report(part=part, **named))


def score(world: ScoringWorld, keys: Sequence[str]) -> tuple[Computation, notices.Batch]:
    """A whole scoring to its release."""
    computation, (bank, *agencies) = world.running()
    batch = batch_of(bank, keys)
    assert [answer.status for answer in send(bank, batch)] == [200] * len(batch.chunks())
    for answer in (submit(bank, batch), *(node.submit() for node in agencies)):
        assert answer.status == 200, answer.body
    return settle(computation), batch
