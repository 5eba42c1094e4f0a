"""The table of objections. No row says who objects or to what: sealed bytes, references, times and a state.

`token_digest` is SHA-256 of 16 random bytes of a notice, and of nothing that belongs to a person.
"""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from compute.protocol import objections
from exchange.kernel import identifiers
from exchange.subjects import deadlines
from exchange.subjects.querysets import ObjectionQuerySet
from exchange.subjects.states import OBJECTION_CHOICES, ObjectionState

_HEX64 = r"^[0-9a-f]{64}$"
_OUTCOMES = [(outcome, outcome) for outcome in objections.OUTCOMES]


class Objection(models.Model):
    """One person's objection to one provider of one run, sealed to that provider; and its sealed answer."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid)
    token_digest = models.CharField(max_length=64)
    computation = models.ForeignKey("compute.Computation", on_delete=models.PROTECT, related_name="objections")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="objections")
    sealed = models.BinaryField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the sealed bytes, which nobody can guess.")
    state = models.CharField(max_length=16, choices=OBJECTION_CHOICES, default=ObjectionState.FILED.value)
    filed_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(help_text="The first moment at which it is overdue.")
    overdue_at = models.DateTimeField(null=True, help_text="When it was found unanswered after its last day.")
    marked_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=_OUTCOMES, blank=True, default="")
    sealed_answer = models.BinaryField(null=True)
    answer_digest = models.CharField(max_length=64, blank=True, default="")

    objects = ObjectionQuerySet.as_manager()

    class Meta:
        ordering = ["-filed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["token_digest", "organization"], name="objection_once"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in ObjectionState]), name="objection_state_known"
            ),
            models.CheckConstraint(
                condition=Q(token_digest__regex=_HEX64, digest__regex=_HEX64), name="objection_digests"
            ),
            models.CheckConstraint(
                condition=Q(state="filed", marked_at__isnull=True) | (~Q(state="filed") & Q(marked_at__isnull=False)),
                name="objection_mark_whole",
            ),
            models.CheckConstraint(
                condition=Q(
                    state="answered",
                    answered_at__isnull=False,
                    sealed_answer__isnull=False,
                    outcome__in=objections.OUTCOMES,
                    answer_digest__regex=_HEX64,
                )
                | (
                    ~Q(state="answered")
                    & Q(answered_at__isnull=True, sealed_answer__isnull=True, outcome="", answer_digest="")
                ),
                name="objection_answer_whole",
            ),
        ]
        indexes = [models.Index(fields=["state", "due_at"], name="objection_due")]

    def __str__(self) -> str:
        return f"{self.ref} {self.state}"

    @property
    def urn(self) -> str:
        return objections.make_urn(self.ref)

    @property
    def last_day(self) -> str:
        """The last day for an answer, in Beijing: 2026-12-11."""
        return deadlines.last_day(self.due_at)

    @property
    def is_overdue(self) -> bool:
        """Unanswered after its last day; an answered one is late for ever, but waits no more."""
        return self.overdue_at is not None and self.state != ObjectionState.ANSWERED.value
