"""EIP-712: structured data that a chain key signs and a contract can check.

Pure: digests, signatures and recovery only. A digest names the chain and the contract, so that a
signature for one says nothing to another.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import coincurve
from Crypto.Hash import keccak

from ledger.proofs.errors import VerificationError

Types = Mapping[str, Sequence[tuple[str, str]]]

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = _ORDER // 2
_DOMAIN_FIELDS = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
_ARRAY = re.compile(r"(?P<item>.+)\[(?P<length>\d*)\]", re.ASCII)
_INTEGER = re.compile(r"(?P<unsigned>u?)int(?P<bits>\d{1,3})", re.ASCII)
_BYTES = re.compile(r"bytes(?P<length>\d{1,2})", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def keccak256(data: bytes) -> bytes:
    """Ethereum's Keccak-256 (not SHA3-256)."""
    return bytes(keccak.new(digest_bits=256, data=data).digest())


def digest(domain: Mapping[str, Any], types: Types, primary_type: str, message: Mapping[str, Any]) -> bytes:
    """The 32 bytes that are signed for a message.

    Args:
        domain: members of EIP712Domain that are present, for example name, version, chainId.
        types: for every struct, its fields as (name, type) in order; EIP712Domain is not listed.
        message: integers as int, addresses as 0x text, bytes as bytes or 0x text.
    Raises:
        VerificationError: `TYPED_DATA_INVALID`, a value does not fit its type or a type is unknown.
    Source: EIP-712.
    """
    fields = [(name, kind) for name, kind in _DOMAIN_FIELDS if name in domain]
    if set(domain) - {name for name, _ in fields}:
        raise VerificationError("TYPED_DATA_INVALID", "the domain has a member that EIP-712 does not know")
    separator = struct_hash({"EIP712Domain": fields}, "EIP712Domain", domain)
    return keccak256(b"\x19\x01" + separator + struct_hash(types, primary_type, message))


def struct_hash(types: Types, name: str, value: Mapping[str, Any]) -> bytes:
    """`hashStruct` of EIP-712; the members must be exactly the declared ones."""
    if name not in types or set(value) != {field for field, _ in types[name]}:
        raise VerificationError("TYPED_DATA_INVALID", f"the members of {name} are not the declared ones")
    encoded = b"".join(_encode(types, kind, value[field]) for field, kind in types[name])
    return keccak256(type_hash(types, name) + encoded)


def type_hash(types: Types, name: str) -> bytes:
    """`typeHash` of EIP-712: the struct's own signature, then those it refers to in alphabetical order."""
    others = sorted(_dependencies(types, name, set()) - {name})
    return keccak256("".join(_signature(types, struct) for struct in (name, *others)).encode())


def sign(digest_bytes: bytes, *, key: coincurve.PrivateKey) -> str:
    """Sign a digest: 0x and 65 bytes r, s, v (27 or 28), always with the lower s."""
    raw = key.sign_recoverable(digest_bytes, hasher=None)
    return "0x" + (raw[:64] + bytes([raw[64] + 27])).hex()


def recover(digest_bytes: bytes, signature: str | bytes) -> str:
    """The checksummed address that signed a digest.

    Raises:
        VerificationError: `SIGNATURE_INVALID`, not 65 bytes, v not 27 or 28, a high s, or no such point.
    """
    raw = to_bytes(signature)
    if len(raw) != 65 or raw[64] not in (27, 28) or int.from_bytes(raw[32:64], "big") > HALF_ORDER:
        raise VerificationError("SIGNATURE_INVALID", "not a 65-byte signature with v of 27 or 28 and the lower s")
    try:
        public = coincurve.PublicKey.from_signature_and_message(
            raw[:64] + bytes([raw[64] - 27]), digest_bytes, hasher=None
        )
    except Exception as error:  # coincurve raises bare exceptions; none of them is a pass
        raise VerificationError("SIGNATURE_INVALID", "the signature belongs to no key") from error
    return checksum_address(keccak256(public.format(compressed=False)[1:])[-20:])


def verify(digest_bytes: bytes, signature: str | bytes, *, signer: str) -> None:
    """Check that `signer` (an address, in any case) signed the digest.

    Raises:
        VerificationError: `SIGNATURE_INVALID`.
    """
    if recover(digest_bytes, signature).lower() != signer.lower():
        raise VerificationError("SIGNATURE_INVALID", "another key signed this")


def checksum_address(raw: bytes | str) -> str:
    """An address with EIP-55 capitals, from 20 bytes or 0x text."""
    data = to_bytes(raw)
    if len(data) != 20:
        raise VerificationError("TYPED_DATA_INVALID", "an address has 20 bytes")
    return _checksummed(data)


@lru_cache(maxsize=1024)
def _checksummed(data: bytes) -> str:
    text = data.hex()
    mask = keccak256(text.encode()).hex()
    return "0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(text, mask[:40], strict=True))


def to_bytes(value: bytes | str) -> bytes:
    """Bytes as they are, or those of 0x hex text; VerificationError `TYPED_DATA_INVALID` otherwise."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value.startswith("0x"):
        raise VerificationError("TYPED_DATA_INVALID", "bytes are written as 0x and hex digits")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise VerificationError("TYPED_DATA_INVALID", "bytes are written as 0x and hex digits") from None


def _dependencies(types: Types, name: str, seen: set[str]) -> set[str]:
    if name in seen or name not in types:
        return seen
    seen.add(name)
    for _, kind in types[name]:
        _dependencies(types, kind.partition("[")[0], seen)
    return seen


def _signature(types: Types, name: str) -> str:
    return f"{name}({','.join(f'{kind} {field}' for field, kind in types[name])})"


def _encode(types: Types, kind: str, value: Any) -> bytes:
    array = _ARRAY.fullmatch(kind)
    if array:
        if not isinstance(value, list | tuple) or (array["length"] and len(value) != int(array["length"])):
            raise VerificationError("TYPED_DATA_INVALID", f"not a {kind}")
        return keccak256(b"".join(_encode(types, array["item"], item) for item in value))
    if kind in types:
        if not isinstance(value, Mapping):
            raise VerificationError("TYPED_DATA_INVALID", f"not a {kind}")
        return struct_hash(types, kind, value)
    return _encode_atom(kind, value)


def _encode_atom(kind: str, value: Any) -> bytes:
    if kind == "string" and isinstance(value, str):
        return keccak256(value.encode())
    if kind == "bytes":
        return keccak256(to_bytes(value))
    if kind == "bool" and isinstance(value, bool):
        return int(value).to_bytes(32, "big")
    if kind == "address" and isinstance(value, str) and _ADDRESS.fullmatch(value):
        return bytes.fromhex(value[2:]).rjust(32, b"\0")
    integer = _INTEGER.fullmatch(kind)
    if integer and isinstance(value, int) and not isinstance(value, bool):
        return _encode_integer(value, bits=int(integer["bits"]), signed=not integer["unsigned"])
    fixed = _BYTES.fullmatch(kind)
    if fixed and 0 < int(fixed["length"]) <= 32 and len(to_bytes(value)) == int(fixed["length"]):
        return to_bytes(value).ljust(32, b"\0")
    raise VerificationError("TYPED_DATA_INVALID", f"not a value of type {kind}")


def _encode_integer(value: int, *, bits: int, signed: bool) -> bytes:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if bits % 8 or not 8 <= bits <= 256 or not low <= value <= high:
        raise VerificationError("TYPED_DATA_INVALID", f"the integer does not fit {bits} bits")
    return value.to_bytes(32, "big", signed=signed)
