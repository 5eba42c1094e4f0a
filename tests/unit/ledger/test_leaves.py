"""Leaves: canonical, closed, and silent about what they commit to."""

import pytest

from ledger.proofs import canonical, leaves
from ledger.proofs.errors import VerificationError

LEAF = leaves.Leaf(
    kind="result.released",
    entry="urn:hengshu:entry:01JD0000000000000000000001",
    subject="urn:hengshu:computation:01JD0000000000000000000002",
    issuer="urn:hengshu:org:01JD0000000000000000000003",
    prev=None,
    at="2026-11-21T05:30:00Z",
    commit="ab" * 32,
)
SALT = bytes(range(32))


def test_bytes_are_canonical_and_read_back():
    assert leaves.parse(LEAF.data) == LEAF
    assert LEAF.data == (
        b'{"at":"2026-11-21T05:30:00Z","commit":"'
        + b"ab" * 32
        + b'","id":"urn:hengshu:entry:01JD0000000000000000000001",'
        b'"issuer":"urn:hengshu:org:01JD0000000000000000000003","kind":"result.released","prev":null,'
        b'"subject":"urn:hengshu:computation:01JD0000000000000000000002","v":1}'
    )


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"v": True}, {"kind": "Result"}, {"kind": 1}, {"prev": "ab"}, {"prev": 0}, {"commit": "AB" * 32},
     {"at": "2026-11-21 05:30"}, {"subject": ""}, {"payload": {}}, {"issuer": None}],
)  # fmt: skip
def test_anything_else_is_no_leaf(change):
    value = {**canonical.parse(LEAF.data), **change}

    with pytest.raises(VerificationError):
        leaves.parse(canonical.canonicalize(value))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", LEAF.data + b" ", LEAF.data.replace(b'"v":1', b'"v":1.0')])
def test_other_bytes_are_no_leaf(data):
    with pytest.raises(VerificationError):
        leaves.parse(data)


def test_commitment_opens_to_its_payload_only():
    payload = canonical.canonicalize({"amount_fen": 50_000})
    leaf = leaves.Leaf(**{**_parts(), "commit": leaves.commitment(payload, salt=SALT)})

    leaves.verify_opening(leaf, payload=payload, salt=SALT)
    for wrong in (
        {"payload": payload.replace(b"5", b"6"), "salt": SALT},
        {"payload": payload, "salt": SALT[::-1]},
        {"payload": payload, "salt": b"short"},
        {"payload": payload[1:], "salt": SALT},
        {"payload": SALT[16:] + payload, "salt": SALT[:16]},
    ):
        with pytest.raises(VerificationError):
            leaves.verify_opening(leaf, **wrong)


def _parts():
    return {name: getattr(LEAF, name) for name in ("kind", "entry", "subject", "issuer", "prev", "at", "commit")}


@pytest.mark.parametrize(
    "text",
    ["plain:text-1/2_3.4", "", '"', "\\", "\n", "\x00", "\x7f", "é", "衡", "\u2028", 'a","v":2,"b":"', "a\\u0041", " "],
)
@pytest.mark.parametrize("member", ["kind", "entry", "subject", "issuer", "prev", "at", "commit"])
def test_the_short_writer_and_the_general_one_write_the_same_bytes(member, text):
    parts = {**{name: getattr(LEAF, name) for name in LEAF.__slots__}, member: text}
    members = {"id" if name == "entry" else name: value for name, value in parts.items()}

    assert leaves.write(**parts) == canonical.canonicalize({"v": 1, **members})
