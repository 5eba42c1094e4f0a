"""A witness's own keys: Ed25519 for every verifier there is, ML-DSA-44 as tlog-cosignature now advises.

The file is opened at every start without anybody present, so it has no passphrase: mode 0600 protects it.
A stolen key can cosign a wrong history; replace it, and take it out of the policies that name it.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger.proofs import cosignatures
from ledger.proofs.errors import VerificationError
from ledger.witness.errors import WitnessError

FILE_TYPE = "hengshu/witness-key/v1"


@dataclass(frozen=True, slots=True, repr=False)
class WitnessKeys:
    """A witness's name and private keys; `repr` shows the public halves only."""

    name: str
    ed25519: Ed25519PrivateKey
    mldsa44: MLDSA44PrivateKey | None = None

    def __repr__(self) -> str:
        return f"WitnessKeys({self.vkeys[0]!r})"

    @property
    def vkeys(self) -> tuple[str, ...]:
        """The public halves as policies name them, Ed25519 first."""
        return tuple(cosignatures.vkey(self.name, key.public_key()) for key in self._all())

    def cosign(self, text: str, *, at: int) -> tuple[str, ...]:
        """One signature line of each key over a checkpoint's text, without newlines.

        Args:
            at: POSIX time in seconds, at least 1: a witness always states it.
        """
        if at < 1:
            raise ValueError("a witness states the time")
        return tuple(cosignatures.sign(text, name=self.name, key=key, at=at) for key in self._all())

    def _all(self) -> Sequence[Ed25519PrivateKey | MLDSA44PrivateKey]:
        return (self.ed25519,) if self.mldsa44 is None else (self.ed25519, self.mldsa44)


def generate(name: str) -> WitnessKeys:
    """New keys under a name such as `witness.example/w1`; WitnessError when the name cannot be a key's."""
    made = WitnessKeys(name, Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    try:
        made.cosign(f"{name}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", at=1)
        parsed = [cosignatures.parse_vkey(vkey) for vkey in made.vkeys]
    except (VerificationError, UnicodeError):
        raise WitnessError(
            "The witness's name has 1 to 255 bytes and no spaces or plus signs, such as witness.example/w1.",
            zh="见证方名称为 1 至 255 字节，不含空格与加号，如 witness.example/w1。",
        ) from None
    assert all(key.name == name for key in parsed)  # noqa: S101
    return made


def save(keys: WitnessKeys, path: Path) -> None:
    """Write a new key file, mode 0600, on the disk when this returns; an existing one is never overwritten."""
    document = {"type": FILE_TYPE, "name": keys.name, "ed25519": _text(keys.ed25519.private_bytes_raw())}
    if keys.mldsa44 is not None:
        document["mldsa44"] = _text(keys.mldsa44.private_bytes_raw())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WitnessError(
            f"{path} exists; a witness keeps its key. Choose another directory for another witness.",
            zh=f"{path} 已存在；见证方应保留其密钥。另建见证方请换一个目录。",
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> WitnessKeys:
    """Read a key file; WitnessError when it is missing, damaged, or can be read by others."""
    try:
        if path.stat().st_mode & 0o077:
            raise WitnessError(
                f"{path} can be read by others; run: chmod 600 {path}",
                zh=f"{path} 可被他人读取；请运行：chmod 600 {path}",
            )
        document = json.loads(path.read_text(encoding="utf-8"))
        mldsa44 = document.get("mldsa44")
        document = document if document["type"] == FILE_TYPE else {}
        return WitnessKeys(
            name=str(document["name"]),
            ed25519=Ed25519PrivateKey.from_private_bytes(_bytes(document["ed25519"])),
            mldsa44=None if mldsa44 is None else MLDSA44PrivateKey.from_seed_bytes(_bytes(mldsa44)),
        )
    except OSError:
        raise WitnessError(f"{path} cannot be read.", zh=f"无法读取 {path}。") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WitnessError(
            f"{path} is not a witness's key file; restore it from its copy.",
            zh=f"{path} 不是见证方密钥文件；请用副本恢复。",
        ) from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
