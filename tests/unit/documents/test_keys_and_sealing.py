"""Key files and sealed parts."""

import json

import pytest

from compute.protocol import keyfiles, sealing
from compute.protocol.keyfiles import KeyFileInvalid
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

INFO = sealing.part_context(job_digest="ab" * 32, rank=0)


def test_a_part_opens_for_its_recipient_in_its_context_only():
    bank, other = keyfiles.generate("bank"), keyfiles.generate("other")
    sealed = sealing.seal("结果".encode(), recipient=bank.sealing_key, info=INFO)

    assert sealing.open_sealed(sealed, key=bank.sealing, info=INFO) == "结果".encode()
    attempts = [
        (sealed, other.sealing, INFO),
        (sealed, bank.sealing, sealing.part_context(job_digest="ab" * 32, rank=1)),
        (sealed, bank.sealing, sealing.part_context(job_digest="ac" * 32, rank=0)),
        (sealed[:-1], bank.sealing, INFO),
        (sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:], bank.sealing, INFO),
        (b"", bank.sealing, INFO),
    ]
    for ciphertext, key, info in attempts:
        with pytest.raises(VerificationError) as refusal:
            sealing.open_sealed(ciphertext, key=key, info=info)
        assert refusal.value.code == "SEAL_INVALID"


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_file_gives_back_the_same_keys(tmp_path, passphrase):
    keys = keyfiles.generate("澄江市住房公积金中心")
    keyfiles.save(keys, tmp_path / "keys.json", passphrase=passphrase)

    loaded = keyfiles.load(tmp_path / "keys.json", passphrase=passphrase)

    assert loaded.card(created="2026-11-21T05:30:00Z") == keys.card(created="2026-11-21T05:30:00Z")
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_card_is_signed_by_the_key_it_names():
    card = keyfiles.generate("bank").card(created="2026-11-21T05:30:00Z")

    statements.verify(card, signers=[card["document_key"]])


def test_a_key_file_is_never_overwritten_nor_read_when_others_can_read_it(tmp_path):
    path = tmp_path / "keys.json"
    keyfiles.save(keyfiles.generate("bank"), path)
    before = path.read_bytes()

    with pytest.raises(KeyFileInvalid, match="never overwritten"):
        keyfiles.save(keyfiles.generate("bank"), path)
    assert path.read_bytes() == before
    path.chmod(0o640)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        keyfiles.load(path)


def test_wrong_passphrase_missing_file_and_junk_say_what_to_do(tmp_path):
    path = tmp_path / "keys.json"
    keyfiles.save(keyfiles.generate("bank"), path, passphrase="right")
    junk = tmp_path / "junk.json"
    junk.touch(mode=0o600)
    junk.write_text(json.dumps({"type": "hengshu/key-file/v9"}))

    for wrong, words in ((None, "HENGSHU_PASSPHRASE"), ("left", "does not open")):
        with pytest.raises(KeyFileInvalid, match=words):
            keyfiles.load(path, passphrase=wrong)
    with pytest.raises(KeyFileInvalid, match="keys new"):
        keyfiles.load(tmp_path / "none.json")
    with pytest.raises(KeyFileInvalid, match="not a Hengshu key file"):
        keyfiles.load(junk)


def test_no_private_half_shows_in_a_representation():
    keys = keyfiles.generate("bank")

    assert keys.chain.to_hex() not in repr(keys)
    assert "PrivateKey" not in repr(keys)


def test_the_address_of_a_known_key():
    # The first account of every development chain: a published private key and its address.
    import coincurve

    known = coincurve.PrivateKey.from_hex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")

    assert keyfiles.chain_address(known.public_key) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
