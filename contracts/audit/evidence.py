"""What the rows of contracts, meters and money owe the log."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum

from contracts.models import (
    Contract,
    ContractParty,
    Grant,
    Reservation,
    Revocation,
    Settlement,
    Signature,
    Transfer,
    UsageRecord,
)
from contracts.postings import AccountKind, TransferKind
from contracts.states import CONTRACT, ContractState, ReservationState
from ledger.audits.counterparts import (
    Counterpart,
    Owed,
    Standing,
    Stands,
    Untabled,
    agreed_digest,
    in_order,
    table_of,
    text,
    urn,
)
from ledger.kinds import EntryKind
from ledger.proofs import canonical

_E = EntryKind
_S = ContractState


def _contracts() -> Iterator[Owed]:
    for row in in_order(Contract.objects.all(), text("contract.proposed:", F("ref"))):
        facts = {"number": row.number, "terms_digest": agreed_digest(row.terms_digest, row.terms)}
        yield Owed(row.token, row.urn, row.ref, facts)


def _signatures() -> Iterator[Owed]:
    rows = Signature.objects.select_related("contract", "organization")
    for row in in_order(rows, text("contract.signed:", F("contract__ref"), ":", F("organization__ref"))):
        facts = {
            "organization": row.organization.urn,
            "document_key": row.document_key,
            "proof_digest": canonical.digest(row.proof),
        }
        yield Owed(row.token, row.contract.urn, f"{row.contract.ref} {row.organization.ref}", facts)


def _agreed() -> Iterator[Owed]:
    """A contract is agreed when every party has signed it."""
    parties = _counted(ContractParty.objects.all())
    rows = Contract.objects.annotate(signed=_counted(Signature.objects.all()), parties_count=parties)
    for row in in_order(rows.filter(signed=F("parties_count")), text("contract.agreed:", F("ref"))):
        yield Owed(row.token, row.urn, row.ref, {"terms_digest": row.terms_digest})


def _counted(rows: QuerySet[Any]) -> Subquery:
    of_one = rows.filter(contract=OuterRef("pk")).order_by().values("contract").annotate(n=Count("pk"))
    return Subquery(of_one.values("n"), output_field=IntegerField())


def _grants() -> Iterator[Owed]:
    rows = Grant.objects.select_related("contract", "organization")
    for row in in_order(rows, text("contract.granted:", F("grant_id"))):
        facts = {
            "organization": row.organization.urn,
            "grant_id": row.grant_id,
            "cap": row.document.get("cap"),
            "terms_digest": row.document.get("terms_digest"),
        }
        yield Owed(row.token, row.contract.urn, row.grant_id, facts)


def _revocations() -> Iterator[Owed]:
    rows = Revocation.objects.select_related("contract", "organization")
    for row in in_order(rows, text("contract.revoked:", F("digest"))):
        facts = {
            "organization": row.organization.urn,
            "revocation_digest": agreed_digest(row.digest, row.document),
            "sequence": row.sequence,
        }
        yield Owed(row.token, row.contract.urn, row.digest, facts)


def _reservations() -> Iterator[Owed]:
    rows = Reservation.objects.select_related("meter__contract")
    for row in in_order(rows, text("quota.reserved:", F("subject"))):
        facts = {"contract": row.meter.contract.urn, "units": row.units, "held_fen": row.held_fen}
        yield Owed(row.token, row.subject, str(row.pk), facts)


def _released_reservations() -> Iterator[Owed]:
    ended = [ReservationState.RELEASED.value, ReservationState.EXPIRED.value]
    rows = Reservation.objects.filter(state__in=ended).select_related("meter__contract")
    for row in in_order(rows, text("quota.released:", F("subject"))):
        facts = {"contract": row.meter.contract.urn, "units": row.units, "reason": row.reason}
        yield Owed(row.token, row.subject, str(row.pk), facts)


def _committed() -> Iterator[Owed]:
    for row in in_order(UsageRecord.objects.select_related("contract"), text("quota.committed:", F("subject"))):
        facts = {"contract": row.contract.urn, "units": row.units, "reports": row.report_digests}
        yield Owed(row.token, row.subject, str(row.pk), facts)


def _charged() -> Iterator[Owed]:
    for row in in_order(UsageRecord.objects.select_related("contract"), text("settlement.charged:", F("subject"))):
        facts = {
            "contract": row.contract.urn,
            "units": row.units,
            "unit_price_fen": row.unit_price_fen,
            "amount_fen": row.amount_fen,
            "reports": row.report_digests,
        }
        yield Owed(row.token, row.subject, str(row.pk), facts)


def _deposits() -> Iterator[Owed]:
    rows = _money(TransferKind.DEPOSIT, AccountKind.ESCROW)
    for row in in_order(rows, text("escrow.deposited:", F("pk"))):
        # A bank line is booked under its own reference.
        facts = {"amount_fen": row.moved, "reference": row.key.removeprefix("deposit:")}
        yield Owed(row.token, row.contract.urn, str(row.pk), facts)


def _returns() -> Iterator[Owed]:
    rows = _money(TransferKind.RETURN, AccountKind.PAYABLE)
    for row in in_order(rows, text("escrow.returned:", F("contract__ref"))):
        yield Owed(row.token, row.contract.urn, str(row.pk), {"amount_fen": row.moved})


def _money(kind: TransferKind, to: AccountKind) -> QuerySet[Transfer]:
    moved = Sum("postings__amount_fen", filter=Q(postings__account__kind=to.value))
    return Transfer.objects.filter(kind=kind.value).select_related("contract").annotate(moved=moved)


def _settlements() -> Iterator[Owed]:
    rows = Settlement.objects.select_related("contract")
    for row in in_order(rows, text("settlement.issued:", F("contract__ref"), ":", F("period"))):
        facts = {"period": row.period, "statement_digest": agreed_digest(row.digest, row.document)}
        yield Owed(row.token, row.contract.urn, f"{row.contract.ref} {row.period}", facts)


def _states() -> Iterator[Stands]:
    for row in in_order(Contract.objects.all(), urn("contract", "ref")):
        yield Stands(row.token, row.state, row.ref)


COUNTERPARTS = (
    Counterpart(table_of(Contract), (_E.CONTRACT_PROPOSED,), _contracts),
    Counterpart(table_of(Signature), (_E.CONTRACT_SIGNED,), _signatures),
    Counterpart(table_of(Contract), (_E.CONTRACT_AGREED,), _agreed),
    Counterpart(table_of(Grant), (_E.CONTRACT_GRANTED,), _grants),
    Counterpart(table_of(Revocation), (_E.CONTRACT_REVOKED,), _revocations),
    Counterpart(table_of(Reservation), (_E.QUOTA_RESERVED,), _reservations),
    Counterpart(table_of(Reservation), (_E.QUOTA_RELEASED,), _released_reservations),
    Counterpart(table_of(UsageRecord), (_E.QUOTA_COMMITTED,), _committed),
    Counterpart(table_of(UsageRecord), (_E.SETTLEMENT_CHARGED,), _charged),
    Counterpart(table_of(Transfer), (_E.ESCROW_DEPOSITED,), _deposits),
    Counterpart(table_of(Transfer), (_E.ESCROW_RETURNED,), _returns),
    Counterpart(table_of(Settlement), (_E.SETTLEMENT_ISSUED,), _settlements),
    Standing(
        table=table_of(Contract),
        states={
            _E.CONTRACT_PROPOSED: _S.PROPOSED,
            _E.CONTRACT_AGREED: _S.SIGNED,
            _E.CONTRACT_ACTIVATED: _S.EFFECTIVE,
            _E.CONTRACT_RESUMED: _S.EFFECTIVE,
            _E.CONTRACT_SUSPENDED: _S.SUSPENDED,
            _E.CONTRACT_EXHAUSTED: _S.EXHAUSTED,
            _E.CONTRACT_EXPIRED: _S.EXPIRED,
            _E.CONTRACT_TERMINATED: _S.TERMINATED,
            _E.CONTRACT_REVOKED: _S.REVOKED,
            _E.CONTRACT_WITHDRAWN: _S.WITHDRAWN,
            _E.CONTRACT_CLOSED: _S.CLOSED,
        },
        rows=_states,
        transitions=CONTRACT,
        start=frozenset({_S.PROPOSED}),
        repeats=frozenset({_E.CONTRACT_REVOKED}),  # each provider may revoke
    ),
    Untabled(
        kinds=(_E.DISPUTE_OPENED, _E.DISPUTE_CLOSED),
        reason="the entry is the record: a dispute has no row of its own",
    ),
)
