"""The kinds of signature a note may carry: which key, over which bytes, in which layout.

| type | key | the bytes signed | the signature |
|---|---|---|---|
| 0x01 | Ed25519 | the note's text | 64 bytes |
| 0x04 | Ed25519 | `cosignature/v1`, a time line, the text | 8 bytes of time, 64 bytes |
| 0x06 | ML-DSA-44 | label, cosigner, time, origin, 0, size, root | 8 bytes of time, 2,420 bytes |

Types 0x04 and 0x06 sign checkpoints only. Type 0x06 covers no extension lines.

Source: C2SP signed-note, "Signature types"; C2SP tlog-cosignature, https://c2sp.org/tlog-cosignature.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.proofs import tree_heads
from ledger.proofs.errors import VerificationError

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
ML_DSA_44 = 0x06

COSIGNATURES = frozenset({COSIGNATURE_V1, ML_DSA_44})
MAX_TIME = 2**63 - 1

PublicKey = Ed25519PublicKey | MLDSA44PublicKey
PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey

_READERS: dict[int, Callable[[bytes], PublicKey]] = {
    ED25519: Ed25519PublicKey.from_public_bytes,
    COSIGNATURE_V1: Ed25519PublicKey.from_public_bytes,
    ML_DSA_44: MLDSA44PublicKey.from_public_bytes,
}
_TIME_BYTES = 8
_SUBTREE_LABEL = b"subtree/v1\n\0"
_MAX_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key, as a vkey string carries it."""

    name: str
    key_id: bytes
    algorithm: int
    public_key: PublicKey

    @property
    def raw(self) -> bytes:
        """The public key's bytes: two vkeys with the same bytes are one key, whatever their names."""
        return raw_key(self.public_key)

    def check(self, text: str, value: bytes) -> int | None:
        """Check one signature over a note's text.

        Returns:
            the POSIX time that the signature states, in seconds; None for type 0x01, which states none.
        Raises:
            VerificationError: `SIGNATURE_INVALID`; `CHECKPOINT_INVALID`, a cosignature under another text.
        """
        at = None
        signature = value
        if self.algorithm in COSIGNATURES:
            at = int.from_bytes(value[:_TIME_BYTES])
            signature = value[_TIME_BYTES:]
        try:
            self.public_key.verify(signature, message(self.algorithm, name=self.name, text=text, at=at))
        except InvalidSignature:
            raise VerificationError("SIGNATURE_INVALID", "a signature does not match the note") from None
        return at


def message(algorithm: int, *, name: str, text: str, at: int | None) -> bytes:
    """The bytes that a key of this type signs.

    Args:
        at: POSIX time in seconds; 0 in type 0x06 states no time; None for type 0x01.
    Raises:
        VerificationError: `CHECKPOINT_INVALID`, the text cannot carry a cosignature.
    """
    if algorithm == ED25519:
        return text.encode()
    head = tree_heads.parse(text)
    if at is None or not 0 <= at <= MAX_TIME:
        raise VerificationError("SIGNATURE_INVALID", "a cosignature states a time between 0 and 2^63 - 1")
    if algorithm == COSIGNATURE_V1:
        return f"cosignature/v1\ntime {at}\n{text}".encode()
    return b"".join(
        (
            _SUBTREE_LABEL,
            _opaque(name),
            at.to_bytes(8),
            _opaque(head.origin),
            bytes(8),
            head.size.to_bytes(8),
            head.root,
        )
    )


def sign(algorithm: int, *, name: str, text: str, key: PrivateKey, at: int | None) -> bytes:
    """The signature as its line carries it, behind the key id."""
    signature = key.sign(message(algorithm, name=name, text=text, at=at))
    return signature if at is None else at.to_bytes(_TIME_BYTES) + signature


def public_key(algorithm: int, raw: bytes) -> PublicKey:
    """Read a key's bytes; VerificationError `KEY_INVALID` for an unknown type or a wrong length."""
    read = _READERS.get(algorithm)
    if read is None:
        raise VerificationError("KEY_INVALID", "not a verifier key of a type known here")
    try:
        return read(raw)
    except ValueError:
        raise VerificationError("KEY_INVALID", "not a public key of its type") from None


def raw_key(key: PublicKey) -> bytes:
    """A public key's bytes, 32 or 1,312."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def note_algorithm(key: PublicKey | PrivateKey) -> int:
    """The type with which a log signs: plain Ed25519, or ML-DSA-44, which has only one type."""
    return ML_DSA_44 if isinstance(key, MLDSA44PublicKey | MLDSA44PrivateKey) else ED25519


def cosignature_algorithm(key: PublicKey | PrivateKey) -> int:
    """The type with which a witness signs."""
    return ML_DSA_44 if isinstance(key, MLDSA44PublicKey | MLDSA44PrivateKey) else COSIGNATURE_V1


def _opaque(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) <= _MAX_NAME_BYTES:
        raise VerificationError("CHECKPOINT_INVALID", "an ML-DSA-44 cosignature takes names of 1 to 255 bytes")
    return bytes([len(data)]) + data
