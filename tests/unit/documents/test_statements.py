"""Signed documents: what a proof covers and what breaks it."""

import copy

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import multibase, statements
from ledger.proofs.errors import VerificationError

CREATED = "2026-11-21T05:30:00Z"
ALICE = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
BOB = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
ALICE_DID, BOB_DID = (multibase.did_key(key.public_key()) for key in (ALICE, BOB))


@pytest.fixture
def document():
    terms = {"type": "hengshu/contract/v1", "quota": {"total": 20}, "name": "合约"}
    return statements.sign(statements.sign(terms, key=ALICE, created=CREATED), key=BOB, created=CREATED)


def _code(document, *, signers=(ALICE_DID, BOB_DID)):
    with pytest.raises(VerificationError) as refusal:
        statements.verify(document, signers=signers)
    return refusal.value.code


def test_two_parties_sign_the_same_bytes(document):
    statements.verify(document, signers=[ALICE_DID, BOB_DID])

    assert statements.digest(document) == statements.digest(statements.unsigned(document))


def test_signing_again_replaces_the_earlier_proof(document):
    again = statements.sign(document, key=ALICE, created="2026-11-22T00:00:00Z")

    statements.verify(again, signers=[ALICE_DID, BOB_DID])
    assert len(again["proof"]) == 2


def test_a_changed_member_breaks_every_signature(document):
    document["quota"]["total"] = 21

    assert _code(document) == "SIGNATURE_INVALID"


def test_a_missing_signer_is_named_as_missing(document):
    carol = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)

    assert _code(document, signers=[multibase.did_key(carol.public_key())]) == "SIGNATURE_MISSING"
    assert _code(document, signers=[]) == "SIGNATURE_MISSING"


@pytest.mark.parametrize(
    "member", ["created", "verificationMethod", "proofPurpose", "cryptosuite", "type", "proofValue"]
)
def test_no_member_of_a_proof_can_be_changed(document, member):
    proof = document["proof"][0]
    proof[member] = {"created": "2026-11-21T05:30:01Z", "verificationMethod": f"{BOB_DID}#{BOB_DID[8:]}"}.get(
        member, proof[member][:-1] + ("a" if proof[member][-1] != "a" else "b")
    )

    assert _code(document) in {"SIGNATURE_INVALID", "PROOF_INVALID", "KEY_INVALID"}


def test_an_invalid_proof_is_not_ignored_even_when_nobody_asked_for_it(document):
    document["proof"][1]["created"] = "2026-11-21T05:30:09Z"

    assert _code(document, signers=[ALICE_DID]) == "SIGNATURE_INVALID"


def test_a_proof_cannot_be_repeated_or_given_extra_members(document):
    repeated = copy.deepcopy(document)
    repeated["proof"].append(repeated["proof"][0])
    extended = copy.deepcopy(document)
    extended["proof"][0]["nonce"] = "x"

    assert _code(repeated) == "PROOF_INVALID"
    assert _code(extended) == "PROOF_INVALID"


def test_did_keys_and_base58_have_one_form_only():
    assert multibase.public_key(ALICE_DID) == ALICE.public_key()
    assert multibase.decode(multibase.encode(b"\0\0hengshu")) == b"\0\0hengshu"
    for wrong in ("did:key:z", "did:web:x", ALICE_DID + "1", "z0", ""):
        with pytest.raises(VerificationError):
            multibase.public_key(wrong)
    # The key of the W3C EdDSA cryptosuites' examples, as its did:key.
    assert multibase.did_key(multibase.public_key("did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2")) == (
        "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
    )
