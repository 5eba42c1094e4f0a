"""What the parties of one run say to each other before they compute: the same job, and a key that only they know.

The key is drawn for one job and forgotten with it. Every data party contributes 32 random bytes and sends them to each
of the others under a key from their two X25519 halves, inside the pinned TLS connection they already share; the job and
all their certificates are bound in. A compute party, the exchange or a relay never sees a contribution. At the end
everybody shows that it derived the same key, because a difference would otherwise look like an empty intersection.

Sources: RFC 7748 (X25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305).
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from compute.engines import certificates, link
from compute.engines.base import StageContext
from compute.engines.errors import EngineRefused

KEY_BYTES = 32
_NONCE = bytes(12)  # each key of a pair seals one message in each direction, under names that differ
_PAIR, _JOB, _PROOF = b"hengshu/pair-key/v1", b"hengshu/job-key/v1", b"hengshu/key-proof/v1"


def dump(value: Mapping[str, Any]) -> bytes:
    """A message between parties."""
    return json.dumps(value, ensure_ascii=False).encode()


def load(data: bytes) -> dict[str, Any]:
    """Read a peer's message; EngineRefused JOB_DIFFERS."""
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise differs("A peer's greeting cannot be read; check the versions.")
    return value


def tell(mesh: link.Mesh, peer: int, value: Mapping[str, Any]) -> dict[str, Any]:
    """Say something to one peer and read what it says in turn; EngineRefused JOB_DIFFERS."""
    return load(mesh.exchange({peer: dump(value)})[peer])


def differs(message: str) -> EngineRefused:
    """The error for parties that do not do the same thing."""
    return EngineRefused("JOB_DIFFERS", message)


def check_jobs(context: StageContext, mesh: link.Mesh) -> None:
    """Tell every peer which job this is; EngineRefused JOB_DIFFERS when one runs another."""
    received = mesh.broadcast(dump({"job": context.job_digest}))
    if any(load(data) != {"job": context.job_digest} for data in received.values()):
        raise differs("A peer runs another job; the exchange dispatches it again.")


def job_key(context: StageContext, mesh: link.Mesh, *, ranks: Sequence[int]) -> bytes:
    """Agree on a key for this job among some of its parties; all of `ranks` call it, nobody else can derive it.

    Raises:
        EngineRefused: JOB_DIFFERS for a message that cannot be read, or when a peer derived another key.
    """
    peers = [rank for rank in ranks if rank != context.rank]
    binding = _binding(context, ranks)
    secret, own = X25519PrivateKey.generate(), secrets.token_bytes(KEY_BYTES)
    halves = mesh.exchange(dict.fromkeys(peers, secret.public_key().public_bytes_raw()))
    try:
        pairs = {
            peer: _derive(secret.exchange(X25519PublicKey.from_public_bytes(halves[peer])), binding, _PAIR)
            for peer in peers
        }
        sealed = {peer: _seal(pairs[peer], own, context.rank, peer) for peer in peers}
        received = mesh.exchange(sealed)
        shares = {peer: _open(pairs[peer], received[peer], peer, context.rank) for peer in peers}
    except (ValueError, InvalidTag):
        raise differs("A peer's part of the key cannot be read; check the versions.") from None
    shares[context.rank] = own
    key = _derive(b"".join(shares[rank] for rank in ranks), binding, _JOB)
    proofs = mesh.exchange(dict.fromkeys(peers, _proof(key, context.rank)))
    if not all(hmac.compare_digest(proofs[peer], _proof(key, peer)) for peer in peers):
        raise differs("A peer derived another key for this job; submit again.")
    return key


def again(key: bytes, attempt: int) -> bytes:
    """Another key from the first, for keyed hashes that have to be drawn anew."""
    return hmac.digest(key, b"again %d" % attempt, "sha256")


def _binding(context: StageContext, ranks: Sequence[int]) -> bytes:
    shown = [certificates.fingerprint(context.certificate_paths[rank].read_text()) for rank in ranks]
    return hashlib.sha256(bytes.fromhex(context.job_digest) + b"".join(shown)).digest()


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _seal(key: bytes, data: bytes, sender: int, receiver: int) -> bytes:
    return ChaCha20Poly1305(_direction(key, sender, receiver)).encrypt(_NONCE, data, None)


def _open(key: bytes, data: bytes, sender: int, receiver: int) -> bytes:
    found = ChaCha20Poly1305(_direction(key, sender, receiver)).decrypt(_NONCE, data, None)
    if len(found) != KEY_BYTES:
        raise ValueError("not a contribution")
    return found


def _direction(key: bytes, sender: int, receiver: int) -> bytes:
    return hmac.digest(key, b"%d to %d" % (sender, receiver), "sha256")


def _proof(key: bytes, rank: int) -> bytes:
    return hmac.digest(key, _PROOF + b"%d" % rank, "sha256")
