"""A run with published notices, a person who opened one, and objections in every state."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from compute.actions import computations
from compute.models import Computation, NodeTask, NoticeBatch, NoticeToken
from compute.protocol import notices, objections
from exchange.members.models import Organization
from exchange.subjects.actions import objections as actions
from exchange.subjects.models import Objection
from ledger.proofs import statements
from tests.factories.compute import World, keys_of

IDENTIFIER = "990101198001010017"
DISPUTED = "缴存月数有误。\nI paid for 36 months, not 30."


@dataclass
class Subject:
    """A person with a card and a token of one run, and that run's world."""

    world: World = field(default_factory=World)
    token: bytes = field(default_factory=lambda: secrets.token_bytes(notices.TOKEN_BYTES))
    card: dict[str, Any] = field(default_factory=lambda: notices.new_card(created=timezone.now()))

    def __post_init__(self) -> None:
        self.computation: Computation = computations.submit(document=self.world.request(), by=self.world.buyer)
        task = NodeTask.objects.create(
            computation=self.computation, organization=self.world.organizations["bank"], rank=0, role="requester"
        )
        publish(task, self.token)

    @property
    def token_digest(self) -> str:
        return notices.token_digest(self.token)

    @property
    def provider(self) -> Organization:
        """Whose record is disputed."""
        return self.world.organizations["fund-a"]

    def document(self, **changes: Any) -> dict[str, Any]:
        """What the person objects to."""
        given = {
            "computation": self.computation.urn,
            "organization": self.provider.urn,
            "identifier": IDENTIFIER,
            "disputed": DISPUTED,
            "answer_key": self.card["public_key"],
            "created": timezone.now(),
        }
        return objections.objection(**{**given, **changes})

    def sealed(self, **changes: Any) -> bytes:
        """The objection as it leaves the person's device."""
        recipient = keys_of("fund-a").sealing_key
        return objections.seal_objection(self.document(**changes), token=self.token, recipient=recipient)

    def file(self, *, now: datetime | None = None, **changes: Any) -> Objection:
        """Filed at the exchange."""
        return actions.file(
            token=self.token, organization=self.provider.urn, sealed=self.sealed(**changes), now=now or timezone.now()
        )

    def sealed_answer(self, filed: Objection, *, outcome: str = "corrected", text: str = "已更正。") -> bytes:
        """The provider's signed answer, as it leaves its node."""
        document = objections.answer(
            objection=filed.urn, organization=self.provider.urn, outcome=outcome, text=text, created=timezone.now()
        )
        created = document["created"]
        signed = statements.sign(document, key=keys_of("fund-a").document, created=created)
        return objections.seal_answer(signed, to=self.card["public_key"], token_digest=self.token_digest)

    def answer(self, filed: Objection, *, now: datetime | None = None, outcome: str = "corrected") -> Objection:
        """Marked and answered at the exchange."""
        now = now or timezone.now()
        actions.mark(ref=filed.ref, organization=self.provider, now=now)
        sealed = self.sealed_answer(filed, outcome=outcome)
        return actions.answer(ref=filed.ref, organization=self.provider, outcome=outcome, sealed=sealed, now=now)


def publish(task: NodeTask, *tokens: bytes) -> None:
    """Published notices of a task's run, which hold these tokens."""
    batch = NoticeBatch.objects.create(
        ref=secrets.token_hex(16), task=task, statement=b"", count=64, root="a" * 64, published=timezone.now().date()
    )
    for token in tokens:
        NoticeToken.objects.create(digest=notices.token_digest(token), batch=batch)


def in_every_state(task: NodeTask, provider: Organization) -> list[Objection]:
    """One answered, one marked, one filed and overdue; sealed by nobody, for those who cannot open them anyway."""
    tokens = [secrets.token_bytes(notices.TOKEN_BYTES) for _ in range(3)]
    publish(task, *tokens)
    now = timezone.now()
    sizes, ages = objections.SEALED_SIZES, (timedelta(days=3), timedelta(days=1), timedelta(days=30))
    made = [
        actions.file(token=token, organization=provider.urn, sealed=secrets.token_bytes(sizes[0]), now=now - age)
        for token, age in zip(tokens, ages, strict=True)
    ]
    for one in made[:2]:
        actions.mark(ref=one.ref, organization=provider, now=now)
    sealed = secrets.token_bytes(sizes[0])
    actions.answer(ref=made[0].ref, organization=provider, outcome="corrected", sealed=sealed, now=now)
    assert actions.sweep(now=now) == 1
    return made


def digest(sealed: bytes) -> str:
    """How the exchange names sealed bytes."""
    return hashlib.sha256(sealed).hexdigest()
