"""Double entry: the legs of every kind of transfer, each transfer adding up to zero. Pure.

Sign convention: a leg adds to its account's balance. `bank` stands for the client money at the bank and
is the mirror of all others, so it is negative by what the exchange holds for its members; every other
account is rule-bound and never below zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.money import check_amount


class AccountKind(StrEnum):
    """What the money of an account is."""

    BANK = "bank"  # client money at the bank, seen from the exchange's books: minus what is held here
    ESCROW = "escrow"  # the buyer's prepaid money of one contract, free to be held
    HELD = "held"  # set aside for runs that are under way in one contract
    PAYABLE = "payable"  # owed to an organisation: earnings of a provider, returned escrow of a buyer
    FEES = "fees"  # the exchange's own income


class TransferKind(StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    HOLD = "hold"
    CHARGE = "charge"
    RELEASE = "release"
    RETURN = "return"


EXCHANGE = "exchange"  # the account word of the terms' split that means the exchange


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a transfer. `holder` is an organisation's URN for payable accounts, else empty."""

    kind: AccountKind
    amount_fen: int
    holder: str = ""


Legs = tuple[Leg, ...]


def deposit(amount_fen: int) -> Legs:
    """Money of the buyer has arrived at the bank for one contract."""
    return _move(AccountKind.BANK, AccountKind.ESCROW, amount_fen)


def hold(amount_fen: int) -> Legs:
    """Set the price of a run aside before it starts."""
    return _move(AccountKind.ESCROW, AccountKind.HELD, amount_fen)


def release(amount_fen: int) -> Legs:
    """Give a held price back to the escrow: the run came to nothing."""
    return _move(AccountKind.HELD, AccountKind.ESCROW, amount_fen)


def charge(held_fen: int, shares: Mapping[str, int]) -> Legs:
    """Pay the shares out of the held money; what was held beyond them goes back to the escrow.

    Args:
        shares: fen by account of the terms' split: `exchange` or an organisation's URN.
    """
    check_amount(held_fen)
    legs = [Leg(AccountKind.HELD, -held_fen)]
    for account, amount_fen in shares.items():
        if amount_fen:
            kind = AccountKind.FEES if account == EXCHANGE else AccountKind.PAYABLE
            legs.append(Leg(kind, amount_fen, "" if account == EXCHANGE else account))
    rest_fen = held_fen - sum(shares.values())
    if rest_fen:
        legs.append(Leg(AccountKind.ESCROW, rest_fen))
    return _balanced(tuple(legs))


def return_escrow(amount_fen: int, *, buyer: str) -> Legs:
    """Owe the rest of a closed contract's escrow to its buyer."""
    check_amount(amount_fen)
    return _balanced((Leg(AccountKind.ESCROW, -amount_fen), Leg(AccountKind.PAYABLE, amount_fen, buyer)))


def _move(source: AccountKind, target: AccountKind, amount_fen: int) -> Legs:
    check_amount(amount_fen)
    return _balanced((Leg(source, -amount_fen), Leg(target, amount_fen)))


def _balanced(legs: Legs) -> Legs:
    if sum(leg.amount_fen for leg in legs) != 0 or any(
        leg.amount_fen < 0 for leg in legs if leg.kind in (AccountKind.PAYABLE, AccountKind.FEES)
    ):
        raise ArithmeticError("a transfer must add up to zero and take from no payee")
    return legs
