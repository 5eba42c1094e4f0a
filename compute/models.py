"""The tables of computations: requests, consents, authorizations, tasks, sealed parts and results.

No row here holds data of a provider: documents, digests, references, and ciphertext that only the
buyer can open. Work rows carry a lease, a fencing token and an attempt; a wake-up that is lost,
doubled or late changes nothing, because every step is decided by these rows.
"""

from django.db import models
from django.db.models import F, Func, Q
from django.utils import timezone

from compute.protocol import operations, stages
from compute.querysets import (
    ComputationQuerySet,
    ConsentQuerySet,
    DataNodeQuerySet,
    NodeTaskQuerySet,
    NoticeBatchQuerySet,
    SeenMessageQuerySet,
)
from compute.states import ComputationState, ConsentState, TaskState
from exchange.kernel import identifiers

_HEX64 = r"^[0-9a-f]{64}$"


def _choices(states: type[ComputationState] | type[TaskState] | type[ConsentState]) -> list[tuple[str, str]]:
    return [(state.value, state.value) for state in states]


class Computation(models.Model):
    """One run that a buyer asked for; its ref comes from the buyer's signed request and is the idempotency key."""

    ref = models.CharField(max_length=26, unique=True)
    contract = models.ForeignKey("contracts.Contract", on_delete=models.PROTECT, related_name="computations")
    buyer = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="computations")
    operation = models.CharField(max_length=64)
    purpose = models.CharField(max_length=64)
    request = models.JSONField()
    request_digest = models.CharField(max_length=64)
    state = models.CharField(
        max_length=16, choices=_choices(ComputationState), default=ComputationState.REQUESTED.value
    )
    state_since = models.DateTimeField(default=timezone.now)
    deadline = models.DateTimeField(null=True, help_text="When the present state times out; NULL: never.")
    created = models.DateTimeField(default=timezone.now)
    # The policy's answer when it was last asked, as staff see it.
    policy_rule = models.CharField(max_length=16)
    policy_version = models.PositiveIntegerField()
    policy = models.JSONField()
    min_group = models.PositiveIntegerField()
    plan = models.JSONField()
    reviewed_by = models.ForeignKey("members.User", on_delete=models.PROTECT, null=True, related_name="+")
    reviewed_at = models.DateTimeField(null=True)
    reviewer_role = models.CharField(max_length=32, blank=True, default="")
    review_reason = models.CharField(max_length=500, blank=True, default="")
    end_code = models.CharField(max_length=64, blank=True, default="")
    end_stage = models.CharField(max_length=64, blank=True, default="")
    end_party = models.ForeignKey("members.Organization", on_delete=models.PROTECT, null=True, related_name="+")

    objects = ComputationQuerySet.as_manager()

    class Meta:
        ordering = ["-created", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in ComputationState]), name="computation_state_known"
            ),
            models.CheckConstraint(condition=Q(request_digest__regex=_HEX64), name="computation_request_digest"),
            models.CheckConstraint(condition=Q(min_group__gte=10), name="computation_min_group_floor"),
            models.CheckConstraint(
                condition=Q(reviewed_at__isnull=True, reviewed_by__isnull=True)
                | Q(reviewed_at__isnull=False, reviewed_by__isnull=False),
                name="computation_review_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "deadline"], name="computation_due"),
            models.Index(fields=["request_digest"], name="computation_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.state}"

    @property
    def urn(self) -> str:
        return identifiers.make_urn("computation", self.ref)

    @property
    def units(self) -> int:
        """What one run uses of the contract's meter, by the signed request."""
        return operations.quantity(self.request, terms=self.contract.terms)

    @property
    def needs_review(self) -> bool:
        return bool(self.policy.get("needs_review"))


class Consent(models.Model):
    """One provider's or compute party's answer to one computation, as its own node signed it."""

    computation = models.ForeignKey(Computation, on_delete=models.PROTECT, related_name="consents")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=_choices(ConsentState), default=ConsentState.PENDING.value)
    document = models.JSONField(null=True)
    digest = models.CharField(max_length=64, blank=True, default="")
    decided_at = models.DateTimeField(null=True)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["computation", "organization"], name="consent_once"),
            models.CheckConstraint(
                condition=Q(state="pending", document__isnull=True, decided_at__isnull=True)
                | (~Q(state="pending") & Q(document__isnull=False, decided_at__isnull=False)),
                name="consent_whole",
            ),
        ]
        indexes = [models.Index(fields=["digest"], name="consent_by_digest")]

    def __str__(self) -> str:
        return f"consent to {self.computation_id}: {self.state}"


class Authorization(models.Model):
    """The exchange's signed job and the logged statement that policy, reviews and consents are complete."""

    computation = models.OneToOneField(Computation, on_delete=models.PROTECT, related_name="authorization")
    job = models.JSONField()
    job_digest = models.CharField(max_length=64, unique=True)
    entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"authorization of {self.computation_id}"


class NodeTask(models.Model):
    """One party's share of a job: taken under a lease, fenced by a token, ended once."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid)
    computation = models.ForeignKey(Computation, on_delete=models.PROTECT, related_name="tasks")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="+")
    rank = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=16)
    state = models.CharField(max_length=16, choices=_choices(TaskState), default=TaskState.PENDING.value)
    fencing_token = models.PositiveIntegerField(default=0, help_text="Counts claims; an older token is refused.")
    lease_until = models.DateTimeField(null=True)
    offer = models.JSONField(null=True)
    stage = models.CharField(max_length=64, blank=True, default="")
    percent = models.PositiveSmallIntegerField(default=0)
    report = models.JSONField(null=True)
    report_digest = models.CharField(max_length=64, blank=True, default="")
    created = models.DateTimeField(default=timezone.now)
    changed = models.DateTimeField(default=timezone.now)

    objects = NodeTaskQuerySet.as_manager()

    class Meta:
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint(fields=["computation", "organization"], name="task_once_for_each_party"),
            models.UniqueConstraint(fields=["computation", "rank"], name="task_once_for_each_rank"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="task_percent"),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in TaskState]), name="task_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="submitted") | Q(report__isnull=False), name="task_submitted_has_report"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "state"], name="task_of_node"),
            models.Index(fields=["report_digest"], name="task_by_report"),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.state}"

    @property
    def urn(self) -> str:
        return identifiers.make_urn("task", self.ref)


class TaskEvent(models.Model):
    """One stage that a node came to in one claim: words and numbers of a closed list, never a text of the node's."""

    task = models.ForeignKey(NodeTask, on_delete=models.PROTECT, related_name="events")
    fencing_token = models.PositiveIntegerField()
    sequence = models.PositiveSmallIntegerField()
    stage = models.CharField(max_length=16)
    percent = models.PositiveSmallIntegerField()
    seconds = models.PositiveIntegerField(help_text="Whole seconds since the claim, by the node's clock.")
    size_bytes = models.BigIntegerField(help_text="Sent to peers so far, rounded up to a power of two.")
    received = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["fencing_token", "sequence"]
        constraints = [
            models.UniqueConstraint(fields=["task", "fencing_token", "sequence"], name="task_event_once"),
            models.CheckConstraint(condition=Q(stage__in=list(stages.STAGES)), name="task_event_stage_known"),
            models.CheckConstraint(
                condition=Q(
                    sequence__lt=stages.MAX_EVENTS,
                    percent__lte=100,
                    seconds__lte=stages.MAX_SECONDS,
                    size_bytes__gte=0,
                    size_bytes__lte=stages.MAX_BYTES,
                ),
                name="task_event_bounded",
            ),
        ]

    def __str__(self) -> str:
        return f"event {self.sequence} of task {self.task_id}: {self.stage}"


class SealedPart(models.Model):
    """One party's part of a result, encrypted to the buyer: bytes the exchange cannot read."""

    task = models.OneToOneField(NodeTask, on_delete=models.PROTECT, related_name="part")
    ciphertext = models.BinaryField()
    digest = models.CharField(max_length=64)
    size_bytes = models.PositiveIntegerField()
    suite = models.CharField(max_length=64)
    received = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(digest__regex=_HEX64), name="part_digest")]
        indexes = [models.Index(fields=["digest"], name="part_by_digest")]

    def __str__(self) -> str:
        return f"part of task {self.task_id}"


class NoticeBatch(models.Model):
    """The sealed notices that one run made for the persons in it; the exchange can open none (`protocol.notices`).

    `published` is the day from which everybody may fetch it: that of the result's acceptance, and no finer, so that
    the public list does not say which run a batch belongs to. A batch of a run that ended otherwise is never published.
    """

    ref = models.CharField(max_length=32, unique=True, help_text="Drawn by the node; says nothing of the run.")
    task = models.OneToOneField(NodeTask, on_delete=models.PROTECT, related_name="notices")
    statement = models.BinaryField()
    count = models.PositiveIntegerField(default=0, help_text="Records, dummies included; 0 until all have come.")
    root = models.CharField(max_length=64, blank=True, default="")
    received = models.DateTimeField(default=timezone.now)
    published = models.DateField(null=True)

    objects = NoticeBatchQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ref__regex=r"^[0-9a-f]{32}$"), name="notice_batch_ref"),
            models.CheckConstraint(
                condition=Q(count=0, root="") | Q(count__gt=0, root__regex=_HEX64), name="notice_batch_whole"
            ),
            models.CheckConstraint(condition=Q(published__isnull=True) | Q(count__gt=0), name="notice_batch_published"),
        ]
        indexes = [models.Index(fields=["published", "ref"], name="notice_batch_by_day")]

    def __str__(self) -> str:
        return self.ref

    @property
    def computation(self) -> Computation:
        return self.task.computation


class NoticeChunk(models.Model):
    """Some thousand sealed records of a batch, as the node sent them and as everybody fetches them."""

    batch = models.ForeignKey(NoticeBatch, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveSmallIntegerField()
    records = models.BinaryField()

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["batch", "number"], name="notice_chunk_once")]

    def __str__(self) -> str:
        return f"chunk {self.number} of {self.batch_id}"


class NoticeToken(models.Model):
    """SHA-256 of one random token: whoever names the token has opened a notice of this batch.

    It is a hash of 16 random bytes, and of nothing that belongs to a person.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    batch = models.ForeignKey(NoticeBatch, on_delete=models.CASCADE, related_name="tokens")

    def __str__(self) -> str:
        return f"token of {self.batch_id}"


class Result(models.Model):
    """An accepted result: every part is in, one charge is made; released when its entry is proven."""

    computation = models.OneToOneField(Computation, on_delete=models.PROTECT, related_name="result")
    accepted_entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    accepted_at = models.DateTimeField(default=timezone.now)
    released_entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, null=True, related_name="+")
    released_at = models.DateTimeField(null=True)
    number = models.CharField(max_length=32, blank=True, default="")
    receipt = models.BinaryField(null=True, help_text="The receipt bundle, written once and served byte for byte.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(released_at__isnull=True, released_entry__isnull=True)
                | Q(released_at__isnull=False, released_entry__isnull=False),
                name="result_release_whole",
            ),
            models.UniqueConstraint(fields=["number"], condition=~Q(number=""), name="result_number_once"),
        ]
        indexes = [models.Index(Func(F("receipt"), function="sha256"), name="result_by_receipt")]

    def __str__(self) -> str:
        return f"result of {self.computation_id}"


class ReceiptSerial(models.Model):
    """The last serial number of receipts given out in a month; locked while the next one is taken."""

    year_month = models.CharField(max_length=6, primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year_month}: {self.last}"


class DataNode(models.Model):
    """What the exchange last heard of an organisation's node."""

    organization = models.OneToOneField("members.Organization", on_delete=models.CASCADE, related_name="data_node")
    first_seen = models.DateTimeField(default=timezone.now)
    last_seen = models.DateTimeField(default=timezone.now)
    version = models.CharField(max_length=64, blank=True, default="")

    objects = DataNodeQuerySet.as_manager()

    def __str__(self) -> str:
        return f"node of {self.organization_id}"


class SeenMessage(models.Model):
    """The nonce of a node message that has been received: a second one is a replay."""

    organization = models.ForeignKey("members.Organization", on_delete=models.CASCADE, related_name="+")
    nonce = models.CharField(max_length=32)
    seen_at = models.DateTimeField(default=timezone.now)

    objects = SeenMessageQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "nonce"], name="node_message_once")]
        indexes = [models.Index(fields=["seen_at"], name="node_message_age")]

    def __str__(self) -> str:
        return self.nonce
