"""Leaves: what one entry puts into the public log, a salted commitment and never the fact itself.

    {"v":1,"kind":…,"id":urn,"subject":urn,"issuer":urn,"prev":hex|null,"at":time,"commit":hex}

`prev` is the hash of the same subject's leaf before this one, so that the order of a thing's history is
provable whatever else lies between. `commit` is SHA-256 of a random salt and the canonical payload: a
payload with few possible values cannot be guessed, and erasing payload and salt leaves the tree whole.
"""

import hashlib
import re
from dataclasses import dataclass

from ledger.proofs import canonical
from ledger.proofs.errors import VerificationError

VERSION = 1
MIN_SALT_BYTES = 16
MAX_SALT_BYTES = 32
MAX_LEAF_BYTES = 4096  # tlog-tiles allows 65,535; ours hold digests only

_MEMBERS = {"v", "kind", "id", "subject", "issuer", "prev", "at", "commit"}
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_KIND = re.compile(r"[a-z_]+\.[a-z_]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The parts of a leaf; `data` are its exact bytes."""

    kind: str
    entry: str
    subject: str
    issuer: str
    prev: str | None
    at: str
    commit: str

    @property
    def data(self) -> bytes:
        """The canonical bytes that are hashed."""
        return write(
            kind=self.kind,
            entry=self.entry,
            subject=self.subject,
            issuer=self.issuer,
            prev=self.prev,
            at=self.at,
            commit=self.commit,
        )


def write(*, kind: str, entry: str, subject: str, issuer: str, prev: str | None, at: str, commit: str) -> bytes:
    """The canonical bytes of a leaf with these parts.

    Texts that JSON writes as they are, which ours all are, need no general writer; others get it.
    """
    texts = f"{kind}{entry}{subject}{issuer}{prev}{at}{commit}"
    if texts.isascii() and texts.isprintable() and '"' not in texts and "\\" not in texts:
        before = "null" if prev is None else f'"{prev}"'
        return (
            f'{{"at":"{at}","commit":"{commit}","id":"{entry}","issuer":"{issuer}",'
            f'"kind":"{kind}","prev":{before},"subject":"{subject}","v":{VERSION}}}'
        ).encode()
    members = {"kind": kind, "id": entry, "subject": subject, "issuer": issuer, "prev": prev, "at": at}
    return canonical.encode({"v": VERSION, "commit": commit, **members})


def parse(data: bytes) -> Leaf:
    """Read a leaf strictly; an unknown version, member or form fails.

    Raises:
        VerificationError: `LEAF_INVALID`, or what strict canonical JSON raises.
    """
    value = canonical.parse_canonical(data, max_bytes=MAX_LEAF_BYTES)
    if not isinstance(value, dict) or set(value) != _MEMBERS or value["v"] != VERSION or value["v"] is True:
        raise VerificationError("LEAF_INVALID", "not a leaf of version 1")
    texts = {name: value[name] for name in ("kind", "id", "subject", "issuer", "at", "commit")}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise VerificationError("LEAF_INVALID", "a member of the leaf is not a text")
    prev = value["prev"]
    if prev is not None and not (isinstance(prev, str) and _DIGEST.fullmatch(prev)):
        raise VerificationError("LEAF_INVALID", "`prev` is a digest or null")
    if not (_DIGEST.fullmatch(texts["commit"]) and _TIME.fullmatch(texts["at"]) and _KIND.fullmatch(texts["kind"])):
        raise VerificationError("LEAF_INVALID", "kind, time or commitment is malformed")
    return Leaf(
        kind=texts["kind"],
        entry=texts["id"],
        subject=texts["subject"],
        issuer=texts["issuer"],
        prev=prev,
        at=texts["at"],
        commit=texts["commit"],
    )


def commitment(payload: bytes, *, salt: bytes) -> str:
    """SHA-256 of salt and canonical payload, as hex."""
    if not MIN_SALT_BYTES <= len(salt) <= MAX_SALT_BYTES:
        raise VerificationError("COMMITMENT_INVALID", "a salt has 16 to 32 bytes")
    return hashlib.sha256(salt + payload).hexdigest()


def verify_opening(leaf: Leaf, *, payload: bytes, salt: bytes) -> None:
    """Check that the leaf's commitment opens to this payload.

    Salt and payload are hashed one after the other; the payload must begin with `{`, and its canonical
    form is checked by the caller, so that no byte can move from one to the other unseen.

    Raises:
        VerificationError: `COMMITMENT_INVALID`.
    """
    if not payload.startswith(b"{") or commitment(payload, salt=salt) != leaf.commit:
        raise VerificationError("COMMITMENT_INVALID", "the commitment does not open to this payload")
