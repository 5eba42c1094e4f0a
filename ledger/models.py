"""The ledger's tables: facts, the tree over them, and what the chain has seen of it.

The ledger knows nobody: it names things by URN and has no foreign key to another app. Tables that are
evidence refuse UPDATE, DELETE and TRUNCATE in the database itself; what happens when a superuser lifts that
guard is found by `manage.py verify_ledger` and by every outside verifier.
"""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from exchange.kernel import identifiers
from ledger import triggers
from ledger.querysets import (
    CheckpointQuerySet,
    DisclosureQuerySet,
    EntryQuerySet,
    LeafQuerySet,
    LogQuerySet,
    TileQuerySet,
)

TILE_BYTES = 8192  # 256 hashes of 32 bytes: C2SP tlog-tiles, height 8


class Entry(models.Model):
    """One fact, written in the transaction of the change it reports. Append-only, free of personal data."""

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid)
    kind = models.CharField(max_length=64)
    subject = models.CharField(max_length=128)
    issuer = models.CharField(max_length=128)
    at = models.DateTimeField(default=timezone.now)
    commit = models.CharField(max_length=64)
    key = models.CharField(max_length=200, unique=True, null=True)  # noqa: DJ001  NULL: no business key, never a repeat

    objects = EntryQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["subject", "id"], name="entry_subject"),
            models.Index(fields=["kind", "id"], name="entry_kind"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(commit__regex=r"^[0-9a-f]{64}$"), name="entry_commit_is_a_digest"),
        ]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"

    @property
    def urn(self) -> str:
        return identifiers.make_urn("entry", self.ref)


class Disclosure(models.Model):
    """What an entry's commitment opens to: the canonical payload and its salt.

    Erasing it (payload and salt become NULL) leaves every proof intact. Nothing else may be changed.
    """

    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, primary_key=True, related_name="disclosure")
    payload = models.BinaryField(null=True)
    salt = models.BinaryField(null=True)
    erased_at = models.DateTimeField(null=True)

    objects = DisclosureQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(payload__isnull=False, salt__isnull=False, erased_at__isnull=True)
                | Q(payload__isnull=True, salt__isnull=True, erased_at__isnull=False),
                name="disclosure_whole_or_erased",
            ),
        ]
        triggers = [
            *triggers.no_truncate(),
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="only_erased",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(new__payload__isnull=False) | pgtrigger.Q(old__payload__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"disclosure of {self.entry_id}"


class Pending(models.Model):
    """An entry that waits for its place in the log: written with it, deleted when it is sequenced.

    There is no high-water mark: ids are taken before commit, so a mark would lose late commits.
    """

    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, primary_key=True, related_name="pending")

    class Meta:
        verbose_name_plural = "pending"

    def __str__(self) -> str:
        return f"pending {self.entry_id}"


class Log(models.Model):
    """One shard of the log: a tree of its own under a name of its own. Exactly one is open at a time.

    Every sealer locks the row of the open one. A frozen log never grows again, and its proofs hold for ever.
    """

    number = models.PositiveSmallIntegerField(primary_key=True)
    origin = models.CharField(max_length=128, unique=True)
    vkey = models.CharField(max_length=200)
    size = models.BigIntegerField(default=0)
    root = models.CharField(max_length=64)
    epoch = models.PositiveIntegerField(default=1)  # the chain deployment that anchors it
    # Why nothing may be signed: the chain holds what this log does not. Empty while both agree.
    alarm = models.CharField(max_length=32, blank=True, default="")
    opened = models.DateTimeField(default=timezone.now)
    frozen_at = models.DateTimeField(null=True)

    objects = LogQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["frozen_at"], nulls_distinct=False, name="log_one_open"),
            models.CheckConstraint(condition=Q(number__gte=1, size__gte=0), name="log_counts_from_one"),
        ]
        triggers = [
            *triggers.no_truncate(),
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="frozen_for_ever",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.frozen_at IS NOT NULL AND (NEW.frozen_at IS DISTINCT FROM OLD.frozen_at"
                    " OR NEW.size <> OLD.size OR NEW.root <> OLD.root OR NEW.origin <> OLD.origin"
                    " OR NEW.vkey <> OLD.vkey)"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.origin} of {self.size} leaves"

    @property
    def is_frozen(self) -> bool:
        return self.frozen_at is not None


class Leaf(models.Model):
    """An entry's place in a log: its index, its exact bytes, and their hash. Append-only."""

    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="leaves")
    index = models.BigIntegerField()
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, related_name="leaf")
    data = models.BinaryField()
    leaf_hash = models.BinaryField(max_length=32)

    objects = LeafQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "leaves"
        constraints = [
            models.UniqueConstraint(fields=["log", "index"], name="leaf_place_once"),
            models.CheckConstraint(condition=Q(index__gte=0), name="leaf_index_counts_from_zero"),
        ]
        triggers = [*triggers.append_only(), *triggers.only_while_open()]

    def __str__(self) -> str:
        return f"leaf {self.index}"

    @property
    def leaf_hash_hex(self) -> str:
        return bytes(self.leaf_hash).hex()


class Tile(models.Model):
    """Up to 256 hashes of one level of the tree (C2SP tlog-tiles). It grows at its end and never otherwise."""

    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="tiles")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    data = models.BinaryField(max_length=TILE_BYTES)

    objects = TileQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["log", "level", "index"], name="tile_once"),
            models.CheckConstraint(condition=Q(level__gte=0, level__lte=7, index__gte=0), name="tile_place"),
        ]
        triggers = [
            *triggers.no_truncate(),
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="only_grows",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "NEW.log_id <> OLD.log_id OR NEW.level <> OLD.level OR NEW.index <> OLD.index"
                    " OR substring(NEW.data FOR length(OLD.data)) <> OLD.data"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index}"


class Checkpoint(models.Model):
    """A signed statement of a log's size and root (C2SP tlog-checkpoint). Append-only."""

    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="checkpoints")
    size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    note = models.TextField()
    created = models.DateTimeField(default=timezone.now)

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["log", "size"], name="checkpoint_once"),
            models.CheckConstraint(condition=Q(size__gt=0), name="checkpoint_covers_something"),
        ]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class Witness(models.Model):
    """Somebody who cosigns checkpoints only if each extends the last one they saw (C2SP tlog-witness).

    A witness that leaves is withdrawn, never deleted: its cosignatures stay evidence.
    """

    ref = models.CharField(max_length=26, unique=True, default=identifiers.new_ulid, editable=False)
    name = models.CharField(max_length=128)
    vkey = models.CharField(max_length=200, unique=True)
    url = models.URLField(max_length=300)
    added = models.DateTimeField(default=timezone.now)
    withdrawn_at = models.DateTimeField(null=True)
    # How the last request went: empty when it was answered with a cosignature.
    trouble = models.CharField(max_length=64, blank=True, default="")
    asked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "witnesses"
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(withdrawn_at__isnull=True), name="witness_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def urn(self) -> str:
        return identifiers.make_urn("witness", self.ref)


class Cosignature(models.Model):
    """One witness's signature line under one checkpoint. Append-only."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="cosignatures")
    witness = models.ForeignKey(Witness, on_delete=models.PROTECT, related_name="cosignatures")
    line = models.TextField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["checkpoint", "witness"], name="cosignature_once")]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"{self.witness_id} under {self.checkpoint_id}"


class ChainDeployment(models.Model):
    """One contract on one chain: an epoch of anchoring. Another chain or contract is another epoch."""

    chain_id = models.BigIntegerField()
    genesis_hash = models.CharField(max_length=66)
    contract_address = models.CharField(max_length=42)
    code_hash = models.CharField(max_length=66)
    epoch = models.PositiveIntegerField(unique=True)
    first_size = models.BigIntegerField(default=0)
    events_through = models.BigIntegerField(default=0)  # the last block whose events are in the log
    seen_at = models.DateTimeField(null=True)  # the last look that found this chain and this contract
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["chain_id", "genesis_hash", "contract_address"], name="chain_deployment_once"
            ),
        ]

    def __str__(self) -> str:
        return f"epoch {self.epoch} on chain {self.chain_id}"

    @property
    def urn(self) -> str:
        """The contract's name in the log; it follows from chain, genesis and address, so anyone can work it out."""
        place = f"{self.chain_id} {self.genesis_hash} {self.contract_address}"
        return identifiers.make_urn("chain", identifiers.ulid_of(place))


class AttemptState(models.TextChoices):
    """How far one anchoring transaction has come. The chain is the truth; this is a note about it."""

    PREPARED = "prepared"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REPLACED = "replaced"
    LOST = "lost"


class AnchorAttempt(models.Model):
    """A signed anchoring transaction, saved before it is sent so that a crash resends the same bytes."""

    deployment = models.ForeignKey(ChainDeployment, on_delete=models.PROTECT, related_name="attempts")
    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="attempts")
    old_size = models.BigIntegerField()
    new_size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    nonce = models.BigIntegerField()
    raw_transaction = models.TextField()
    transaction_hash = models.CharField(max_length=66, unique=True)
    state = models.CharField(max_length=16, choices=AttemptState.choices, default=AttemptState.PREPARED)
    created = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    block_number = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(new_size__gt=F("old_size")), name="anchor_attempt_grows")]
        indexes = [models.Index(fields=["deployment", "state"], name="anchor_attempt_open")]

    def __str__(self) -> str:
        return f"anchor {self.old_size}→{self.new_size} {self.state}"


class Anchor(models.Model):
    """A log size whose root stands confirmed on the chain. A reorganisation may take it back; then it goes."""

    deployment = models.ForeignKey(ChainDeployment, on_delete=models.PROTECT, related_name="anchors")
    log = models.ForeignKey(Log, on_delete=models.PROTECT, related_name="anchors")
    size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    block_number = models.BigIntegerField()
    block_hash = models.CharField(max_length=66)
    transaction_hash = models.CharField(max_length=66)
    confirmed_at = models.DateTimeField(default=timezone.now)
    # What proves it offline, kept because chain nodes forget old state; None where the chain offers no proofs.
    proof = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "log", "size"], name="anchor_once")]

    def __str__(self) -> str:
        return f"anchor of {self.size}"


class ChainRecordState(models.TextChoices):
    """A direct chain record on its way."""

    PENDING = "pending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class ChainRecordKind(models.TextChoices):
    """What goes to the chain directly and not in a batch."""

    GRANT = "grant"
    REVOKE = "revoke"
    METER = "meter"
    VOID = "void"


class ChainRecord(models.Model):
    """A grant, revocation or usage total on its way to the chain; asked for once for each key."""

    kind = models.CharField(max_length=16, choices=ChainRecordKind.choices)
    key = models.CharField(max_length=200, unique=True)
    payload = models.JSONField()
    state = models.CharField(max_length=16, choices=ChainRecordState.choices, default=ChainRecordState.PENDING)
    deployment = models.ForeignKey(ChainDeployment, on_delete=models.PROTECT, null=True, related_name="records")
    nonce = models.BigIntegerField(null=True)
    raw_transaction = models.TextField(blank=True, default="")
    transaction_hash = models.CharField(max_length=66, blank=True, default="")
    block_number = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")
    error_code = models.CharField(max_length=64, blank=True, default="")
    created = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "kind", "id"], name="chain_record_open")]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class ChainEvent(models.Model):
    """An event of our contract, deep enough in the chain to count, and the entry that reports it. Append-only."""

    deployment = models.ForeignKey(ChainDeployment, on_delete=models.PROTECT, related_name="events")
    name = models.CharField(max_length=32)
    arguments = models.JSONField()
    block_number = models.BigIntegerField()
    block_hash = models.CharField(max_length=66)
    transaction_hash = models.CharField(max_length=66)
    log_index = models.IntegerField()
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, related_name="chain_event")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "transaction_hash", "log_index"], name="chain_event_once"),
        ]
        indexes = [models.Index(fields=["name", "id"], name="chain_event_name")]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"{self.name} in block {self.block_number}"
