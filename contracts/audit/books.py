"""Questions put to the books as a whole: sums, balances, meters, and one charge for each counted run."""

from collections.abc import Iterator

from django.db.models import F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from contracts.models import Account, Meter, Posting, Transfer, UsageRecord
from contracts.postings import AccountKind, TransferKind
from contracts.states import ReservationState
from ledger.kinds import EntryKind
from ledger.models import Entry


def findings() -> Iterator[str]:
    """What is wrong, as sentences that name rows; nothing when all is well."""
    total = Posting.objects.aggregate(sum=Coalesce(Sum("amount_fen"), 0))["sum"]
    if total:
        yield f"All postings together add up to {total} fen instead of 0."
    unbalanced = Posting.objects.values("transfer").annotate(sum=Sum("amount_fen")).exclude(sum=0)
    for row in unbalanced.order_by("transfer"):
        yield f"Transfer {row['transfer']} adds up to {row['sum']} fen instead of 0."
    yield from _balances()
    yield from _charges()
    yield from _meters()


def _balances() -> Iterator[str]:
    posted = Posting.objects.filter(account=OuterRef("pk")).values("account").annotate(sum=Sum("amount_fen"))
    accounts = Account.objects.annotate(posted=Coalesce(Subquery(posted.values("sum")), Value(0)))
    for account in accounts.exclude(balance_fen=F("posted")).order_by("pk"):
        yield f"Account {account.pk} shows a balance of {account.balance_fen} fen; its postings say otherwise."
    for account in accounts.filter(balance_fen__lt=0).exclude(kind=AccountKind.BANK.value).order_by("pk"):
        yield f"Account {account.pk} has a balance below zero."


def _charges() -> Iterator[str]:
    """Every counted run has one charge of its amount and one entry; every charge has a counted run."""
    charges = Transfer.objects.filter(kind=TransferKind.CHARGE.value)
    paid = (
        Posting.objects.filter(transfer__kind=TransferKind.CHARGE.value, transfer__subject=OuterRef("subject"))
        .filter(Q(account__kind=AccountKind.PAYABLE.value) | Q(account__kind=AccountKind.FEES.value))
        .values("transfer__subject")
        .annotate(sum=Sum("amount_fen"))
    )
    runs = UsageRecord.objects.annotate(paid=Coalesce(Subquery(paid.values("sum")), Value(0)))
    for run in runs.exclude(amount_fen=F("paid")).order_by("pk"):
        yield f"Run {run.pk} cost {run.amount_fen} fen; its charge paid something else."
    counted = UsageRecord.objects.filter(subject=OuterRef("subject"))
    for charge in charges.exclude(subject__in=UsageRecord.objects.values("subject")).order_by("pk"):
        yield f"There is a charge, transfer {charge.pk}, without a counted run."
    logged = Entry.objects.filter(kind=EntryKind.SETTLEMENT_CHARGED)
    unlogged = UsageRecord.objects.exclude(subject__in=logged.values("subject"))
    for pk in unlogged.order_by("pk").values_list("pk", flat=True):
        yield f"Run {pk} has a charge that no entry shows."
    for entry in logged.annotate(run=Subquery(counted.values("pk")[:1])).filter(run__isnull=True).order_by("pk"):
        yield f"Entry {entry.ref} shows a charge that was never counted."


def _meters() -> Iterator[str]:
    used = UsageRecord.objects.filter(contract=OuterRef("contract")).values("contract").annotate(sum=Sum("units"))
    pending = (
        Meter.objects.filter(pk=OuterRef("pk"), reservations__state=ReservationState.PENDING.value)
        .values("pk")
        .annotate(sum=Sum("reservations__units"))
    )
    meters = Meter.objects.annotate(
        used=Coalesce(Subquery(used.values("sum")), Value(0)),
        pending=Coalesce(Subquery(pending.values("sum")), Value(0)),
    )
    wrong = meters.exclude(committed=F("used"), reserved=F("pending"))
    for meter in wrong.order_by("pk"):
        yield f"The meter of contract {meter.contract_id} differs from its counted runs and open reservations."
