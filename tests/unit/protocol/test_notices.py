"""Notices to data subjects: the person opens exactly its own, and nobody learns from a batch who is in it."""

import collections
import hashlib
from pathlib import Path
from typing import Any

import pytest

from compute.protocol import keyfiles, notices, operations
from compute.protocol.notices import Batch
from compute.protocol.shapes import DocumentInvalid
from ledger.proofs import merkle, statements
from ledger.proofs.errors import VerificationError
from tests.factories import notices as factory
from tests.factories.node import World


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World(Path(tmp_path_factory.mktemp("world")))
    contract = factory.scoring_contract(world)
    return factory.signed_statement(world, contract, factory.scoring_request(world, contract))


def test_whoever_is_scored_or_trained_on_is_notified() -> None:
    assert {code for code, one in operations.OPERATIONS.items() if one.notifies} == {
        "credit_scoring",
        "model_training",
        "two_party_scoring",
        "two_party_training",
    }


def test_each_person_opens_its_own_notice_and_nobody_else_does(signed: dict[str, Any]) -> None:
    mine, hers, stranger = factory.card(), factory.card(), factory.card()

    batch, digests = notices.make(signed, [mine["public_key"], "", hers["public_key"]])

    (found,) = notices.open_batch(batch, key=notices.card_key(mine))
    (other,) = notices.open_batch(batch, key=notices.card_key(hers))
    assert notices.open_batch(batch, key=notices.card_key(stranger)) == []
    assert found.statement == other.statement == signed
    assert [notices.token_digest(one.token) for one in (found, other)] == [digests[0], digests[2]]
    assert found.token != other.token
    assert len(digests) == 3


def test_the_statement_says_who_when_why_from_whom_and_by_which_model(signed: dict[str, Any]) -> None:
    assert signed["operation"] == "credit_scoring"
    assert signed["purpose"]["code"] == "credit_risk_statistics"
    assert signed["at"] == "2026-11-21T05:30:00Z"
    assert signed["model_version"] == "2026-11"
    assert [item["columns"] for item in signed["providers"]] == [["months", "consent_until", "consent_for"]] * 3
    assert "person_id" not in str(signed)


def test_the_statement_of_a_training_names_the_label_and_no_model(tmp_path: Path) -> None:
    world = World(tmp_path)
    contract = factory.scoring_contract(world)
    request = factory.scoring_request(world, contract)
    given = {name: request["parameters"][name] for name in ("input", "features", "own")}
    training = {**request, "operation": "model_training", "parameters": {**given, "label": "defaulted"}}

    signed = factory.signed_statement(world, contract, training)

    assert signed["operation"] == "model_training"
    assert signed["buyer"]["columns"] == [*given["own"], "defaulted"]
    assert signed["model_version"] == ""


@pytest.mark.parametrize(("rows", "records"), [(1, 64), (64, 64), (65, 128), (1000, 1024)])
def test_a_batch_has_the_padded_number_of_records(rows: int, records: int) -> None:
    assert notices.padded(rows) == records


def test_records_with_and_without_a_card_look_alike(signed: dict[str, Any]) -> None:
    """All of one size, none twice, no public key among them; the statement's size is a whole number of steps."""
    cards = [factory.card() for _ in range(20)]

    batch, _ = notices.make(signed, [card["public_key"] for card in cards])

    records = list(notices.split(batch.records))
    assert batch.count == len(records) == 64
    assert {len(record) for record in records} == {notices.RECORD_BYTES}
    assert len({part for record in records for part in (record[:32], record[32:96], record[96:])}) == 3 * 64
    assert all(bytes.fromhex(card["public_key"]) not in batch.records for card in cards)
    assert (len(batch.statement) - 48) % notices.STATEMENT_STEP == 0


def _place(batch: Batch, card: dict[str, Any]) -> int:
    key = notices.card_key(card)
    for number, record in enumerate(notices.split(batch.records)):
        if notices.open_batch(Batch(batch.ref, batch.statement, record), key=key):
            return number
    raise AssertionError("not in the batch")


def test_the_first_row_may_be_any_record(signed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sister: unshuffled, the first applicant's notice is the first record, and the dummies are the last."""
    card = factory.card()
    places = {_place(notices.make(signed, [card["public_key"]])[0], card) for _ in range(8)}
    assert len(places) > 1

    monkeypatch.setattr("secrets.SystemRandom.shuffle", lambda self, items: None)
    assert {_place(notices.make(signed, [card["public_key"]])[0], card) for _ in range(3)} == {0}


def test_the_number_of_applicants_shows_without_padding(
    signed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {notices.make(signed, [""] * rows)[0].count for rows in (3, 20, 37)}
    assert sizes == {64}

    monkeypatch.setattr(notices, "padded", lambda rows: rows)
    assert [notices.make(signed, [""] * rows)[0].count for rows in (3, 20, 37)] == [3, 20, 37]


@pytest.mark.parametrize("cell", ["", "x", "AB" * 32, "00" * 32, "01" + "00" * 31, "a" * 63])
def test_a_cell_that_is_no_key_makes_a_record_for_nobody(signed: dict[str, Any], cell: str) -> None:
    """Also a point of low order, whose shared secret everybody would know."""
    batch, digests = notices.make(signed, [cell])
    assert (batch.count, len(digests)) == (64, 1)
    assert not notices.is_key(cell)
    assert notices.is_key(factory.card()["public_key"])


def test_the_root_binds_statement_and_every_record(signed: dict[str, Any]) -> None:
    batch, _ = notices.make(signed, [])

    leaves = [bytes.fromhex(batch.ref) + batch.statement, *notices.split(batch.records)]
    assert batch.root == merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex()
    swapped = batch.records[notices.RECORD_BYTES :] + batch.records[: notices.RECORD_BYTES]
    others = {Batch("0" * 32, batch.statement, batch.records).root, Batch(batch.ref, b"", batch.records).root}
    assert batch.root not in {*others, Batch(batch.ref, batch.statement, swapped).root}


def test_chunks_put_together_are_the_records(signed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "CHUNK_RECORDS", 50)
    batch, _ = notices.make(signed, [])
    assert [len(chunk) // notices.RECORD_BYTES for chunk in batch.chunks()] == [50, 14]
    assert b"".join(batch.chunks()) == batch.records


def _opened(batch: Batch, card: dict[str, Any]) -> list[notices.Found]:
    return notices.open_batch(batch, key=notices.card_key(card))


def test_a_record_moved_to_another_batch_opens_for_nobody(signed: dict[str, Any]) -> None:
    card = factory.card()
    batch, _ = notices.make(signed, [card["public_key"]])
    assert _opened(Batch("0" * 32, batch.statement, batch.records), card) == []


def test_two_statements_for_one_batch_are_noticed(signed: dict[str, Any]) -> None:
    """A node that keeps another statement ready for some of the persons is found out by the commitment."""
    card = factory.card()
    batch, _ = notices.make(signed, [card["public_key"]])
    other, _ = notices.make(signed, [card["public_key"]])

    with pytest.raises(VerificationError, match="not the one of the batch"):
        _opened(Batch(batch.ref, other.statement, batch.records), card)


def test_a_changed_statement_or_token_digest_is_noticed(signed: dict[str, Any]) -> None:
    card = factory.card()
    batch, digests = notices.make(signed, [card["public_key"]])
    changed = batch.statement[:-1] + bytes([batch.statement[-1] ^ 1])
    with pytest.raises(VerificationError, match="cannot be read"):
        _opened(Batch(batch.ref, changed, batch.records), card)
    forged = batch.records.replace(bytes.fromhex(digests[0]), hashlib.sha256(b"other").digest())
    with pytest.raises(VerificationError, match="token"):
        _opened(Batch(batch.ref, batch.statement, forged), card)


@pytest.mark.parametrize("signer", ["nobody", "stranger"])
def test_a_statement_that_its_buyer_has_not_signed_is_no_notice(signed: dict[str, Any], signer: str) -> None:
    card, forged = factory.card(), {**signed, "proof": []}
    if signer == "stranger":
        forged = statements.sign(forged, key=keyfiles.generate("stranger").document, created=signed["at"])
    batch, _ = notices.make(forged, [card["public_key"]])
    with pytest.raises(VerificationError, match="signed"):
        _opened(batch, card)


def test_a_card_whose_halves_differ_is_refused() -> None:
    with pytest.raises(DocumentInvalid, match="public"):
        notices.card_key({**factory.card(), "public_key": factory.card()["public_key"]})
    with pytest.raises(DocumentInvalid):
        notices.card_key({**factory.card(), "name": "张三"})


@pytest.mark.parametrize("text", ["", "A" * 32, "0" * 31, None, 7])
def test_what_is_no_token_is_refused(text: Any) -> None:
    assert notices.parse_token("0f" * 16) == b"\x0f" * 16
    with pytest.raises(DocumentInvalid):
        notices.parse_token(text)


def test_bytes_of_records_are_even(signed: dict[str, Any]) -> None:
    """A rough look at 64 records: no byte value stands out, as it would where something lay in the clear."""
    batch, _ = notices.make(signed, [factory.card()["public_key"]] * 30)
    counts = collections.Counter(batch.records)
    assert max(counts.values()) < 3 * len(batch.records) / 256
