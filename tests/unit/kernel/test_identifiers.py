"""References and check characters, against published examples."""

import pytest

from exchange.kernel import identifiers


def test_a_ulid_has_the_time_first_and_sorts_by_it():
    early = identifiers.new_ulid(milliseconds=1_469_918_176_385, randomness=lambda n: b"\0" * n)
    late = identifiers.new_ulid(milliseconds=1_469_918_176_386, randomness=lambda n: b"\0" * n)

    assert early == "01ARYZ6S410000000000000000"  # the time stamp of the ULID specification's example
    assert early < late


def test_a_urn_gives_back_its_reference_and_refuses_another_kind():
    ref = identifiers.new_ulid()
    urn = identifiers.make_urn("contract", ref)

    assert identifiers.parse_urn(urn, kind="contract") == ref
    with pytest.raises(ValueError):
        identifiers.parse_urn(urn, kind="org")


@pytest.mark.parametrize(
    "urn", ["", "urn:hengshu:contract:", "urn:hengshu:contract:01ARYZ6S41000000000000000I", None, 7]
)
def test_what_is_not_a_urn_is_refused(urn):
    with pytest.raises(ValueError):
        identifiers.parse_urn(urn, kind="contract")


def test_a_business_number_notices_one_wrong_character_and_one_swap():
    number = identifiers.number("DPC", exchange="HS", year_month="202611", serial=123)

    assert identifiers.number_is_valid(number)
    for place in (8, 14, 19):
        wrong = number[:place] + ("7" if number[place] != "7" else "8") + number[place + 1 :]
        assert not identifiers.number_is_valid(wrong)
    swapped = number[:18] + number[19] + number[18] + number[20:]
    assert not identifiers.number_is_valid(swapped)


def test_numbers_end_at_six_digits():
    with pytest.raises(ValueError):
        identifiers.number("DPC", exchange="HS", year_month="202611", serial=1_000_000)


@pytest.mark.parametrize(
    ("_case", "value", "expected"),
    [
        ("the standard's example", "11010519491231002X", True),
        ("lower-case x", "11010519491231002x", False),
        ("wrong check", "110105194912310021", False),
        ("full-width digits", "１1010519491231002X", False),
        ("short", "1101051949123100", False),
    ],
)
def test_resident_numbers(_case, value, expected):
    assert identifiers.resident_id_is_valid(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("91350100M000100Y43", True), ("91350100M000100Y44", False), ("91350100M000100I43", False), ("", False)],
)
def test_social_credit_codes(value, expected):
    assert identifiers.uscc_is_valid(value) is expected
