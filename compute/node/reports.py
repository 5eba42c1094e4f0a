"""Execution reports: this node's signed account of each run, each naming the digest of the one before."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from compute.node.engine import EngineCard
from compute.protocol import documents, operations, sealing, shapes
from compute.protocol.keyfiles import KeyFile
from ledger.proofs import statements

Document = dict[str, Any]
GATE_RULE = "fixed blocks"  # where no dataset of this node was judged


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run uses of the contract's meter once it completes."""

    unit: str
    quantity: int


ONE_CALL = Usage(operations.PER_CALL, 1)


def usage_of(request: Mapping[str, Any], *, terms: Mapping[str, Any]) -> Usage:
    """The usage of one run, by the signed request and the accepted terms alone."""
    return Usage(terms["metering"]["unit"], operations.quantity(request, terms=terms))


def completed(
    *,
    keys: KeyFile,
    job: Mapping[str, Any],
    party: Mapping[str, Any],
    card: EngineCard,
    min_group: int,
    sealed: bytes,
    started: datetime,
    finished: datetime,
    program: str | None = None,
    gate: Mapping[str, Any] | None = None,
    usage: Usage = ONE_CALL,
    notices: Mapping[str, Any] | None = None,
) -> Callable[[int, str | None], Document]:
    """A maker of the report of a finished run; the store gives it its place in the chain."""
    part = {"digest": hashlib.sha256(sealed).hexdigest(), "size_bytes": len(sealed), "suite": sealing.SUITE}
    return _maker(
        keys=keys,
        job=job,
        party=party,
        card=card,
        min_group=min_group,
        outcome="completed",
        code=None,
        stage="delivery",
        part=part,
        started=started,
        finished=finished,
        program=program,
        gate=gate,
        usage=usage,
        notices=notices,
    )


def ended(
    *,
    keys: KeyFile,
    job: Mapping[str, Any],
    party: Mapping[str, Any],
    card: EngineCard,
    min_group: int,
    outcome: str,
    code: str,
    stage: str,
    started: datetime,
    finished: datetime,
    program: str | None = None,
    gate: Mapping[str, Any] | None = None,
    usage: Usage = ONE_CALL,
) -> Callable[[int, str | None], Document]:
    """A maker of the report of a refused or failed run: units 0, no part, and only a code for a reason."""
    return _maker(
        keys=keys,
        job=job,
        party=party,
        card=card,
        min_group=min_group,
        outcome=outcome,
        code=code,
        stage=stage,
        part=None,
        started=started,
        finished=finished,
        program=program,
        gate=gate,
        usage=usage,
    )


def _maker(
    *,
    keys: KeyFile,
    job: Mapping[str, Any],
    party: Mapping[str, Any],
    card: EngineCard,
    min_group: int,
    outcome: str,
    code: str | None,
    stage: str,
    part: Mapping[str, Any] | None,
    started: datetime,
    finished: datetime,
    program: str | None = None,
    gate: Mapping[str, Any] | None = None,
    usage: Usage = ONE_CALL,
    notices: Mapping[str, Any] | None = None,
) -> Callable[[int, str | None], Document]:
    data = party["dataset"] is not None
    datasets = [{"dataset": party["dataset"], "commitment": party["dataset_commitment"]}] if data else []

    def make(sequence: int, previous: str | None) -> Document:
        report = documents.execution_report(
            job=job,
            organization=party["organization"],
            rank=party["rank"],
            sequence=sequence,
            previous=previous,
            outcome=outcome,
            code=code,
            stage=stage,
            engine={
                "id": card.id,
                "protocol": card.protocol,
                "adversary_model": card.adversary_model,
                "transport": documents.TRANSPORT,
                "software": dict(card.software),
            },
            gate=gate or {"tier": 1, "min_group": max(operations.MINIMUM_GROUP, min_group), "rule": GATE_RULE},
            datasets=datasets,
            part=part,
            learned=list(card.learned) if outcome == "completed" else [],
            started=started,
            finished=finished,
            program=program,
            unit=usage.unit,
            quantity=usage.quantity,
            notices=notices,
        )
        return statements.sign(report, key=keys.document, created=shapes.write_time(finished))

    return make
