"""Money under any basis points: shares add up, nobody pays for being paid, statements can be recomputed."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from contracts import money, postings
from contracts.money import BASIS_POINTS


@st.composite
def splits(draw):
    """Any split of 10,000 basis points over 1 to 8 accounts, and one of them for the remainder."""
    count = draw(st.integers(1, 8))
    cuts = sorted(draw(st.lists(st.integers(0, BASIS_POINTS), min_size=count - 1, max_size=count - 1)))
    points = [high - low for low, high in zip([0, *cuts], [*cuts, BASIS_POINTS], strict=True)]
    lines = [(f"account {index}", share) for index, share in enumerate(points)]
    return lines, draw(st.sampled_from([account for account, _ in lines]))


@given(amount_fen=st.integers(0, money.MAX_FEN), split=splits())
def test_shares_add_up_and_none_is_negative(amount_fen, split):
    lines, remainder_to = split

    shares = money.split(amount_fen, lines, remainder_to=remainder_to)

    assert sum(shares.values()) == amount_fen
    assert min(shares.values()) >= 0


@given(amount_fen=st.integers(100, money.MAX_FEN), split=splits())
def test_a_share_is_off_by_half_a_fen_at_most(amount_fen, split):
    lines, remainder_to = split
    shares = money.split(amount_fen, lines, remainder_to=remainder_to)

    for account, points in lines:
        exact = Fraction(amount_fen * points, BASIS_POINTS)
        allowed = Fraction(len(lines), 2) if account == remainder_to else Fraction(1, 2)
        # Only when the others have used up everything may a last share be cut short, by their roundings.
        assert abs(shares[account] - exact) <= max(allowed, Fraction(len(lines), 2) if not shares[remainder_to] else 0)


@given(numerator=st.integers(0, 10**18), denominator=st.integers(1, 10**6))
def test_division_rounds_like_exact_fractions(numerator, denominator):
    assert money.divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(total_fen=st.integers(0, money.MAX_FEN), rate=st.integers(0, BASIS_POINTS))
def test_net_and_tax_add_up_to_the_total(total_fen, rate):
    net_fen, tax_fen = money.tax_included(total_fen, rate_basis_points=rate)

    assert net_fen + tax_fen == total_fen
    assert net_fen >= 0 <= tax_fen


@given(held_fen=st.integers(1, money.MAX_FEN), part=st.integers(0, 100), split=splits())
def test_the_legs_of_a_charge_add_up_to_zero_even_when_less_is_charged_than_held(held_fen, part, split):
    lines, remainder_to = split
    shares = money.split(held_fen * part // 100, lines, remainder_to=remainder_to)

    legs = postings.charge(held_fen, shares)

    assert sum(leg.amount_fen for leg in legs) == 0
    assert [leg.kind for leg in legs if leg.amount_fen < 0] == [postings.AccountKind.HELD]
