"""Oblivious pseudorandom functions, RFC 9497, suite ristretto255-SHA512, modes OPRF (0) and VOPRF (1).

The server has a key k, the client an input x. The client blinds the point of x with a fresh random scalar r, the server
multiplies what it gets by k, the client undoes r and hashes: F(k, x). The server has seen a uniformly random
point and learns nothing of x or of F(k, x), however much it can compute; the client has learnt F at one input
and nothing of k. In mode VOPRF the server proves (DLEQ, one proof for a whole batch) that it used the key of
its published public key, so it cannot mark a client by a key of its own.

With k = 5 and r = 3 in a group written as numbers modulo 101, an input whose point is 7: the client sends 21, the
server answers 105 = 4, the client divides by 3 (times 34): 136 = 35 = 5 x 7.

What it does not give: a server with the key can evaluate F at any input it can guess, and a client may spend each
evaluation as it likes. Counting evaluations is the caller's work.

Source: RFC 9497, sections 2.2, 3.2 and 3.3; known answers in tests/vectors/oprf.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from compute.engines import ristretto

OUTPUT_BYTES = 64
PROOF_BYTES = 2 * ristretto.SIZE
MAX_BATCH = 65_535  # elements of one proof: their number is two bytes of its transcript
_SUITE = b"ristretto255-SHA512"


class ProofInvalid(ValueError):
    """The server did not use the key it published, or its answer was changed on the way."""


class Mode(IntEnum):
    """The protocol's variant: whether the server proves which key it used."""

    OPRF = 0
    VOPRF = 1


@dataclass(frozen=True, slots=True)
class Blinded:
    """What a client keeps (`scalar`, secret) and what it sends (`element`)."""

    scalar: bytes
    element: bytes


def derive_key(seed: bytes, info: bytes, *, mode: Mode) -> bytes:
    """DeriveKeyPair: a private key from 32 secret uniform bytes and a public name for what the key is for."""
    material = seed + len(info).to_bytes(2, "big") + info
    for counter in range(256):
        key = ristretto.hash_to_scalar(material + bytes([counter]), domain=b"DeriveKeyPair" + _context(mode))
        if ristretto.is_scalar(key):
            return key
    raise RuntimeError("no key in 256 tries")  # probability 2^-64000


def public_key(key: bytes) -> bytes:
    """The public key of a private one: what a client pins and proofs are checked against."""
    return ristretto.multiply_base(key)


def blind(data: bytes, *, mode: Mode, scalar: bytes | None = None) -> Blinded:
    """Blind one input of at most 65,535 bytes; `scalar` is for known answers only and is fresh otherwise."""
    chosen = scalar or ristretto.random_scalar()
    return Blinded(chosen, ristretto.multiply(chosen, _point(data, mode)))


def evaluate_blinded(key: bytes, element: bytes) -> bytes:
    """The server's step (BlindEvaluate); NotInGroup for anything but a point other than the identity."""
    return ristretto.multiply(key, element)


def finalize(data: bytes, blinded: Blinded, evaluated: bytes) -> bytes:
    """The client's step: F(k, data), 64 bytes; NotInGroup when the answer is no point."""
    return _output(data, ristretto.multiply(ristretto.invert(blinded.scalar), evaluated))


def evaluate(key: bytes, data: bytes, *, mode: Mode) -> bytes:
    """F(k, data) by whoever has the key: what `finalize` gives, without the protocol."""
    return _output(data, ristretto.multiply(key, _point(data, mode)))


def prove(
    key: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], *, randomness: bytes | None = None
) -> bytes:
    """Prove that every evaluated element is `key` times its blinded one (GenerateProof); 64 bytes, mode VOPRF.

    `randomness` is for known answers only: two proofs with the same one give the key away.
    """
    public = public_key(key)
    combined, _ = _composites(public, blinded, evaluated, key=key)
    image = ristretto.multiply(key, combined)
    nonce = randomness or ristretto.random_scalar()
    challenge = _challenge(public, combined, image, ristretto.multiply_base(nonce), ristretto.multiply(nonce, combined))
    return challenge + ristretto.subtract_scalars(nonce, ristretto.multiply_scalars(challenge, key))


def verify(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], proof: bytes) -> None:
    """Check a proof of `prove` against the published key.

    Raises:
        ProofInvalid: it does not hold, or an element or the key is no point of the group.
    """
    if len(proof) != PROOF_BYTES or len(blinded) != len(evaluated):
        raise ProofInvalid("The proof is not one.")
    challenge, response = proof[: ristretto.SIZE], proof[ristretto.SIZE :]
    try:
        combined, image = _composites(public, blinded, evaluated)
        first = ristretto.add(ristretto.multiply_base(response), ristretto.multiply(challenge, public))
        second = ristretto.add(ristretto.multiply(response, combined), ristretto.multiply(challenge, image))
    except ristretto.NotInGroup:
        raise ProofInvalid("The proof is not one.") from None
    if not hmac.compare_digest(_challenge(public, combined, image, first, second), challenge):
        raise ProofInvalid("The answer was not made with the published key.")


def _composites(
    public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], *, key: bytes | None = None
) -> tuple[bytes, bytes]:
    """One random combination of all pairs (ComputeComposites); with the key only the first half is summed."""
    if not 1 <= len(blinded) <= MAX_BATCH:
        raise ProofInvalid(f"A proof is about 1 to {MAX_BATCH} elements.")
    seed = hashlib.sha512(_sized(public) + _sized(b"Seed-" + _context(Mode.VOPRF))).digest()
    weights = [
        ristretto.hash_to_scalar(
            _sized(seed) + number.to_bytes(2, "big") + _sized(one) + _sized(other) + b"Composite",
            domain=b"HashToScalar-" + _context(Mode.VOPRF),
        )
        for number, (one, other) in enumerate(zip(blinded, evaluated, strict=True))
    ]
    left = ristretto.add(*map(ristretto.multiply, weights, blinded))
    return left, ristretto.IDENTITY if key else ristretto.add(*map(ristretto.multiply, weights, evaluated))


def _challenge(*points: bytes) -> bytes:
    transcript = b"".join(map(_sized, points)) + b"Challenge"
    return ristretto.hash_to_scalar(transcript, domain=b"HashToScalar-" + _context(Mode.VOPRF))


def _point(data: bytes, mode: Mode) -> bytes:
    return ristretto.hash_to_group(data, domain=b"HashToGroup-" + _context(mode))


def _output(data: bytes, point: bytes) -> bytes:
    return hashlib.sha512(_sized(data) + _sized(point) + b"Finalize").digest()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _context(mode: Mode) -> bytes:
    return b"OPRFV1-" + bytes([mode]) + b"-" + _SUITE
