"""The tables of contracts: terms, signatures, grants, the meter, and the money in double entry.

What has been signed, counted or posted is append-only in the database itself (`contracts/triggers.py`).
Money is whole fen; a balance is moved by postings alone.
"""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from contracts import triggers
from contracts.postings import AccountKind, TransferKind
from contracts.querysets import (
    AccountQuerySet,
    ContractQuerySet,
    LeaseQuerySet,
    MeterDayQuerySet,
    MeterQuerySet,
    ReservationQuerySet,
)
from contracts.states import ContractState, GrantState, ReservationState
from exchange.kernel import identifiers

_HEX64 = r"^[0-9a-f]{64}$"
_ROLES = ("provider", "buyer", "compute_party")


def _values(words: Any) -> list[str]:
    return [word.value for word in words]


class Contract(models.Model):
    """One usage-metered contract. Its terms are a frozen document; its digest is what everybody signs."""

    ref = models.CharField(max_length=26, unique=True)
    number = models.CharField(max_length=32, unique=True)
    buyer = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="bought_contracts")
    terms = models.JSONField()
    terms_digest = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=16, default=ContractState.PROPOSED.value)
    state_since = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    proposed_by = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    end_reason = models.CharField(max_length=400, blank=True, default="")

    objects = ContractQuerySet.as_manager()

    class Meta:
        ordering = ["-created", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=_values(ContractState)), name="contract_state_known"),
            models.CheckConstraint(condition=Q(terms_digest__regex=_HEX64), name="contract_terms_digest"),
        ]
        indexes = [models.Index(fields=["state"], name="contract_by_state")]
        triggers = triggers.terms_are_frozen()

    def __str__(self) -> str:
        return f"{self.number} {self.state}"

    @property
    def urn(self) -> str:
        return identifiers.make_urn("contract", self.ref)


class ContractParty(models.Model):
    """An organisation in its role in a contract, as the terms name it."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="parties")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="contract_parties")
    role = models.CharField(max_length=16)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "organization"], name="contract_party_once"),
            models.CheckConstraint(condition=Q(role__in=_ROLES), name="contract_party_role"),
        ]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"{self.role} of {self.contract_id}"


class Signature(models.Model):
    """A party's proof over the terms, made on its own machine. Append-only."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="signatures")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="+")
    document_key = models.CharField(max_length=128)
    proof = models.JSONField()
    received = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["contract", "organization"], name="contract_signature_once")]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"signature on {self.contract_id}"


class Grant(models.Model):
    """A provider's signed grant (EIP-712), on its way to the chain or standing there."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="grants")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="+")
    grant_id = models.CharField(max_length=66, unique=True)
    document = models.JSONField()
    state = models.CharField(max_length=16, default=GrantState.PENDING.value)
    record_key = models.CharField(max_length=200, unique=True)
    received = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "organization"], name="contract_grant_once"),
            models.CheckConstraint(condition=Q(state__in=_values(GrantState)), name="grant_state_known"),
        ]

    def __str__(self) -> str:
        return f"grant on {self.contract_id}: {self.state}"


class Revocation(models.Model):
    """A provider's signed end of a contract. Append-only; the newest sequence number is in force."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="revocations")
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, related_name="+")
    sequence = models.PositiveBigIntegerField()
    document = models.JSONField()
    digest = models.CharField(max_length=64, unique=True)
    received = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "organization", "sequence"], name="revocation_sequence_once"),
        ]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"revocation {self.sequence} of {self.contract_id}"


class Meter(models.Model):
    """What a contract may use, has set aside and has used. CHECKs stand behind the conditional updates."""

    contract = models.OneToOneField(Contract, on_delete=models.PROTECT, related_name="meter")
    unit = models.CharField(max_length=16)
    limit = models.PositiveBigIntegerField()
    per_day = models.PositiveBigIntegerField()
    rate_per_minute = models.PositiveIntegerField()
    reserved = models.PositiveBigIntegerField(default=0)
    committed = models.PositiveBigIntegerField(default=0)

    objects = MeterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(limit__gte=F("reserved") + F("committed")), name="meter_never_beyond_limit"
            ),
        ]

    def __str__(self) -> str:
        return f"meter of {self.contract_id}: {self.committed}+{self.reserved}/{self.limit}"

    @property
    def left(self) -> int:
        return self.limit - self.reserved - self.committed


class MeterDay(models.Model):
    """What of the daily quota is taken (reserved or used) on one day, in the exchange's time zone."""

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="days")
    day = models.DateField()
    limit = models.PositiveBigIntegerField()
    used = models.PositiveBigIntegerField(default=0)

    objects = MeterDayQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["meter", "day"], name="meter_day_once"),
            models.CheckConstraint(condition=Q(limit__gte=F("used")), name="meter_day_never_beyond_limit"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.used}/{self.limit}"


class Reservation(models.Model):
    """Quota and money set aside for one subject (a computation's URN), resolved at most once."""

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="reservations")
    subject = models.CharField(max_length=128, unique=True)
    units = models.PositiveIntegerField()
    held_fen = models.BigIntegerField()
    state = models.CharField(max_length=16, default=ReservationState.PENDING.value)
    day = models.DateField()
    created = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=64, blank=True, default="")

    objects = ReservationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(units__gte=1, held_fen__gte=0), name="reservation_holds_something"),
            models.CheckConstraint(condition=Q(state__in=_values(ReservationState)), name="reservation_state_known"),
            models.CheckConstraint(
                condition=Q(state="pending", resolved_at__isnull=True)
                | (~Q(state="pending") & Q(resolved_at__isnull=False)),
                name="reservation_resolved_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "expires_at"], name="reservation_due"),
            models.Index(fields=["meter", "created"], name="reservation_rate"),
        ]

    def __str__(self) -> str:
        return f"reservation {self.pk} {self.state}"


class Lease(models.Model):
    """Units that stand in the chain's total before they are used: one for a costly run, many for quick calls.

    `total` is the absolute total that includes them. What was served is written before it is used, so the
    chain's total is never behind the real use, whoever dies in between.
    """

    reservation = models.OneToOneField(Reservation, on_delete=models.PROTECT, related_name="lease")
    total = models.PositiveBigIntegerField()
    units = models.PositiveIntegerField()
    serves_calls = models.BooleanField(default=False)
    served = models.PositiveIntegerField(default=0)
    asked = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(units__gte=1, total__gte=F("units")), name="lease_in_its_total"),
            models.CheckConstraint(condition=Q(served__lte=F("units")), name="lease_serves_no_more"),
            models.CheckConstraint(
                condition=Q(served=0) | Q(confirmed_at__isnull=False), name="lease_serves_once_confirmed"
            ),
        ]

    def __str__(self) -> str:
        return f"lease of {self.units} up to {self.total}"


class UsageRecord(models.Model):
    """One counted run: the only ground of a charge. Append-only."""

    reservation = models.OneToOneField(Reservation, on_delete=models.PROTECT, related_name="usage")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="usage")
    subject = models.CharField(max_length=128, unique=True)
    units = models.PositiveIntegerField()
    unit_price_fen = models.BigIntegerField()
    amount_fen = models.BigIntegerField()
    report_digests = models.JSONField()
    counted_at = models.DateTimeField()
    period = models.CharField(max_length=7)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(units__gte=1, amount_fen=F("units") * F("unit_price_fen")), name="usage_amount_follows"
            ),
        ]
        indexes = [models.Index(fields=["contract", "period"], name="usage_of_period")]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"usage {self.pk}: {self.units}"


class Account(models.Model):
    """One pot of money. Every kind but `bank` is rule-bound: never below zero."""

    kind = models.CharField(max_length=16)
    organization = models.ForeignKey("members.Organization", on_delete=models.PROTECT, null=True, related_name="+")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, null=True, related_name="accounts")
    currency = models.CharField(max_length=3, default="CNY")
    balance_fen = models.BigIntegerField(default=0)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "organization", "contract", "currency"], nulls_distinct=False, name="account_once"
            ),
            models.CheckConstraint(condition=Q(kind__in=_values(AccountKind)), name="account_kind_known"),
            models.CheckConstraint(condition=Q(kind="bank") | Q(balance_fen__gte=0), name="account_never_negative"),
            models.CheckConstraint(
                condition=Q(kind__in=["bank", "fees"], organization__isnull=True, contract__isnull=True)
                | Q(kind__in=["escrow", "held"], organization__isnull=True, contract__isnull=False)
                | Q(kind="payable", organization__isnull=False, contract__isnull=True),
                name="account_has_its_holder",
            ),
        ]
        triggers = triggers.balance_only_by_postings()

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Transfer(models.Model):
    """One movement of money, under a key that makes it happen once. Append-only."""

    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=16)
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="transfers")
    subject = models.CharField(max_length=128)
    legs = models.PositiveSmallIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(legs__gte=2), name="transfer_has_two_legs"),
            models.CheckConstraint(condition=Q(kind__in=_values(TransferKind)), name="transfer_kind_known"),
        ]
        indexes = [models.Index(fields=["subject"], name="transfer_subject")]
        triggers = triggers.append_only() + triggers.has_its_legs()

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Posting(models.Model):
    """One leg of a transfer. The database adds it to its account and checks the transfer's sum at commit."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="postings")
    amount_fen = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["transfer", "account"], name="posting_once"),
            models.CheckConstraint(condition=~Q(amount_fen=0), name="posting_moves_something"),
        ]
        triggers = triggers.append_only() + triggers.adds_up_to_zero() + triggers.moves_the_balance()

    def __str__(self) -> str:
        return f"posting {self.amount_fen}"


class Settlement(models.Model):
    """The issued statement of a contract for one period, signed by the exchange. Append-only."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="settlements")
    period = models.CharField(max_length=7)
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    issued_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["period"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "period"], name="settlement_once"),
            models.CheckConstraint(condition=Q(digest__regex=_HEX64), name="settlement_digest"),
        ]
        triggers = triggers.append_only()

    def __str__(self) -> str:
        return f"statement {self.period} of {self.contract_id}"


class ContractSerial(models.Model):
    """The last serial number of contracts given out in a month; locked while the next one is taken."""

    year_month = models.CharField(max_length=6, primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year_month}: {self.last}"
