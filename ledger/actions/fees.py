"""What a transaction may cost: the price of the day, raised when it is stuck, and never above the cap.

The cap is a limit on the price of gas; gas itself is limited by every call. So no run of bad luck, and no
endpoint that lies about prices, can empty an account with one transaction.
"""

from django.conf import settings

from ledger.backends.base import LedgerBackend

# geth wants at least 10 % more for the same nonce, other nodes 12.5 %; rounding must not fall below.
FEE_STEP_PERCENT = 113
_GWEI = 10**9


def cap() -> int:
    """The highest gas price ever offered, in wei."""
    return int(settings.CHAIN_MAX_GAS_PRICE_GWEI) * _GWEI


def first(chain: LedgerBackend) -> int:
    """The gas price of a new transaction in wei: the chain's, or the cap where the chain asks for more."""
    return min(chain.gas_price(), cap())


def raised(chain: LedgerBackend, before: int) -> int | None:
    """The gas price that replaces a stuck transaction at its nonce; None when the cap leaves no room for it."""
    least = before * FEE_STEP_PERCENT // 100 + 1
    if before == 0 and chain.gas_price() == 0:
        return None  # a chain without fees has nothing to raise
    if least > cap():
        return None
    return min(max(chain.gas_price(), least), cap())


def is_at_cap(price: int) -> bool:
    """Whether a price cannot be raised any more: only people, or a quieter chain, can help then."""
    return price * FEE_STEP_PERCENT // 100 + 1 > cap()
