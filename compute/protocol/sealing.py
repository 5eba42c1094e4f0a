"""Sealing: a result that one recipient can open, bound to the run it came from.

HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305.
"""

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

SUITE = "HPKE-X25519-HKDF-SHA256-ChaCha20Poly1305/v1"
_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def part_context(*, job_digest: str, rank: int) -> bytes:
    """The HPKE `info` of one party's part: another run or another party's place will not open it."""
    return canonical.encode({"type": "hengshu/sealed-part/v1", "suite": SUITE, "job_digest": job_digest, "rank": rank})


def seal(plaintext: bytes, *, recipient: str, info: bytes) -> bytes:
    """Encrypt to a recipient's sealing key (unpadded base64url X25519); 48 bytes longer than the input."""
    return _SUITE.encrypt(plaintext, public_key(recipient), info)


def open_sealed(ciphertext: bytes, *, key: X25519PrivateKey, info: bytes) -> bytes:
    """Decrypt; VerificationError `SEAL_INVALID` for another key, another context or changed bytes."""
    try:
        return _SUITE.decrypt(ciphertext, key, info)
    except (InvalidTag, ValueError):
        raise VerificationError("SEAL_INVALID", "this part was not sealed to this key for this run") from None


def public_key(text: str) -> X25519PublicKey:
    """Read a sealing key; VerificationError `KEY_INVALID` unless it is 32 bytes of unpadded base64url."""
    try:
        raw = base64.urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or _text(raw) != text:
        raise VerificationError("KEY_INVALID", "not an X25519 key in unpadded base64url")
    return X25519PublicKey.from_public_bytes(raw)


def public_text(key: X25519PublicKey) -> str:
    """Write a sealing key as unpadded base64url."""
    return _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
