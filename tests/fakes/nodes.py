"""Data nodes in the test's own process that speak the real signed protocol, without data or engine.

Their parts are fixed bytes, sealed to the buyer as a real node's are. `tests/unit/compute/node` and the demo
show that a real node says the same words.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from compute.protocol import documents, sealing, shapes
from compute.protocol.keyfiles import KeyFile
from exchange.kernel import identifiers
from ledger.proofs import canonical, statements

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n" + "A" * 200 + "\n-----END CERTIFICATE-----\n"


@dataclass
class Answer:
    """What the exchange said: the HTTP status and the JSON."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


@dataclass
class FakeNode:
    """One organisation's node.

    Args:
        clock: the node's own clock; tests may give it a wrong one.
    """

    organization: str
    keys: KeyFile
    exchange_key: str
    http: Client = field(default_factory=Client)
    clock: Any = timezone.now
    task: str = ""
    fencing_token: int = 0
    bundle: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    last_report: str | None = None
    expects: int | None = None  # seconds, as its consents say

    # --- the envelope ---------------------------------------------------------------------------------

    def message(self, verb: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A signed node message; `changes` are made before signing."""
        now = self.clock()
        document = documents.node_message(
            organization=self.organization,
            verb=verb,
            audience=self.exchange_key,
            created=now,
            nonce=secrets.token_hex(16),
            body=body,
        )
        return self.sign({**document, **changes})

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        return statements.sign(document, key=self.keys.document, created=shapes.write_time(self.clock()))

    def send(self, verb: str, message: dict[str, Any]) -> Answer:
        """Post a message as it is; replaying one is sending it twice."""
        response = self.http.post(
            f"/api/v1/nodes/{verb}/", data=canonical.canonicalize(message), content_type="application/json"
        )
        return Answer(response.status_code, response.json())

    def call(self, verb: str, **body: Any) -> Answer:
        return self.send(verb, self.message(verb, body))

    # --- the steps of a run -----------------------------------------------------------------------------

    def consent(self, *, decision: str = "granted", basis: str = "standing") -> list[Answer]:
        """Answer every request for consent that the poll shows."""
        found = self.call("poll").body["consent_requests"]
        return [self.call("consent", consent=self.consent_to(item, decision=decision, basis=basis)) for item in found]

    def consent_to(self, pair: dict[str, Any], *, decision: str = "granted", basis: str = "standing") -> dict[str, Any]:
        now = self.clock()
        return self.sign(
            documents.consent(
                consent_id=identifiers.make_urn("consent", identifiers.new_ulid()),
                request=pair["request"],
                organization=self.organization,
                basis=basis,
                decision=decision,
                issued=now,
                expires=now + timedelta(hours=1),
                seconds=self.expects,
            )
        )

    def claim(self) -> Answer:
        """Claim the first waiting task that the poll shows."""
        tasks = [item for item in self.call("poll").body["tasks"] if item["state"] == "pending"]
        self.task = tasks[0]["task"] if tasks else self.task
        answer = self.call("claim", task=self.task)
        if answer.status == 200:
            self.fencing_token, self.bundle = answer.body["fencing_token"], answer.body["bundle"]
        return answer

    @property
    def party(self) -> dict[str, Any]:
        """This node's own line in the job."""
        found: dict[str, Any] = next(
            item for item in self.bundle["job"]["parties"] if item["organization"] == self.organization
        )
        return found

    def link_offer(self) -> dict[str, Any]:
        return self.sign(
            documents.link_offer(
                job=self.bundle["job"],
                organization=self.organization,
                rank=self.party["rank"],
                addresses=[f"127.0.0.1:{port}" for port in (31000, 31001, 31002)],
                certificate=CERTIFICATE,
                expires=self.clock() + timedelta(minutes=5),
            )
        )

    def offer(self) -> Answer:
        return self.on_task("offer", offer=self.link_offer())

    def progress(self, stage: str = "run", percent: int = 0) -> Answer:
        return self.on_task("progress", stage=stage, percent=percent)

    def on_task(self, verb: str, **body: Any) -> Answer:
        return self.call(verb, task=self.task, fencing_token=self.fencing_token, **body)

    def part(self, plaintext: bytes = b'{"shares":[1,2,3]}') -> bytes:
        """The sealed part, as only the buyer can open it."""
        job = self.bundle["job"]
        info = sealing.part_context(job_digest=statements.digest(job), rank=self.party["rank"])
        return sealing.seal(plaintext, recipient=job["result"]["sealing_key"], info=info)

    def report(
        self, *, outcome: str = "completed", part: bytes | None = None, code: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        """A signed report; `changes` are made before signing."""
        now: datetime = self.clock()
        self.sequence += 1
        document = documents.execution_report(
            job=self.bundle["job"],
            organization=self.organization,
            rank=self.party["rank"],
            sequence=self.sequence,
            previous=self.last_report,
            outcome=outcome,
            code=code,
            stage="delivery" if outcome == "completed" else "admission",
            engine={
                "id": self.bundle["job"]["engine"],
                "protocol": "none: a stand-in of the tests",
                "adversary_model": "semi-honest",
                "transport": documents.TRANSPORT,
                "software": {"hengshu": "0.1.0"},
            },
            gate={"tier": 1, "min_group": self.bundle["job"]["min_group"], "rule": "fixed blocks"},
            datasets=[{"dataset": self.party["dataset"], "commitment": self.party["dataset_commitment"]}]
            if self.party["dataset"]
            else [],
            part=None
            if part is None
            else {
                "digest": hashlib.sha256(part).hexdigest(),
                "size_bytes": len(part),
                "suite": sealing.SUITE,
            },
            learned=[{"role": self.party["role"], "zh": "无", "en": "nothing"}],
            started=now,
            finished=now,
        )
        document |= changes
        self.last_report = statements.digest(document)
        return self.sign(document)

    def submit(self, *, part: bytes | None = None, report: dict[str, Any] | None = None) -> Answer:
        part = self.part() if part is None else part
        report = self.report(part=part) if report is None else report
        return self.on_task("submit", report=report, sealed_part=base64.b64encode(part).decode())

    def refuse(self, code: str = "GRANT_MISSING") -> Answer:
        return self.on_task("refuse", report=self.report(outcome="refused", code=code))

    def fail(self, code: str = "ENGINE_FAILED") -> Answer:
        return self.on_task("fail", report=self.report(outcome="failed", code=code))
