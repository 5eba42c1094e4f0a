"""What follows by itself: funded, effective, exhausted, expired, closed. One repeat-safe pass over the rows."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from compute.protocol import shapes
from contracts import postings, signals
from contracts.actions import grants, moves, settlements, transfers
from contracts.models import Account, Contract, Meter, Reservation
from contracts.postings import AccountKind, TransferKind
from contracts.states import ENDED, ContractState
from exchange.kernel.errors import InvalidInput
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger.kinds import EntryKind

_S = ContractState
_LIVING = frozenset({_S.SIGNING, _S.SIGNED, _S.FUNDED, _S.EFFECTIVE, _S.SUSPENDED}) | ENDED
_ENTRIES = {
    _S.EFFECTIVE: EntryKind.CONTRACT_ACTIVATED,
    _S.EXHAUSTED: EntryKind.CONTRACT_EXHAUSTED,
    _S.EXPIRED: EntryKind.CONTRACT_EXPIRED,
    _S.CLOSED: EntryKind.CONTRACT_CLOSED,
}


def advance(*, now: datetime | None = None) -> int:
    """Move every contract on as far as it goes; returns how many moved.

    Idempotent: each contract in a transaction of its own; those another worker holds are left to it.
    """
    now = now or timezone.now()
    moved = 0
    for pk in Contract.objects.in_states(_LIVING).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            contract = Contract.objects.locked_if_free().select_related("buyer").filter(pk=pk).first()
            if contract is not None:
                moved += advance_locked(contract, now=now)
                settlements.issue_due(contract=contract, now=now)
    return moved


def advance_locked(contract: Contract, *, now: datetime) -> bool:
    """Move a locked contract on, step by step, until it waits for somebody; True when it moved."""
    start = contract.state
    while (to := _next(contract, now=now)) is not None:
        moves.move(contract, to, now=now)
        if to == _S.CLOSED:
            _settle(contract, now=now)
        if to in _ENTRIES:
            moves.note(contract, _ENTRIES[to], key=f"{_ENTRIES[to]}:{contract.ref}")
        if to == _S.EFFECTIVE:
            signals.contract_activated.send(sender=Contract, contract=contract, now=now)
    return contract.state != start


@transaction.atomic
def withdraw(*, contract: Contract, by: Membership) -> Contract:
    """Take a proposal back before everybody has signed; the buyer does."""
    check_permission(by, Permission.CONTRACT_PROPOSE)
    locked = moves.lock(contract)
    if locked.buyer_id != by.organization_id:
        raise InvalidInput("Only the buyer takes its proposal back.")
    if locked.state != _S.WITHDRAWN:
        moves.move(locked, _S.WITHDRAWN, now=timezone.now())
        moves.note(locked, EntryKind.CONTRACT_WITHDRAWN, issuer=by.organization.urn)
    return locked


@transaction.atomic
def suspend(*, contract: Contract, by: Membership, reason: str) -> Contract:
    """Stop new runs while staff look into a case; the parties read the reason."""
    return _decide(contract, _S.SUSPENDED, EntryKind.CONTRACT_SUSPENDED, by=by, reason=reason)


@transaction.atomic
def resume(*, contract: Contract, by: Membership, reason: str) -> Contract:
    """Let a suspended contract be used again."""
    return _decide(contract, _S.EFFECTIVE, EntryKind.CONTRACT_RESUMED, by=by, reason=reason)


@transaction.atomic
def terminate(*, contract: Contract, by: Membership, reason: str) -> Contract:
    """End a contract early after mediation; the rest of the escrow returns to the buyer."""
    locked = _decide(contract, _S.TERMINATED, EntryKind.CONTRACT_TERMINATED, by=by, reason=reason)
    advance_locked(locked, now=timezone.now())
    return locked


def _decide(contract: Contract, to: ContractState, kind: EntryKind, *, by: Membership, reason: str) -> Contract:
    check_permission(by, Permission.DISPUTE_MEDIATE)
    reason = reason.strip()
    if not 0 < len(reason) <= 400:
        raise InvalidInput("Write the reason, in at most 400 characters; the parties read it.")
    locked = moves.lock(contract)
    moves.move(locked, to, now=timezone.now(), reason=reason)
    moves.note(locked, kind, payload={"decided_by": by.user.ref, "reason": reason})
    return locked


def _next(contract: Contract, *, now: datetime) -> ContractState | None:
    """The state a contract goes to by itself now, or None."""
    state, terms = _S(contract.state), contract.terms
    if state in ENDED:  # the escrow stays while the buyer may still object to the last result
        closes = contract.state_since + timedelta(days=terms["delivery"]["inspection_days"])
        return _S.CLOSED if now >= closes and not _has_open_runs(contract) else None
    if state in _LIVING and now >= shapes.parse_time(terms["term"]["effective_to"]):
        return _S.EXPIRED
    if state == _S.SIGNED and _escrow(contract) >= terms["money"]["escrow_minimum_fen"]:
        return _S.FUNDED
    if state == _S.FUNDED and now >= shapes.parse_time(terms["term"]["effective_from"]):
        return _S.EFFECTIVE if _grants_stand(contract) else None
    if state == _S.EFFECTIVE:
        _grants_stand(contract)
        meter = Meter.objects.get(contract=contract)
        return _S.EXHAUSTED if meter.committed >= meter.limit else None
    return None


def _grants_stand(contract: Contract) -> bool:
    return contract.terms["evidence"]["chain"] == "none" or grants.follow_chain(contract)


def _has_open_runs(contract: Contract) -> bool:
    return Reservation.objects.pending().filter(meter__contract=contract).exists()


def _escrow(contract: Contract) -> int:
    return Account.objects.balance_of(contract, AccountKind.ESCROW)


def _settle(contract: Contract, *, now: datetime) -> None:
    """Issue the last statements and owe the rest of the escrow to the buyer."""
    settlements.issue_due(contract=contract, now=now, closing=True)
    rest_fen = _escrow(contract)
    if rest_fen:
        transfers.post(
            key=f"return:{contract.ref}",
            kind=TransferKind.RETURN,
            contract=contract,
            subject=contract.urn,
            legs=postings.return_escrow(rest_fen, buyer=contract.buyer.urn),
        )
        moves.note(
            contract,
            EntryKind.ESCROW_RETURNED,
            payload={"amount_fen": rest_fen},
            key=f"escrow.returned:{contract.ref}",
        )
