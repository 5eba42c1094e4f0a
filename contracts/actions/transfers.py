"""Moving money: one transfer for each key, its legs adding up to zero, no rule-bound account below it."""

from django.db import transaction

from contracts.errors import AccountWouldGoNegative, MoneyWrong
from contracts.models import Account, Contract, Posting, Transfer
from contracts.postings import AccountKind, Leg, Legs, TransferKind
from exchange.kernel import identifiers
from exchange.members.models import Organization

_OF_CONTRACT = (AccountKind.ESCROW, AccountKind.HELD)


@transaction.atomic
def post(*, key: str, kind: TransferKind, contract: Contract, subject: str, legs: Legs) -> Transfer:
    """Write a transfer and its legs; the database moves the balances and checks the sum at commit.

    Raises:
        AccountWouldGoNegative: a rule-bound account holds less than is taken from it.
        MoneyWrong: the key names a transfer of another kind or contract.
    Idempotent: one transfer per key; asking again returns it and moves nothing.
    """
    transfer, created = Transfer.objects.get_or_create(
        key=key,
        defaults={"kind": kind.value, "contract": contract, "subject": subject, "legs": len(legs)},
    )
    if not created:
        if transfer.kind != kind.value or transfer.contract_id != contract.pk:
            raise MoneyWrong("This key already moved other money; stop and find out why.")
        return transfer
    amounts = {_account(leg, contract): leg.amount_fen for leg in legs}
    for account in Account.objects.locked().filter(pk__in=amounts):
        if account.kind != AccountKind.BANK and account.balance_fen + amounts[account.pk] < 0:
            raise AccountWouldGoNegative(f"The {account.kind} account holds too little for this transfer.")
    Posting.objects.bulk_create(
        [Posting(transfer=transfer, account_id=pk, amount_fen=amounts[pk]) for pk in sorted(amounts)]
    )
    return transfer


def _account(leg: Leg, contract: Contract) -> int:
    account, _ = Account.objects.get_or_create(
        kind=leg.kind.value,
        contract=contract if leg.kind in _OF_CONTRACT else None,
        organization=_organization(leg.holder) if leg.holder else None,
    )
    return account.pk


def _organization(urn: str) -> Organization:
    return Organization.objects.get(ref=identifiers.parse_urn(urn, kind="org"))
