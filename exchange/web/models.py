"""What the web kit remembers: the first answer to each idempotent request."""

from django.db import models
from django.db.models import Q
from django.utils import timezone


class IdempotencyRecord(models.Model):
    """One request that its sender may repeat: who, under which key, what was asked, what was answered.

    Kept for ever: a repeat after a year returns the first answer, not a second charge.
    """

    actor = models.CharField(max_length=64, help_text="Whose key it is: a membership's or a person's reference.")
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64, help_text="SHA-256 over method, path and body.")
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=100)
    body = models.BinaryField()
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["actor", "key"], name="idempotency_key_once"),
            models.CheckConstraint(condition=Q(status__gte=200, status__lt=500), name="idempotency_answer_is_final"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.key}"
