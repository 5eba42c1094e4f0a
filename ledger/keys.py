"""The exchange's own keys as the ledger uses them: read once for each process from their files."""

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from compute.protocol import keyfiles
from compute.protocol.keyfiles import KeyFile
from ledger.proofs import notes


def log_keys() -> KeyFile:
    """The log's keys: Ed25519 signs checkpoints, secp256k1 sends anchors."""
    return _load(str(settings.LOG_KEY_FILE))


def exchange_keys() -> KeyFile:
    """The exchange's keys: Ed25519 signs documents, secp256k1 sends direct chain records."""
    return _load(str(settings.EXCHANGE_KEY_FILE))


def log_vkey() -> str:
    """The vkey string under which the log's checkpoints verify."""
    return notes.vkey(settings.LOG_ORIGIN, log_keys().document.public_key())


def signed_checkpoint_file() -> Path:
    """Where the last signed checkpoint is kept outside the database: beside the log key."""
    path = Path(settings.LOG_KEY_FILE)
    return path.with_name(path.name.split(".", 1)[0] + ".checkpoint")


@lru_cache(maxsize=8)
def _load(path: str) -> KeyFile:
    return keyfiles.load(Path(path))
