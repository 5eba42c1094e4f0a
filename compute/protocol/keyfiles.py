"""Key files: one organisation's three private keys, made and kept on its own machine.

Ed25519 signs documents and reports, secp256k1 signs on-chain grants and revocations, X25519 opens
sealed results. The exchange only ever sees the public card.
"""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coincurve
from Crypto.Hash import keccak
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from compute.protocol import sealing
from exchange.kernel.errors import DomainError
from ledger.proofs import multibase, statements

CARD_TYPE = "hengshu/key-card/v1"
_FILE_TYPE = "hengshu/key-file/v1"
_SCRYPT_N = 2**15  # about 0.1 s and 32 MiB: slow for a guesser, bearable at every start of a node


class KeyFileInvalid(DomainError):
    """The key file cannot be used as it is."""

    code = "KEY_FILE_INVALID"
    status = 400


@dataclass(frozen=True, slots=True, repr=False)
class KeyFile:
    """The private keys of one organisation; `repr` shows public halves only."""

    name: str
    document: Ed25519PrivateKey
    chain: coincurve.PrivateKey
    sealing: X25519PrivateKey

    def __repr__(self) -> str:
        return f"KeyFile({self.name!r}, {self.document_key})"

    @property
    def document_key(self) -> str:
        """did:key of the Ed25519 public half."""
        return multibase.did_key(self.document.public_key())

    @property
    def chain_address(self) -> str:
        """Checksummed Ethereum address (EIP-55) of the secp256k1 public half."""
        return chain_address(self.chain.public_key)

    @property
    def sealing_key(self) -> str:
        """X25519 public half as unpadded base64url."""
        return sealing.public_text(self.sealing.public_key())

    def card(self, *, created: str) -> statements.Document:
        """The public card to register at the exchange: public halves, signed by the document key."""
        card = {
            "type": CARD_TYPE,
            "name": self.name,
            "document_key": self.document_key,
            "chain_address": self.chain_address,
            "sealing_key": self.sealing_key,
            "created": created,
        }
        return statements.sign(card, key=self.document, created=created)


def generate(name: str) -> KeyFile:
    """Make three fresh keys from the operating system's randomness."""
    return KeyFile(
        name=name,
        document=Ed25519PrivateKey.generate(),
        chain=coincurve.PrivateKey(),
        sealing=X25519PrivateKey.generate(),
    )


def save(keys: KeyFile, path: Path, *, passphrase: str | None = None) -> None:
    """Write a new key file, readable by its owner only; an existing file is never overwritten.

    Raises:
        KeyFileInvalid: there is a file already.
    """
    secret = json.dumps(
        {
            "document": _b64(keys.document.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())),
            "chain": _b64(keys.chain.secret),
            "sealing": _b64(keys.sealing.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())),
        }
    ).encode()
    body: dict[str, Any] = {"type": _FILE_TYPE, "name": keys.name}
    if passphrase is None:
        body |= {"protection": "file-mode", "keys": _b64(secret)}
    else:
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        sealed = ChaCha20Poly1305(_derive(passphrase, salt)).encrypt(nonce, secret, keys.name.encode())
        body |= {
            "protection": "scrypt-chacha20poly1305",
            "salt": _b64(salt),
            "nonce": _b64(nonce),
            "keys": _b64(sealed),
        }
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileInvalid(f"{path} exists; keys are never overwritten, choose another name.") from None
    with os.fdopen(descriptor, "w") as file:
        json.dump(body, file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path, *, passphrase: str | None = None) -> KeyFile:
    """Read a key file that only its owner can read.

    Raises:
        KeyFileInvalid: missing, readable by others, wrong passphrase, or not a key file.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileInvalid(f"{path} can be read by other users; run: chmod 600 {path}")
        body = json.loads(path.read_text())
        if body["type"] != _FILE_TYPE:
            raise KeyError("type")  # noqa: TRY301 - one answer for every way not to be a key file
        secret = _unb64(body["keys"])
        if body["protection"] == "scrypt-chacha20poly1305":
            if passphrase is None:
                raise KeyFileInvalid(f"{path} needs its passphrase; set HENGSHU_PASSPHRASE.")
            derived = _derive(passphrase, _unb64(body["salt"]))
            secret = ChaCha20Poly1305(derived).decrypt(_unb64(body["nonce"]), secret, body["name"].encode())
        parts = json.loads(secret)
        return KeyFile(
            name=body["name"],
            document=Ed25519PrivateKey.from_private_bytes(_unb64(parts["document"])),
            chain=coincurve.PrivateKey(_unb64(parts["chain"])),
            sealing=X25519PrivateKey.from_private_bytes(_unb64(parts["sealing"])),
        )
    except FileNotFoundError:
        raise KeyFileInvalid(f"no key file at {path}; make one with: hengshu keys new") from None
    except InvalidTag:
        raise KeyFileInvalid(f"the passphrase does not open {path}.") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError):
        raise KeyFileInvalid(f"{path} is not a Hengshu key file.") from None


def chain_address(public_key: coincurve.PublicKey) -> str:
    """The EIP-55 checksummed address of a secp256k1 public key."""
    raw = keccak.new(digest_bits=256, data=public_key.format(compressed=False)[1:]).digest()[-20:].hex()
    mask = keccak.new(digest_bits=256, data=raw.encode()).hexdigest()
    return "0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(raw, mask, strict=False))


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=1).derive(passphrase.encode())


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
