"""Rotations are signed by old and new, revocations by who may withdraw; nothing else passes."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from compute.protocol import key_documents, keyfiles
from compute.protocol.key_documents import Purpose
from compute.protocol.keyfiles import KeyFile
from compute.protocol.shapes import DocumentInvalid
from ledger.proofs import cosignatures, notes, statements
from ledger.proofs.errors import VerificationError

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
ORG = "urn:hengshu:org:01JD0000000000000000000000"
OTHER = "urn:hengshu:org:01JD0000000000000000000001"
AT = "2026-11-21T05:30:00Z"
ORIGIN = "hengshu.example/ledger"

OLD, NEW, STRANGER = (keyfiles.generate(name) for name in ("old", "new", "stranger"))


def rotation(old: KeyFile = OLD, new: KeyFile = NEW) -> dict[str, Any]:
    return key_documents.rotate(organization=ORG, old=old, new=new, created=NOW)


def resigned(document: dict[str, Any], *keys: KeyFile) -> dict[str, Any]:
    signed = statements.unsigned(document)
    for key in keys:
        signed = statements.sign(signed, key=key.document, created=AT)
    return signed


def refused(document: Any, check: Any = key_documents.verify_rotation) -> str:
    with pytest.raises((DocumentInvalid, VerificationError)) as refusal:
        check(document)
    return str(refusal.value.code)


def test_a_rotation_names_all_three_keys_and_carries_the_new_card() -> None:
    document = rotation()

    key_documents.verify_rotation(document)
    assert [item["purpose"] for item in document["keys"]] == ["document", "chain", "sealing"]
    assert {statements.signer(proof) for proof in document["proof"]} == {OLD.document_key, NEW.document_key}
    assert key_documents.successor(document, OLD.chain_address) == NEW.chain_address
    assert key_documents.successor(document, STRANGER.chain_address) is None


@pytest.mark.parametrize("signers", [(OLD,), (NEW,), (STRANGER, NEW), ()])
def test_a_rotation_that_old_and_new_have_not_both_signed_is_refused(signers: tuple[KeyFile, ...]) -> None:
    assert refused(resigned(rotation(), *signers)) == "SIGNATURE_MISSING"


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_chain_key_signs_its_own_hand_over(name: str) -> None:
    document = rotation()
    chain = next(item for item in document["keys"] if item["purpose"] == "chain")
    other = next(item for item in rotation(STRANGER, NEW)["keys"] if item["purpose"] == "chain")
    chain["signatures"][name] = other["signatures"]["old"]

    assert refused(resigned(document, OLD, NEW)) == "SIGNATURE_INVALID"


def test_a_chain_hand_over_cannot_be_moved_to_another_organisation() -> None:
    document = rotation() | {"organization": OTHER}

    assert refused(resigned(document, OLD, NEW)) == "SIGNATURE_INVALID"


def test_one_key_alone_changes_under_the_word_of_the_document_key() -> None:
    only_sealing = KeyFile("new", document=OLD.document, chain=OLD.chain, sealing=NEW.sealing)
    document = rotation(OLD, only_sealing)

    key_documents.verify_rotation(document)
    assert [item["purpose"] for item in document["keys"]] == ["sealing"]
    assert len(document["proof"]) == 1
    assert refused(resigned(document, STRANGER)) == "SIGNATURE_MISSING"


def test_the_card_must_be_the_new_ones() -> None:
    document = rotation()
    document["card"] = STRANGER.card(created=AT)

    assert refused(resigned(document, OLD, NEW, STRANGER)) == "DOCUMENT_INVALID"


def test_nothing_rotates_onto_itself() -> None:
    assert refused((OLD, OLD), lambda pair: rotation(*pair)) == "DOCUMENT_INVALID"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "hengshu/key-rotation/v2"},
        {"organization": "Fund A"},
        {"keys": []},
        {"card": None},
        {"nonce": "00"},
        {"extra": 1},
    ],
)
def test_a_rotation_has_a_closed_form(change: dict[str, Any]) -> None:
    assert refused(resigned(rotation() | change, OLD, NEW)) == "DOCUMENT_INVALID"


@pytest.mark.parametrize("purpose", [Purpose.LOG, Purpose.WITNESS])
def test_logs_and_witnesses_hand_over_by_two_signatures(purpose: Purpose) -> None:
    vkey = notes.vkey if purpose is Purpose.LOG else cosignatures.vkey
    old = (vkey(ORIGIN, OLD.document.public_key()), OLD.document)
    new = (vkey(ORIGIN, NEW.document.public_key()), NEW.document)
    document = key_documents.rotate_ed25519(purpose=purpose, organization=ORG, old=old, new=new, created=NOW)

    key_documents.verify_rotation(document)
    assert refused(resigned(document, OLD)) == "SIGNATURE_MISSING"
    assert refused(resigned(document, NEW)) == "SIGNATURE_MISSING"


@pytest.mark.parametrize("by", [OLD.document, OLD.chain, STRANGER.document], ids=["itself", "chain key", "exchange"])
def test_a_revocation_is_signed_by_the_key_it_names_as_its_author(by: Any) -> None:
    document = key_documents.revoke(
        organization=ORG, keys=[("document", OLD.document_key)], reason="compromised", by=by, created=NOW
    )

    key_documents.verify_revocation(document)
    assert key_documents.revoked_by_itself(document) is (by is OLD.document)
    assert refused(document | {"reason": "lost"}, key_documents.verify_revocation) == "SIGNATURE_INVALID"
    other = key_documents.revoke(
        organization=ORG, keys=[("document", OLD.document_key)], reason="compromised", by=NEW.chain, created=NOW
    )
    claimed = copy.deepcopy(other) | {"revoked_by": document["revoked_by"]}
    assert refused(claimed, key_documents.verify_revocation) in {"SIGNATURE_INVALID", "DOCUMENT_INVALID"}


def test_a_chain_key_withdraws_itself() -> None:
    document = key_documents.revoke(
        organization=ORG, keys=[("chain", OLD.chain_address.lower())], reason="compromised", by=OLD.chain, created=NOW
    )

    assert key_documents.revoked_by_itself(document)


def test_a_key_has_one_digest_however_its_address_is_spelt() -> None:
    assert key_documents.key_digest(OLD.chain_address) == key_documents.key_digest(OLD.chain_address.lower())
    assert key_documents.key_digest(OLD.document_key) != key_documents.key_digest(NEW.document_key)
    # SHA-256 of the text as it stands, so that anybody can make it with a stock tool
    assert key_documents.key_digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
