"""Sealing a result and signing a statement, against the bare primitive under each."""

import secrets
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from compute.protocol import keyfiles, sealing
from ledger.proofs import canonical, statements
from tests.benchmarks._timing import best, rate

MEGABYTE = 1024 * 1024
TIME = "2026-11-21T05:30:00Z"


def run() -> Iterator[tuple[str, str]]:
    key = keyfiles.generate("bank")
    yield from _sealing(key)
    yield from _statements(key)


def _sealing(key: keyfiles.KeyFile) -> Iterator[tuple[str, str]]:
    plaintext, info = secrets.token_bytes(MEGABYTE), sealing.part_context(job_digest="ab" * 32, rank=0)
    sealed = sealing.seal(plaintext, recipient=key.sealing_key, info=info)
    cipher, nonce = ChaCha20Poly1305(secrets.token_bytes(32)), secrets.token_bytes(12)
    bare = best(lambda: cipher.encrypt(nonce, plaintext, None), times=20)
    seal = best(lambda: sealing.seal(plaintext, recipient=key.sealing_key, info=info), times=20)
    unseal = best(lambda: sealing.open_sealed(sealed, key=key.sealing, info=info), times=20)
    yield "ChaCha20-Poly1305 alone, 1 MB", f"{bare * 1000:8.2f} ms"
    yield "HPKE seal of 1 MB to a member's key", f"{seal * 1000:8.2f} ms   ×{seal / bare:.2f} of the cipher alone"
    yield "HPKE open of 1 MB", f"{unseal * 1000:8.2f} ms   ×{unseal / bare:.2f}"


def _statements(key: keyfiles.KeyFile) -> Iterator[tuple[str, str]]:
    document = {
        "type": "hengshu/computation-request/v1",
        "contract": "urn:hengshu:contract:01JD00000000000000000000C1",
        "terms_digest": "ab" * 32,
        "parameters": {"group_by": ["district"], "values": ["base"], "filters": [], "min_group": 10},
        "created": TIME,
    }
    data = canonical.canonicalize(document)
    signature = key.document.sign(data)
    public = key.document.public_key()
    signed = statements.sign(document, key=key.document, created=TIME)
    bare_sign, bare_verify = rate(lambda: key.document.sign(data)), rate(lambda: public.verify(signature, data))
    sign = rate(lambda: statements.sign(document, key=key.document, created=TIME))
    verify = rate(lambda: statements.verify(signed, signers=[key.document_key]))
    yield "Ed25519 alone, sign / verify", f"{bare_sign:8,.0f} / {bare_verify:,.0f} a second"
    yield (
        "statements (eddsa-jcs-2022) signed",
        f"{sign:8,.0f} a second   {sign / bare_sign:.2f} of bare Ed25519; canonical JSON is the rest",
    )
    yield "statements verified", f"{verify:8,.0f} a second   {verify / bare_verify:.2f} of bare Ed25519"
