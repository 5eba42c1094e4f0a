"""Canonical JSON and the strict reader."""

import json
import struct
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

RFC8785 = json.loads((Path(__file__).parents[2] / "vectors" / "canonical" / "rfc8785.json").read_text())
STRICT = json.loads((Path(__file__).parents[2] / "vectors" / "canonical" / "strict.json").read_text())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-canonical.MAX_SAFE_INTEGER, canonical.MAX_SAFE_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)


def test_members_are_ordered_by_utf_16_code_units_as_in_rfc_8785_3_2_3():
    value = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\x80": 6, "ö": 7}

    assert list(json.loads(canonical.canonicalize(value))) == ["\r", "1", "\x80", "ö", "€", "😀", "\ufb33"]


@pytest.mark.parametrize("document", RFC8785["documents"], ids=lambda document: document["name"])
def test_documents_of_the_specification(document):
    written = canonical.canonicalize(json.loads(document["input"]))

    assert document.get("output", written.hex()) == written.hex()
    assert document.get("values", []) in ([], list(json.loads(written).values()))


@pytest.mark.parametrize(("bits", "text"), RFC8785["numbers"])
def test_numbers_of_the_specification(bits, text):
    [number] = struct.unpack(">d", bytes.fromhex(bits))
    if text is None:
        with pytest.raises(VerificationError) as refusal:
            canonical.canonicalize([number])
        assert refusal.value.code == "NOT_CANONICAL"
    else:
        assert canonical.canonicalize([number]) == f"[{text}]".encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_reads_back_as_itself(number):
    written = canonical.canonicalize(number)

    assert float(written) == number
    assert canonical.canonicalize(float(written)) == written


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**30, {"a": [2**53]}, float("nan"), float("inf"), "\ud800",
                                   {"\udfff": 1}, {1: 2}, {None: 1}, b"bytes", object(), {1, 2}])  # fmt: skip
def test_what_has_no_form_is_refused(value):
    for write in (canonical.canonicalize, canonical.encode, canonical.digest):
        with pytest.raises(VerificationError) as refusal:
            write(value)
        assert refusal.value.code in {"NOT_CANONICAL", "JSON_INVALID"}


@pytest.mark.parametrize("case", STRICT["read"], ids=lambda case: case["name"])
def test_the_strict_reader_s_known_answers(case):
    data = case["input"].encode("utf-8", "surrogateescape")
    if case["code"] is None:
        assert canonical.encode(canonical.parse(data)).decode() == case["canonical"]
        return
    with pytest.raises(VerificationError) as refusal:
        canonical.parse(data)
    assert refusal.value.code == case["code"]


@given(VALUES)
def test_reading_what_was_written_gives_the_value_and_the_same_bytes(value):
    written = canonical.canonicalize(value)

    assert canonical.parse_canonical(written) == value
    assert canonical.canonicalize(json.loads(json.dumps(value))) == written


@pytest.mark.parametrize(
    ("_case", "data"),
    [
        ("duplicate member", b'{"a":1,"a":2}'),
        ("NaN", b"[NaN]"),
        ("float", b"[1.5]"),
        ("exponent", b"[1e3]"),
        ("integer beyond 2^53", b"[9007199254740993]"),
        ("invalid UTF-8", b'["\xff"]'),
        ("byte order mark", b'\xef\xbb\xbf{"a":1}'),
        ("lone surrogate", b'["\\ud800"]'),
        ("trailing bytes", b"{} {}"),
        ("very deep", b"[" * 5000 + b"]" * 5000),
        ("empty", b""),
    ],
)
def test_what_readers_may_disagree_on_is_refused(_case, data):
    with pytest.raises(VerificationError):
        canonical.parse_canonical(data)


def test_white_space_and_order_are_not_canonical():
    assert canonical.parse(b'{"b": 1, "a": 2}') == {"a": 2, "b": 1}
    with pytest.raises(VerificationError) as refusal:
        canonical.parse_canonical(b'{"b":1,"a":2}')
    assert refusal.value.code == "NOT_CANONICAL"


def test_a_large_document_is_refused_before_it_is_read():
    with pytest.raises(VerificationError) as refusal:
        canonical.parse(b"[" + b" " * 100 + b"]", max_bytes=64)
    assert refusal.value.code == "JSON_TOO_LARGE"


@pytest.mark.parametrize("value", [0.1, 1.0, 1e30])
def test_what_is_signed_or_logged_holds_no_floats(value):
    for write in (canonical.encode, canonical.digest):
        with pytest.raises(VerificationError) as refusal:
            write({"a": [value]})
        assert refusal.value.code == "NOT_CANONICAL"


def test_deep_nesting_is_refused_before_the_reader_recurses_whatever_the_limit():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # as some libraries do: the C reader would then end the process
    try:
        for data in (b"[" * 200_000, b'{"a":' * 200_000, b'{"a":"]]]]' + b'","b":[' * 200_000):
            with pytest.raises(VerificationError) as refused:
                canonical.parse(data)
            assert refused.value.code == "JSON_INVALID"
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_texts_and_wide_documents_are_not_deep():
    value = {"a": "[{" * 500, "b": '\\"[' * 500, "c": [[]] * 500, "d": [{"e": {}}] * 500}

    assert canonical.parse(json.dumps(value).encode()) == value
    deepest: list = []
    for _ in range(64):
        deepest = [deepest]
    assert canonical.parse(json.dumps(deepest).encode()) == deepest


def test_a_text_that_never_ends_is_looked_at_once():
    started = time.monotonic()
    for end in (b"[[[" * 30, b"[" * 90 + b"\\"):
        with pytest.raises(VerificationError):
            canonical.parse(b'["' + b'\\"' * 1_000_000 + end)
    assert time.monotonic() - started < 2
