"""The optional second line of a checkpoint: ML-DSA-44, for those who keep evidence longer than Ed25519 may last."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import transaction

from ledger import actions as ledger
from ledger import keys
from ledger.actions import log
from ledger.errors import LogKeyDiffers
from ledger.models import Checkpoint
from ledger.proofs import checkpoints, tlog_policy
from ledger.proofs.errors import VerificationError
from tests.factories.ledger import record

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.unit.ledger.urlconf")]


def pem(key: MLDSA44PrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def key_file(settings, tmp_path) -> Path:
    path = tmp_path / "log.mldsa.pem"
    path.write_bytes(pem(MLDSA44PrivateKey.generate()))
    path.chmod(0o600)
    settings.LOG_MLDSA_KEY_FILE = str(path)
    return path


def test_either_line_alone_convinces_who_knows_its_key(key_file):
    record(2)
    sealed = ledger.seal()
    second = keys.log_mldsa_vkey(sealed.log.origin)

    for vkey in (sealed.log.vkey, second):
        assert checkpoints.verify(sealed.note.encode(), keys=[vkey], origin=sealed.log.origin).size == 2
    broken = sealed.note.replace("\n2\n", "\n3\n", 1)
    with pytest.raises(VerificationError):
        checkpoints.verify(broken.encode(), keys=[second], origin=sealed.log.origin)


def test_a_stock_verifier_finds_both_keys_in_the_policy_file(client, key_file):
    record(1)
    sealed = ledger.seal()

    policy = tlog_policy.parse(client.get("/.well-known/tlog-policy").content)

    assert {one.vkey for one in policy.logs} == {sealed.log.vkey, keys.log_mldsa_vkey(sealed.log.origin)}
    assert policy.check(sealed.note).size == 1


def test_a_crash_between_file_and_commit_still_gives_one_note(key_file, monkeypatch):
    """The line is drawn by chance, so the note is taken from the file and not signed a second time."""
    record(1)
    create = Checkpoint.objects.create

    def crash(**values):
        raise RuntimeError("killed")

    log.sequence()
    monkeypatch.setattr(Checkpoint.objects, "create", crash)
    with pytest.raises(RuntimeError), transaction.atomic():
        log.sign()
    kept = keys.signed_checkpoint_file().read_text()
    monkeypatch.setattr(Checkpoint.objects, "create", create)

    assert log.sign().note == kept


@pytest.mark.parametrize("damage", ["another kind", "rubbish", "gone", "readable by others"])
def test_a_key_file_that_is_none_stops_signing_and_says_so(key_file, damage):
    record(1)
    if damage == "another kind":
        key_file.write_bytes(pem(Ed25519PrivateKey.generate()))
    elif damage == "rubbish":
        key_file.write_bytes(b"rubbish")
    elif damage == "gone":
        key_file.unlink()
    else:
        key_file.chmod(0o644)

    with pytest.raises(LogKeyDiffers, match="LOG_MLDSA_KEY_FILE"):
        ledger.seal()
    assert not Checkpoint.objects.exists()
