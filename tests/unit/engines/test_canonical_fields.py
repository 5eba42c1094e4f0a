"""C4: what counts as the same fact, and what stays different."""

import pytest

from compute.engines import canonical_fields
from compute.protocol.operations import consistency_check

SAME = [
    ("text", ["杭州市", " 杭州市 ", "杭州市\u200b"]),
    ("text", ["A B", "Ａ　Ｂ", "A \t B"]),
    ("code", ["01", "０１", " 0 1 "]),
    ("code", ["3a", "3A"]),
    ("integer", ["7", "007", "+7", "７", "7.0", "7."]),
    ("integer", ["1007", "1,007", "１，００７"]),
    ("integer", ["0", "-0", "000"]),
    ("money", ["3641.9", "3641.90", "￥3,641.90", "¥3641.900", "3641.9元", "３６４１.９", "+3641.90"]),
    ("money", ["0.00", "-0", "-0.001"]),
    ("money", ["2.12", "2.125", "2.1249"]),
    ("date", ["2026-01-02", "2026-1-2", "2026/01/02", "2026.1.2", "20260102", "2026年1月2日", "２０２６－０１－０２"]),
    ("date", ["2026-01-02", "2026-01-02 00:00:00", "2026-01-02T00:00:00.0"]),
    ("date", ["", " ", "\u200b"]),
]
DIFFERENT = [
    ("text", "Zhang", "zhang"),
    ("code", "01", "1"),
    ("integer", "7", "7.5"),
    ("integer", "7", "seven"),
    ("integer", "990101198001010011", "9.90101198001010E+17"),  # digits that a spreadsheet has lost
    ("money", "3641.90", "3641.91"),
    ("money", "3641.90", "3641,90"),
    ("money", "1e3", "1000"),
    ("date", "2026-01-02", "2026-02-01"),
    ("date", "2026-02-30", "2026-03-02"),
    ("date", "2026-01-02", "2026-01-02 08:00:00"),
    ("date", "02/01/2026", "2026-01-02"),
    ("money", "", "0"),
    ("money", "m:1.00", "1"),  # a text cannot pass for a number
]


@pytest.mark.parametrize(("kind", "texts"), SAME, ids=lambda found: found if isinstance(found, str) else found[0])
def test_spellings_of_one_fact_are_the_same(kind: str, texts: list[str]) -> None:
    assert len({canonical_fields.value(text, kind) for text in texts}) == 1


@pytest.mark.parametrize(("kind", "one", "other"), DIFFERENT)
def test_two_facts_stay_different(kind: str, one: str, other: str) -> None:
    assert canonical_fields.value(one, kind) != canonical_fields.value(other, kind)


@pytest.mark.parametrize("kind", canonical_fields.KINDS)
@pytest.mark.parametrize(
    "text", ["", "NaN", "inf", "-", "9" * 39, "9" * 200, "1." + "9" * 40, "x" * 100_000, "\ud800", "1,23"]
)
def test_no_value_is_an_error_and_canonical_stays_canonical(kind: str, text: str) -> None:
    found = canonical_fields.value(text, kind)
    assert (found == "") == (text == "")


def test_the_operation_knows_the_same_kinds() -> None:
    assert tuple(canonical_fields.KINDS) == consistency_check.KINDS
