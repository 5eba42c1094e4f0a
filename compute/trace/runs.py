"""The second half of a chain of custody: request, consents, authorization, run, result, money, receivers, receipt."""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from compute.models import Authorization, Computation, Consent, NodeTask, Result
from compute.protocol import terms as protocol
from compute.states import ComputationState, ConsentState
from compute.trace.books import Books, by_document
from compute.trace.origins import DATA_INTEGRITY, contract_link, party_actor
from compute.trace.steps import Actor, Fact, Kind, Link, Means, Paper, Signer, Standing, Step
from contracts.models import UsageRecord
from ledger.models import Entry
from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

_BEFORE_CONSENT = (ComputationState.REQUESTED, ComputationState.REVIEWING, ComputationState.CONSENTING)


class Run:
    """One computation with all that its steps are made from."""

    def __init__(self, computation: Computation, books: Books) -> None:
        self.computation = computation
        self.books = books
        self.contract = computation.contract
        self.terms: Mapping[str, Any] = computation.contract.terms
        self.exchange = books.officer("exchange")
        self.exchange_key = self.terms["exchange"]["document_key"]
        self.link = Link("computation", reverse("compute:detail", args=[computation.ref]))
        self.tasks = list(computation.tasks.select_related("organization", "part").order_by("rank"))
        self.authorization: Authorization | None = getattr(computation, "authorization", None)
        self.result: Result | None = getattr(computation, "result", None)

    def steps(self) -> tuple[Step, ...]:
        """Every step that this computation has come to, in the order of the chain."""
        found = [self._request()]
        if self.computation.reviewed_at is not None:
            found.append(self._review())
        found += [self._consent(row) for row in self.computation.consents.order_by("pk")]
        if self.authorization is not None:
            found.append(self._authorization(self.authorization))
        found += [self._run(task) for task in self.tasks]
        if self.result is not None:
            found += [self._result(self.result), self._charge()]
            if self.result.released_entry is not None:
                found += [self._release(self.result.released_entry), *self._deliveries()]
            if self.result.receipt is not None:
                found.append(self._receipt(self.result))
        if self.computation.end_code:
            found.append(self._end())
        return tuple(found)

    # --- what was asked and allowed ---------------------------------------------------------------------

    def _request(self) -> Step:
        row, buyer = self.computation, protocol.buyer(self.terms)
        actor = party_actor(self.terms, buyer["organization"])
        entry = self.books.keyed(f"computation-requested:{row.ref}")
        place = self.books.place(entry)
        own = by_document(
            row.request, key=buyer["document_key"], actor=actor, entry=place, terms_digest=self.contract.terms_digest
        )
        # The request itself holds filter values; whoever may see it finds it on the computation's page.
        return self._step(
            Kind.REQUEST,
            actor,
            (own, self.books.by_entry(entry, actor, says=row.request_digest)),
            digest=row.request_digest,
            entry=entry,
            facts=(Fact("operation", row.operation), Fact("purpose", row.purpose)),
            links=(self.link, contract_link(self.contract)),
        )

    def _review(self) -> Step:
        officer = self.books.officer(self.computation.reviewer_role)
        entry = self.books.keyed(f"computation-reviewed:{self.computation.ref}")
        return self._step(
            Kind.REVIEW,
            officer,
            (self.books.by_entry(entry, officer, says=self.computation.request_digest),),
            digest=self.computation.request_digest,
            entry=entry,
        )

    def _consent(self, row: Consent) -> Step:
        urn = row.organization.urn
        actor = party_actor(self.terms, urn)
        key = (protocol.party(self.terms, urn) or {}).get("document_key", "")
        entry = self.books.keyed(f"consent:{self.computation.ref}:{row.organization.ref}")
        own = by_document(
            row.document,
            key=key,
            actor=actor,
            entry=self.books.place(entry),
            request_digest=self.computation.request_digest,
            organization=urn,
        )
        signers: tuple[Signer, ...] = (own, self.books.by_entry(entry, actor, says=row.digest))
        if row.state == ConsentState.PENDING and self._is_open(_BEFORE_CONSENT):
            signers = (_waiting(actor, Means.DOCUMENT, key),)
        return self._step(
            Kind.CONSENT,
            actor,
            signers,
            digest=row.digest,
            entry=entry,
            facts=(Fact("consent", row.state),),
            papers=(Paper(DATA_INTEGRITY, row.document, (key,)),) if row.document else (),
        )

    def _authorization(self, row: Authorization) -> Step:
        own = by_document(
            row.job,
            key=self.exchange_key,
            actor=self.exchange,
            entry=self.books.place(row.entry),
            request_digest=self.computation.request_digest,
            terms_digest=self.contract.terms_digest,
        )
        return self._step(
            Kind.AUTHORIZATION,
            self.exchange,
            (own, self.books.by_entry(self._own(row.entry_id), self.exchange, says=row.job_digest)),
            digest=row.job_digest,
            entry=self._own(row.entry_id),
            facts=(
                Fact("policy_rule", self.computation.policy_rule),
                Fact("min_group", self.computation.min_group),
            ),
            papers=(Paper(DATA_INTEGRITY, row.job, (self.exchange_key,)),),
        )

    # --- what was done ----------------------------------------------------------------------------------

    def _run(self, task: NodeTask) -> Step:
        urn = task.organization.urn
        actor = party_actor(self.terms, urn)
        key = (protocol.party(self.terms, urn) or {}).get("document_key", "")
        report = task.report
        entry = self._accepted()
        signers: tuple[Signer, ...] = (self._report_signer(task, actor, key),)
        if report is None and self.result is None and not self.computation.end_code:
            signers = (_waiting(actor, Means.DOCUMENT, key),)
        if report is None and self.computation.end_code:
            signers = (self._end_signer(),)
        facts = [Fact("rank", task.rank), Fact("task", task.state)]
        if report:
            facts += [
                Fact("engine", report["engine"]["id"]),
                Fact("units", report["units"]),
                *(Fact("dataset_commitment", item["commitment"]) for item in report["datasets"]),
            ]
        return self._step(
            Kind.RUN,
            actor,
            signers,
            digest=task.report_digest,
            entry=entry,
            at=task.changed,
            facts=tuple(facts),
            papers=(Paper(DATA_INTEGRITY, report, (key,)),) if report else (),
        )

    def _report_signer(self, task: NodeTask, actor: Actor, key: str) -> Signer:
        digest = self.authorization.job_digest if self.authorization else ""
        place = self.books.place(self._accepted())
        return by_document(task.report, key=key, actor=actor, entry=place, job_digest=digest)

    def _result(self, result: Result) -> Step:
        entry = self._own(result.accepted_entry_id)
        digest = self.authorization.job_digest if self.authorization else ""
        signers = []
        parts = []
        for task in self.tasks:
            part = getattr(task, "part", None)
            actor = party_actor(self.terms, task.organization.urn)
            key = (protocol.party(self.terms, task.organization.urn) or {}).get("document_key", "")
            signer = self._report_signer(task, actor, key)
            if part is not None:
                parts.append(Fact("part", part.digest))
                if ((task.report or {}).get("part") or {}).get("digest") != part.digest:
                    signer = Signer(actor, Means.DOCUMENT, key, signer.entry, Standing.INVALID)
            signers.append(signer)
        signers.append(self.books.by_entry(entry, self.exchange, says=digest))
        return self._step(Kind.RESULT, self.exchange, tuple(signers), digest=digest, entry=entry, facts=tuple(parts))

    def _charge(self) -> Step:
        entry = self.books.keyed(f"settlement.charged:{self.computation.urn}")
        usage = UsageRecord.objects.filter(subject=self.computation.urn).first()
        facts = (Fact("units", usage.units), Fact("amount_fen", usage.amount_fen)) if usage else ()
        return self._step(
            Kind.CHARGE,
            self.exchange,
            (self.books.by_entry(entry, self.exchange, says=self.contract.terms_digest),),
            digest=self.contract.terms_digest,
            entry=entry,
            facts=facts,
        )

    # --- where it went ----------------------------------------------------------------------------------

    def _release(self, released: Entry) -> Step:
        entry = self._own(released.pk)
        digest = self.authorization.job_digest if self.authorization else ""
        receiver = party_actor(self.terms, self.computation.buyer.urn)
        return self._step(
            Kind.RELEASE,
            self.exchange,
            (self.books.by_entry(entry, self.exchange, says=digest),),
            digest=digest,
            entry=entry,
            facts=(Fact("receiver_zh", receiver.name_zh), Fact("receiver_en", receiver.name_en)),
        )

    def _deliveries(self) -> list[Step]:
        steps = []
        receiver = party_actor(self.terms, self.computation.buyer.urn)
        for task in self.tasks:
            entry = self.books.keyed(f"result-delivered:{task.ref}:{self.computation.buyer.ref}")
            if entry is None:
                continue
            part = getattr(task, "part", None)
            digest = part.digest if part is not None else ""
            steps.append(
                self._step(
                    Kind.DELIVERY,
                    receiver,
                    (self.books.by_entry(entry, self.exchange, says=digest),),
                    digest=digest,
                    entry=entry,
                    facts=(Fact("rank", task.rank), Fact("part", digest)),
                )
            )
        return steps

    def _receipt(self, result: Result) -> Step:
        data = bytes(result.receipt or b"")
        try:
            bundle = canonical.parse_canonical(data)
        except VerificationError:
            bundle = {}
        own = by_document(bundle, key=self.exchange_key, actor=self.exchange, computation=self.computation.urn)
        return self._step(
            Kind.RECEIPT,
            self.exchange,
            (own,),
            digest=hashlib.sha256(data).hexdigest(),
            entry=None,
            at=result.released_at,
            facts=(Fact("receipt_number", result.number),),
            links=(Link("receipt", reverse("compute:receipt", args=[self.computation.ref])),),
        )

    def _end(self) -> Step:
        entry = self.books.keyed(f"computation-ended:{self.computation.ref}")
        return self._step(
            Kind.END,
            self.exchange,
            (self._end_signer(),),
            digest=self.computation.request_digest,
            entry=entry,
            facts=(Fact("end_code", self.computation.end_code),),
        )

    def _end_signer(self) -> Signer:
        entry = self.books.keyed(f"computation-ended:{self.computation.ref}")
        return self.books.by_entry(entry, self.exchange, says=self.computation.request_digest)

    # --- helpers ----------------------------------------------------------------------------------------

    def _accepted(self) -> Entry | None:
        return self.books.keyed(f"result-accepted:{self.computation.ref}")

    def _own(self, pk: int | None) -> Entry | None:
        """An entry as the books hold it, with its leaf."""
        return next((entry for entry in self.books.entries if entry.pk == pk), None)

    def _is_open(self, states: tuple[ComputationState, ...]) -> bool:
        return self.computation.state in [state.value for state in states]

    def _step(
        self,
        kind: Kind,
        actor: Actor,
        signers: tuple[Signer, ...],
        *,
        digest: str,
        entry: Entry | None,
        at: Any = None,
        facts: tuple[Fact, ...] = (),
        papers: tuple[Paper, ...] = (),
        links: tuple[Link, ...] = (),
    ) -> Step:
        return Step(
            kind=kind,
            subject=self.computation.urn,
            actor=actor,
            signers=signers,
            digest=digest,
            place=self.books.place(entry),
            at=at or (entry.at if entry else None),
            facts=facts,
            papers=papers,
            links=links or (self.link,),
        )


def _waiting(actor: Actor, means: Means, key: str) -> Signer:
    return Signer(actor=actor, means=means, key=key, entry="", standing=Standing.WAITING)
