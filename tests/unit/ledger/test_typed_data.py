"""EIP-712 against the specification's own example, and against what it must refuse."""

import coincurve
import pytest

from ledger.proofs import grants, typed_data
from ledger.proofs.errors import VerificationError

TYPES = {
    "Mail": [("from", "Person"), ("to", "Person"), ("contents", "string")],
    "Person": [("name", "string"), ("wallet", "address")],
}
DOMAIN = {
    "name": "Ether Mail",
    "version": "1",
    "chainId": 1,
    "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
}
MESSAGE = {
    "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
    "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    "contents": "Hello, Bob!",
}
COW = coincurve.PrivateKey(typed_data.keccak256(b"cow"))


def test_the_mail_of_the_specification():
    """Figures from EIP-712, Example.js."""
    assert typed_data.type_hash(TYPES, "Mail").hex() == (
        "a0cedeb2dc280ba39b857546d74f5549c3a1d7bdc2dd96bf881f76108e23dac2"
    )
    assert typed_data.struct_hash(TYPES, "Mail", MESSAGE).hex() == (
        "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e"
    )
    digest = typed_data.digest(DOMAIN, TYPES, "Mail", MESSAGE)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    signature = typed_data.sign(digest, key=COW)
    assert signature == (
        "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"
        "1c"
    )
    assert typed_data.recover(digest, signature) == MESSAGE["from"]["wallet"]


def test_arrays_integers_and_bytes_are_encoded_as_the_specification_says():
    types = {"Bag": [("ids", "uint64[]"), ("pair", "bytes32[2]"), ("raw", "bytes"), ("yes", "bool"), ("low", "int8")]}
    bag = {"ids": [1, 2], "pair": [b"\x01" * 32, "0x" + "02" * 32], "raw": b"abc", "yes": True, "low": -1}
    words = [
        typed_data.type_hash(types, "Bag"),
        typed_data.keccak256((1).to_bytes(32, "big") + (2).to_bytes(32, "big")),
        typed_data.keccak256(b"\x01" * 32 + b"\x02" * 32),
        typed_data.keccak256(b"abc"),
        (1).to_bytes(32, "big"),
        b"\xff" * 32,
    ]
    assert typed_data.struct_hash(types, "Bag", bag) == typed_data.keccak256(b"".join(words))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint64", 2**64),
        ("uint64", -1),
        ("uint64", True),
        ("uint7", 1),
        ("bytes32", b"\x01" * 31),
        ("address", "0x12"),
        ("string", b"text"),
        ("bool", 1),
        ("float", 1),
        ("uint64[2]", [1]),
        ("bytes", "no hex"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind, value):
    with pytest.raises(VerificationError, match=r"."):
        typed_data.struct_hash({"One": [("it", kind)]}, "One", {"it": value})


def test_members_must_be_exactly_the_declared_ones():
    for message in ({}, {**MESSAGE, "more": 1}):
        with pytest.raises(VerificationError):
            typed_data.digest(DOMAIN, TYPES, "Mail", message)
    with pytest.raises(VerificationError):
        typed_data.digest({**DOMAIN, "colour": "red"}, TYPES, "Mail", MESSAGE)


def test_a_signature_has_one_form_only():
    digest = typed_data.digest(DOMAIN, TYPES, "Mail", MESSAGE)
    raw = bytes.fromhex(typed_data.sign(digest, key=COW)[2:])
    high = ((typed_data.HALF_ORDER * 2 + 1) - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    for broken in (raw[:64], raw[:64] + b"\x00", raw[:32] + high + bytes([55 - raw[64]]), bytes(65)):
        with pytest.raises(VerificationError) as refused:
            typed_data.recover(digest, broken)
        assert refused.value.code == "SIGNATURE_INVALID"


def test_a_grant_is_bound_to_its_chain_contract_terms_and_grantor():
    place = {"chain_id": 31337, "contract_address": "0x" + "11" * 20}
    signed = grants.sign_grant(key=COW, **place, terms_digest="ab" * 32, not_before=1, not_after=2, cap=3)
    grants.verify_grant(signed, grantor=signed["grantor"])
    changes = [
        ("chain_id", 1),
        ("contract_address", "0x" + "12" * 20),
        ("terms_digest", "ac" * 32),
        ("not_before", 0),
        ("not_after", 3),
        ("cap", 4),
    ]
    for name, value in changes:
        with pytest.raises(VerificationError):
            grants.verify_grant({**signed, name: value}, grantor=signed["grantor"])
    with pytest.raises(VerificationError):
        grants.verify_grant(signed, grantor="0x" + "13" * 20)
