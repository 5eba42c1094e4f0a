"""What a trace is made of: steps, the signatures under each, and its place in the log."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

UNSIGNED = "TRACE_STEP_UNSIGNED"


class Kind(StrEnum):
    """The steps of a chain of custody, in its order."""

    SOURCE = "source"
    CERTIFICATE = "certificate"
    PRODUCT = "product"
    CONTRACT = "contract"
    REVOCATION = "revocation"
    REQUEST = "request"
    REVIEW = "review"
    CONSENT = "consent"
    AUTHORIZATION = "authorization"
    RUN = "run"
    RESULT = "result"
    CHARGE = "charge"
    RELEASE = "release"
    DELIVERY = "delivery"
    RECEIPT = "receipt"
    END = "end"
    ENTRY = "entry"  # what the public log shows of a step, and no more


class Means(StrEnum):
    """How somebody signs: a document by its own key, a grant for the chain, or an entry under the log's key."""

    DOCUMENT = "document"
    CHAIN = "chain"
    ENTRY = "entry"


class Standing(StrEnum):
    """How a signature stands: there and right, on its way, not there, or there and wrong."""

    SIGNED = "signed"
    WAITING = "waiting"
    MISSING = "missing"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Actor:
    """An organisation, and the role in which it acts."""

    organization: str
    name_zh: str
    name_en: str
    role: str


@dataclass(frozen=True, slots=True)
class Signer:
    """One signature that a step needs.

    Args:
        key: did:key, chain address, or the name of the log whose key signs the entry's checkpoint.
        entry: URN of the entry that carries or repeats the signature; empty where there is none.
    """

    actor: Actor
    means: Means
    key: str
    entry: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Place:
    """Where the log holds a step; all of it is public.

    Args:
        index: place in the log; None until sequenced.
        sealed: a signed checkpoint covers it.
        anchored: a confirmed anchor covers it.
    """

    entry: str
    ref: str
    kind: str
    subject: str
    issuer: str
    at: datetime
    origin: str
    index: int | None
    sealed: bool
    anchored: bool


@dataclass(frozen=True, slots=True)
class Paper:
    """A signed document of a step, for those who verify it themselves.

    Args:
        form: `data_integrity` (ledger.proofs.statements) or `eip712_grant` (ledger.proofs.grants).
        signers: did:keys or chain addresses that must have signed it.
    """

    form: str
    document: dict[str, Any]
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One detail of a step: a name from `words.FACTS`, and a value."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page of the exchange shows more: a name from `words.LINKS`, and an address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain of custody.

    Args:
        subject: URN of what the step is about.
        digest: SHA-256 of the document that the step rests on, as 64 hex characters; empty where there is none.
        is_open: whether the asker may see more than the public log shows.
        may_open: whether the asker may have documents, and what the entry's commitment opens to.
    """

    kind: Kind
    subject: str
    actor: Actor | None
    signers: tuple[Signer, ...]
    digest: str
    place: Place | None
    at: datetime | None
    facts: tuple[Fact, ...] = ()
    papers: tuple[Paper, ...] = ()
    links: tuple[Link, ...] = ()
    is_open: bool = True
    may_open: bool = False

    @property
    def defect(self) -> str:
        """TRACE_STEP_UNSIGNED when a signature that the step needs is not there or wrong; empty otherwise."""
        if not self.is_open:
            return ""
        broken = [one for one in self.signers if one.standing in (Standing.MISSING, Standing.INVALID)]
        return UNSIGNED if broken or not self.signers else ""

    @property
    def standing(self) -> Standing:
        """The step as a whole: the worst of its signatures."""
        if self.defect:
            return Standing.MISSING
        waiting = any(one.standing is Standing.WAITING for one in self.signers)
        return Standing.WAITING if waiting or (not self.is_open and not self._is_sealed) else Standing.SIGNED

    @property
    def _is_sealed(self) -> bool:
        return self.place is not None and self.place.sealed

    def without_papers(self) -> "Step":
        """The step without the signed documents themselves."""
        return replace(self, papers=(), may_open=False)

    def with_papers(self) -> "Step":
        """The step for those who may have its documents, and what its entry's commitment opens to."""
        return replace(self, may_open=True)

    def closed(self) -> "Step | None":
        """The step as anybody sees it in the public log; None when no entry shows it."""
        if self.place is None:
            return None
        return Step(
            kind=self.kind,
            subject=self.place.subject,
            actor=None,
            signers=(),
            digest="",
            place=self.place,
            at=self.place.at,
            is_open=False,
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """A chain of custody as one asker may see it.

    Args:
        kind: `computation`, `contract`, `product`, or `log` for what the public log shows of a subject.
        onward: where the chain goes on: contracts of a product, computations of a contract.
    """

    kind: str
    subject: str
    title: str
    steps: tuple[Step, ...]
    onward: tuple[Link, ...] = ()

    @property
    def defects(self) -> list[Step]:
        """The steps that somebody ought to have signed and did not."""
        return [step for step in self.steps if step.defect]
