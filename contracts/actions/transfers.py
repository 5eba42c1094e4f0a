"""Moving money: one transfer for each key, its legs adding up to zero, no rule-bound account below it."""

from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import Q

from contracts.errors import AccountWouldGoNegative, MoneyWrong
from contracts.models import Account, Contract, Posting, Transfer
from contracts.postings import AccountKind, Legs, TransferKind
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
    amounts = _accounts(legs, contract)
    for account in Account.objects.locked().filter(pk__in=amounts):
        if account.kind != AccountKind.BANK and account.balance_fen + amounts[account.pk] < 0:
            raise AccountWouldGoNegative(f"The {account.kind} account holds too little for this transfer.")
    Posting.objects.bulk_create(
        [Posting(transfer=transfer, account_id=pk, amount_fen=amounts[pk]) for pk in sorted(amounts)]
    )
    return transfer


def _accounts(legs: Legs, contract: Contract) -> dict[int, int]:
    """The amount of each account by its primary key: one question for all accounts, one for all holders.

    Holders are looked up first, so that every arm of the question can use the accounts' own index.
    """
    refs = [identifiers.parse_urn(leg.holder, kind="org") for leg in legs if leg.holder]
    holders = {one.urn: one.pk for one in Organization.objects.filter(ref__in=refs)} if refs else {}
    wanted: dict[tuple[str, int | None, int | None], int] = {}
    for leg in legs:
        of = contract.pk if leg.kind in _OF_CONTRACT else None
        wanted[leg.kind.value, holders[leg.holder] if leg.holder else None, of] = leg.amount_fen
    arms = [Q(kind=kind, organization=holder, contract=of) for kind, holder, of in wanted]
    rows = Account.objects.filter(reduce(or_, arms)).values_list("kind", "organization_id", "contract_id", "pk")
    found: dict[tuple[str, int | None, int | None], int] = {(kind, holder, of): pk for kind, holder, of, pk in rows}
    return {found.get(key) or _made(*key): amount_fen for key, amount_fen in wanted.items()}


def _made(kind: str, holder: int | None, of: int | None) -> int:
    """A new account, unless somebody made it in the meantime."""
    account, _ = Account.objects.get_or_create(kind=kind, organization_id=holder, contract_id=of)  # type: ignore[misc]
    return account.pk
