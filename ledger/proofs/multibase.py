"""Public keys and signatures as text: base58btc multibase and did:key, for Ed25519."""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.proofs.errors import VerificationError

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ED25519_PREFIX = b"\xed\x01"  # multicodec ed25519-pub as an unsigned varint


def encode(data: bytes) -> str:
    """Multibase base58btc text of bytes, beginning with `z`."""
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, remainder = divmod(number, 58)
        text = _ALPHABET[remainder] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "z" + "1" * zeros + text


def decode(text: str) -> bytes:
    """Bytes of multibase base58btc text; VerificationError `ENCODING_INVALID` for anything else."""
    if not text.startswith("z") or len(text) > 512:
        raise VerificationError("ENCODING_INVALID", "not multibase base58btc text")
    number = 0
    try:
        for character in text[1:]:
            number = number * 58 + _VALUES[character]
    except KeyError:
        raise VerificationError("ENCODING_INVALID", "not multibase base58btc text") from None
    zeros = len(text[1:]) - len(text[1:].lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def did_key(public_key: Ed25519PublicKey) -> str:
    """The did:key of an Ed25519 public key, for example `did:key:z6Mk…`.

    Source: W3C CCG, The did:key Method v0.7.
    """
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "did:key:" + encode(_ED25519_PREFIX + raw)


@lru_cache(maxsize=1024)
def public_key(did: str) -> Ed25519PublicKey:
    """The Ed25519 public key inside a did:key; VerificationError `KEY_INVALID` for anything else."""
    raw = decode(did.removeprefix("did:key:")) if did.startswith("did:key:") else b""
    if len(raw) != 34 or not raw.startswith(_ED25519_PREFIX):
        raise VerificationError("KEY_INVALID", "not an Ed25519 did:key")
    return Ed25519PublicKey.from_public_bytes(raw[2:])
