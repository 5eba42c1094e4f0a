"""Deposits: a settlement clerk confirms that a line of the bank's statement paid for a contract."""

from django.db import transaction
from django.utils import timezone

from contracts import postings
from contracts.actions import lifecycle, moves, transfers
from contracts.errors import BankLineUsed, NotFundable
from contracts.models import Contract, Transfer
from contracts.money import check_amount
from contracts.postings import AccountKind, TransferKind
from contracts.states import FUNDABLE, ContractState
from exchange.kernel.errors import InvalidInput
from exchange.members.models import Membership
from exchange.members.permissions import Permission, check_permission
from ledger.kinds import EntryKind

MAX_REFERENCE = 100


@transaction.atomic
def confirm(*, contract: Contract, amount_fen: int, reference: str, by: Membership) -> Transfer:
    """Book a bank line as escrow of a contract.

    Args:
        reference: the bank's own reference of the line; each is booked once.
    Raises:
        AmountInvalid, InvalidInput: not a whole positive amount, or no reference.
        BankLineUsed: this line was booked before, otherwise.
        NotFundable: the contract takes no deposit now.
    Idempotent: the same line for the same contract and amount returns the first booking.
    """
    check_permission(by, Permission.MONEY_CONFIRM)
    check_amount(amount_fen)
    reference = reference.strip()
    if not 0 < len(reference) <= MAX_REFERENCE or not reference.isprintable():
        raise InvalidInput(f"The bank line's reference has 1 to {MAX_REFERENCE} characters; copy it as it is.")
    locked = moves.lock(contract)
    key = f"deposit:{reference}"
    first = Transfer.objects.filter(key=key).first()
    if first is not None:
        return _same(first, locked, amount_fen)
    if ContractState(locked.state) not in FUNDABLE:
        raise NotFundable(f"The contract is {locked.state}; it takes a deposit once it is signed and until it ends.")
    transfer = transfers.post(
        key=key,
        kind=TransferKind.DEPOSIT,
        contract=locked,
        subject=locked.urn,
        legs=postings.deposit(amount_fen),
    )
    moves.note(
        locked,
        EntryKind.ESCROW_DEPOSITED,
        payload={"amount_fen": amount_fen, "reference": reference, "confirmed_by": by.user.ref},
        key=f"escrow.deposited:{transfer.pk}",
    )
    lifecycle.advance_locked(locked, now=timezone.now())
    return transfer


def _same(first: Transfer, contract: Contract, amount_fen: int) -> Transfer:
    booked = first.postings.get(account__kind=AccountKind.ESCROW.value)
    if first.contract_id != contract.pk or booked.amount_fen != amount_fen:
        raise BankLineUsed("This bank line was booked before, for another contract or amount; check the statement.")
    return first
