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


def revocation_keys() -> KeyFile:
    """The keys whose account sends revocations and voids; the exchange's own where it has no file for them.

    Anyone may carry a revocation: the owner's signature is inside. An account of its own keeps a stuck
    grant, whose nonce comes first, from holding it up.
    """
    path = Path(settings.REVOCATION_KEY_FILE)
    return _load(str(path)) if path.exists() else exchange_keys()


def log_vkey(origin: str = "") -> str:
    """The vkey string under which a log's checkpoints verify; the first log's unless told."""
    return notes.vkey(origin or settings.LOG_ORIGIN, log_keys().document.public_key())


def signed_checkpoint_file(number: int = 1) -> Path:
    """Where the last signed checkpoint of one log is kept outside the database: beside the log key."""
    path = Path(settings.LOG_KEY_FILE)
    suffix = "" if number == 1 else f"-{number}"
    return path.with_name(path.name.split(".", 1)[0] + suffix + ".checkpoint")


@lru_cache(maxsize=8)
def _load(path: str) -> KeyFile:
    return keyfiles.load(Path(path))
