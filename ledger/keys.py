"""The exchange's own keys as the ledger uses them: read from their files, and again when a file is replaced.

So a rotation needs no restart: whoever signs next signs with the file that is in place.
"""

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from django.conf import settings

from compute.protocol import keyfiles
from compute.protocol.keyfiles import KeyFile
from ledger.errors import LogKeyDiffers
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


def log_mldsa_key() -> MLDSA44PrivateKey | None:
    """The log's second, post-quantum key; None where LOG_MLDSA_KEY_FILE names none.

    Raises:
        LogKeyDiffers: the file is not an ML-DSA-44 key in PEM, or others may read it.
    """
    if not settings.LOG_MLDSA_KEY_FILE:
        return None
    path = Path(settings.LOG_MLDSA_KEY_FILE)
    try:
        data, is_private = path.read_bytes(), not path.stat().st_mode & 0o077
        key = serialization.load_pem_private_key(data, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key, is_private = None, False
    if not isinstance(key, MLDSA44PrivateKey) or not is_private:
        raise LogKeyDiffers(
            "LOG_MLDSA_KEY_FILE does not name an ML-DSA-44 private key in PEM of mode 0600; correct or empty it."
        )
    return key


def log_mldsa_vkey(origin: str) -> str | None:
    """The vkey of that key for a log; None where there is none."""
    key = log_mldsa_key()
    return None if key is None else notes.vkey(origin, key.public_key())


def signed_checkpoint_file(number: int = 1) -> Path:
    """Where the last signed checkpoint of one log is kept outside the database: beside the log key."""
    path = Path(settings.LOG_KEY_FILE)
    suffix = "" if number == 1 else f"-{number}"
    return path.with_name(path.name.split(".", 1)[0] + suffix + ".checkpoint")


def install(new: Path, *, at: Path, keep_as: Path) -> None:
    """Put a key file in the place of another, which is kept under another name. Whole or not at all.

    Both lie in one directory, or the old one could not be linked beside itself.

    Idempotent: a file that is in place already stays, and nothing kept is overwritten.
    """
    if at.read_bytes() == new.read_bytes():
        return
    if not keep_as.exists():
        os.link(at, keep_as)
    descriptor, name = tempfile.mkstemp(dir=at.parent, prefix=f".{at.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(new.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(at)
    directory = os.open(at.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _load(path: str) -> KeyFile:
    try:
        found = Path(path).stat()
    except OSError:
        return keyfiles.load(Path(path))  # says what is wrong
    return _read(path, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=16)
def _read(path: str, _changed_ns: int, _inode: int) -> KeyFile:
    return keyfiles.load(Path(path))
