"""Money as whole fen: rounding half to even, and shares that add up to the whole. Pure; never a float."""

from collections.abc import Mapping, Sequence

from exchange.kernel.errors import InvalidInput

CURRENCY = "CNY"
BASIS_POINTS = 10_000
MAX_FEN = 10**15  # ten trillion yuan: far beyond any contract, far below the database's bigint


class AmountInvalid(InvalidInput):
    """Not an amount that can be posted."""

    code = "AMOUNT_INVALID"


def check_amount(amount_fen: int) -> None:
    """Raise AmountInvalid unless the amount is a whole, positive number of fen within bounds."""
    if isinstance(amount_fen, bool) or not isinstance(amount_fen, int) or not 0 < amount_fen <= MAX_FEN:
        raise AmountInvalid(f"An amount is a whole number of fen from 1 to {MAX_FEN}; state it in fen.")


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient rounded to a whole number; a tie goes to the even neighbour.

    Args:
        denominator: at least 1.
    """
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient


def split(amount_fen: int, lines: Sequence[tuple[str, int]], *, remainder_to: str) -> dict[str, int]:
    """Share an amount by basis points, to the fen.

    Every account but `remainder_to` gets its basis points rounded half to even, in the order of the
    lines and never more than is left; `remainder_to` gets what is left. So the shares add up to the
    amount and none is negative, whatever the basis points.

    Args:
        amount_fen: at least 0.
        lines: (account, basis points), each account once, adding up to 10,000.
        remainder_to: one of the accounts.
    """
    accounts = [account for account, _ in lines]
    if sum(points for _, points in lines) != BASIS_POINTS or any(points < 0 for _, points in lines):
        raise AmountInvalid(f"The shares must add up to {BASIS_POINTS} basis points; correct the split.")
    if len(set(accounts)) != len(accounts) or remainder_to not in accounts:
        raise AmountInvalid("Each account stands in the split once, the remainder's too; correct the split.")
    if amount_fen < 0:
        raise AmountInvalid("An amount to be shared is not negative.")
    left, shares = amount_fen, dict.fromkeys(accounts, 0)
    for account, points in lines:
        if account != remainder_to:
            shares[account] = min(divide_half_even(amount_fen * points, BASIS_POINTS), left)
            left -= shares[account]
    shares[remainder_to] = left
    return shares


def tax_included(total_fen: int, *, rate_basis_points: int) -> tuple[int, int]:
    """Net and tax inside a total that includes tax; net is rounded once, half to even.

    Example: 50,000 fen at 6 % are 47,170 net and 2,830 tax.
    """
    net = divide_half_even(total_fen * BASIS_POINTS, BASIS_POINTS + rate_basis_points)
    return net, total_fen - net


def yuan(amount_fen: int) -> str:
    """Write fen as yuan with two places: 50000 becomes `500.00`."""
    sign, whole = ("-", -amount_fen) if amount_fen < 0 else ("", amount_fen)
    return f"{sign}{whole // 100}.{whole % 100:02d}"


def add_up(shares: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Add shares account by account, accounts in the order in which they first appear."""
    totals: dict[str, int] = {}
    for share in shares:
        for account, amount_fen in share.items():
            totals[account] = totals.get(account, 0) + amount_fen
    return totals
