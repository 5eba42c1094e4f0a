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
Maker = Callable[[int, str | None], Document]  # the store gives a report its place in the chain


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run uses of the contract's meter once it completes."""

    unit: str
    quantity: int


ONE_CALL = Usage(operations.PER_CALL, 1)


def usage_of(request: Mapping[str, Any], *, terms: Mapping[str, Any]) -> Usage:
    """The usage of one run, by the signed request and the accepted terms alone."""
    return Usage(terms["metering"]["unit"], operations.quantity(request, terms=terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the report of a run says however the run ended.

    Args:
        party: this node's line of the job; card: the engine's, as it is printed; min_group: the k that was applied.
        program: digest of what was computed; gate: its verdict; both None where it did not come to that.
    """

    keys: KeyFile
    job: Mapping[str, Any]
    party: Mapping[str, Any]
    card: EngineCard
    min_group: int
    started: datetime
    finished: datetime
    program: str | None = None
    gate: Mapping[str, Any] | None = None
    usage: Usage = ONE_CALL

    def completed(self, *, sealed: bytes, notices: Mapping[str, Any] | None = None) -> Maker:
        """The report of a finished run."""
        part = {"digest": hashlib.sha256(sealed).hexdigest(), "size_bytes": len(sealed), "suite": sealing.SUITE}
        learned = list(self.card.learned)
        return self._maker(
            outcome="completed", code=None, stage="delivery", part=part, learned=learned, notices=notices
        )

    def ended(self, *, outcome: str, code: str, stage: str) -> Maker:
        """The report of a refused or failed run: units 0, no part, and only a code for a reason."""
        return self._maker(outcome=outcome, code=code, stage=stage, part=None, learned=[])

    def _maker(self, **ending: Any) -> Maker:
        name, commitment = self.party["dataset"], self.party["dataset_commitment"]
        gate = {"tier": 1, "min_group": max(operations.MINIMUM_GROUP, self.min_group), "rule": GATE_RULE}

        def make(sequence: int, previous: str | None) -> Document:
            report = documents.execution_report(
                job=self.job,
                organization=self.party["organization"],
                rank=self.party["rank"],
                sequence=sequence,
                previous=previous,
                engine={
                    "id": self.card.id,
                    "protocol": self.card.protocol,
                    "adversary_model": self.card.adversary_model,
                    "transport": documents.TRANSPORT,
                    "software": dict(self.card.software),
                },
                gate=self.gate or gate,
                datasets=[] if name is None else [{"dataset": name, "commitment": commitment}],
                started=self.started,
                finished=self.finished,
                program=self.program,
                unit=self.usage.unit,
                quantity=self.usage.quantity,
                **ending,
            )
            return statements.sign(report, key=self.keys.document, created=shapes.write_time(self.finished))

        return make
