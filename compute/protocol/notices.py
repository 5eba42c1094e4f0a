"""Notices to data subjects: in every run over persons' rows, one sealed notice for each, which only that person opens.

A person makes a *card*, an X25519 key pair, and gives the public half to the buyer, whose table has it in the column
`notice_key`. The buyer's node makes a *batch* for each run:

    statement   who, when, for what purpose, from which providers, and their keys: signed by the buyer's node, then
                encrypted under a key drawn for this batch, after 32 bytes that commit to that key
    records     one of 128 bytes for each row: HPKE to the row's card of (the statement's key, a token), 96 bytes, then
                SHA-256 of the token

Rows without a card, and places up to the next power of two (at least 64), hold records sealed to keys that nobody has;
then all are shuffled. Whoever keeps the batch learns the padded number of rows, which every party of the run knows, and
neither who, nor which records are real. HPKE with X25519 does not tell for which key a text was sealed.

The *objection token* is 16 random bytes: it proves that somebody has opened a record of this batch and says nothing
about the person, and neither does its digest. The commitment keeps a node from showing different statements to
different persons of one batch, which AES-GCM alone would allow.

Sources: RFC 9180 (HPKE); Dodis et al., Fast Message Franking, CRYPTO 2018, for the commitment. AES-256-GCM and not
ChaCha20-Poly1305, because WebCrypto has no other that both sides know: cards are opened in a browser, too.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from compute.protocol import documents, operations, shapes
from compute.protocol.shapes import HEX32, HEX64, DocumentInvalid, refuse
from compute.protocol.terms import buyer, party
from ledger.proofs import canonical, merkle, statements
from ledger.proofs.errors import VerificationError

SUITE = "HPKE-X25519-HKDF-SHA256-AES-256-GCM/v1"
CARD, STATEMENT = "hengshu/notice-card/v1", "hengshu/subject-notice/v1"
KEY_COLUMN = "notice_key"
TOKEN_BYTES = 16
SEALED_BYTES = 96  # an ephemeral key, statement key and token, and the tag
RECORD_BYTES = SEALED_BYTES + 32
MIN_RECORDS, MAX_RECORDS = 64, 1 << 17
CHUNK_RECORDS = 1 << 13  # one megabyte: what a node sends at once and a reader fetches at once
STATEMENT_STEP = 4096  # sealed statements grow by this much only
MAX_STATEMENT_BYTES = 64 * 1024

Document = dict[str, Any]

_HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_KEY_BYTES = 32
_NONCE = bytes(12)  # each statement has a key of its own
_WAIT_EVERY = 256
_PROBE = X25519PrivateKey.from_private_bytes(b"\x01" * 32)  # any key will do: points of low order fail with each
_NAME = shapes.text(1, 200)
_PARTY: Mapping[str, shapes.Shape] = {
    "organization": shapes.urn("org"),
    "name_zh": _NAME,
    "name_en": _NAME,
    "document_key": shapes.document_key,
    "sealing_key": shapes.SEALING_KEY,
    "columns": shapes.list_of(shapes.COLUMN, high=256, distinct=True),
}
_CARD = shapes.members({"created": shapes.time, "public_key": HEX64, "private_key": HEX64})
_STATEMENT = shapes.members(
    {
        "batch": HEX32,
        "computation": shapes.urn("computation"),
        "contract": shapes.urn("contract"),
        "contract_number": shapes.text(1, 60),
        "at": shapes.time,
        "operation": shapes.SLUG,
        "title_zh": _NAME,
        "title_en": _NAME,
        "purpose": shapes.members(
            {
                "code": shapes.SLUG,
                "scenario_zh": shapes.text(0, 2000),
                "scenario_en": shapes.text(0, 4000),
                "legal_basis": shapes.text(1, 400),
            }
        ),
        "buyer": shapes.members({**_PARTY}),
        "providers": shapes.list_of(shapes.members({**_PARTY}), low=1, high=16),
        "model_version": shapes.text(0, 100),
    }
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What leaves the buyer's node for one run.

    Args:
        ref: 32 hex digits, drawn for this batch; statement: sealed; records: RECORD_BYTES each, one after the other.
    """

    ref: str
    statement: bytes
    records: bytes

    @property
    def count(self) -> int:
        """How many records, real or not."""
        return len(self.records) // RECORD_BYTES

    @property
    def root(self) -> str:
        """The Merkle root over the reference with the statement, then each record."""
        first = merkle.leaf_hash(bytes.fromhex(self.ref) + self.statement)
        return merkle.root([first, *(merkle.leaf_hash(record) for record in split(self.records))]).hex()

    def reported(self) -> Document:
        """What the node's signed report says of the batch."""
        return {"batch": self.ref, "count": self.count, "root": self.root, "suite": SUITE}

    def chunks(self) -> list[bytes]:
        """The records in pieces of CHUNK_RECORDS."""
        size = CHUNK_RECORDS * RECORD_BYTES
        return [self.records[start : start + size] for start in range(0, len(self.records), size)]


@dataclass(frozen=True, slots=True)
class Found:
    """A notice that was for this card: the statement, signed by its buyer's key, and the token to object with."""

    statement: Document
    token: bytes


# --- the person's card --------------------------------------------------------------------------------------


def new_card(*, created: datetime) -> Document:
    """A fresh card; its `public_key` is what the buyer is given, the whole of it stays with the person."""
    key = X25519PrivateKey.generate()
    document = {
        "type": CARD,
        "created": shapes.write_time(created),
        "public_key": key.public_key().public_bytes_raw().hex(),
        "private_key": key.private_bytes_raw().hex(),
    }
    card_key(document)
    return document


def card_key(document: Any) -> X25519PrivateKey:
    """The key of a card; DocumentInvalid unless it is one whose halves belong together."""
    documents.check_object(document, CARD, _CARD)
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(document["private_key"]))
    if key.public_key().public_bytes_raw().hex() != document["public_key"]:
        raise refuse("public_key", "is not the public half of private_key")
    return key


def is_key(text: str) -> bool:
    """Whether a cell of `notice_key` can be sealed to: 64 lower-case hex digits, and not a point of low order."""
    try:
        HEX64(text, KEY_COLUMN)
        _PROBE.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(text)))
    except (DocumentInvalid, ValueError):
        return False
    return True


# --- the buyer's node -----------------------------------------------------------------------------------------


def statement(*, batch: str, request: Mapping[str, Any], terms: Mapping[str, Any], at: datetime) -> Document:
    """The unsigned statement of one run, from its request and contract."""
    parameters, operation = request["parameters"], operations.get(request["operation"])
    asker = buyer(terms)
    document = {
        "type": STATEMENT,
        "batch": batch,
        "computation": request["id"],
        "contract": terms["id"],
        "contract_number": terms["number"],
        "at": shapes.write_time(at),
        "operation": operation.code,
        "title_zh": operation.title_zh,
        "title_en": operation.title_en,
        "purpose": {name: terms["purpose"][name] for name in ("code", "scenario_zh", "scenario_en", "legal_basis")},
        "buyer": _named(asker, [*parameters.get("own", []), *([parameters["label"]] if "label" in parameters else [])]),
        "providers": [
            _named(party(terms, item["provider"]) or {}, operation.columns(parameters, item["provider"]))
            for item in operation.objects(terms, parameters)
        ],
        "model_version": str(parameters.get("model", {}).get("version", "")),
    }
    check_statement(document)
    return document


def check_statement(document: Any) -> None:
    """Check the shape of a statement, signed or not."""
    documents.check_object(document, STATEMENT, _STATEMENT, max_bytes=MAX_STATEMENT_BYTES - STATEMENT_STEP)


def padded(rows: int) -> int:
    """How many records stand for so many rows: the next power of two, at least MIN_RECORDS."""
    return max(MIN_RECORDS, 1 << max(0, rows - 1).bit_length())


def make(
    signed: Mapping[str, Any], keys: Sequence[str], *, wait: Callable[[], None] = lambda: None
) -> tuple[Batch, list[str]]:
    """Seal a signed statement to everybody's card.

    Args:
        keys: one for each row of the buyer's table, in its order; empty, or not a key, where a row has none.
        wait: called between some hundred records; may raise.
    Returns: the batch, and each row's token digest, which the buyer's node keeps and tells nobody.
    """
    ref, key = signed["batch"], secrets.token_bytes(_KEY_BYTES)
    sealed = _seal_statement(canonical.encode(dict(signed)), key=key, ref=ref)
    made, digests, info = [], [], _info(ref)
    for number in range(padded(len(keys))):
        if number % _WAIT_EVERY == 0:
            wait()
        token = secrets.token_bytes(TOKEN_BYTES)
        digest = hashlib.sha256(token).digest()
        made.append(_seal(key + token, to=keys[number] if number < len(keys) else "", info=info) + digest)
        digests.append(digest.hex())
    secrets.SystemRandom().shuffle(made)
    return Batch(ref, sealed, b"".join(made)), digests[: len(keys)]


# --- the person -----------------------------------------------------------------------------------------------


def open_batch(
    batch: Batch, *, key: X25519PrivateKey, progress: Callable[[int], None] = lambda done: None
) -> list[Found]:
    """Every notice of a batch that was sealed to this card; none is the usual answer.

    Args:
        progress: called with the records tried so far.
    Raises:
        VerificationError: `NOTICE_INVALID`, a record was for this card and its statement is not what it must be.
    """
    found, info = [], _info(batch.ref)
    for number, record in enumerate(split(batch.records), start=1):
        if number % _WAIT_EVERY == 0:
            progress(number)
        try:
            opened = _HPKE.decrypt(record[:SEALED_BYTES], key, info)
        except (InvalidTag, ValueError):
            continue
        token = opened[_KEY_BYTES:]
        if hashlib.sha256(token).digest() != record[SEALED_BYTES:]:
            raise _invalid("its token is not the one that the exchange keeps the digest of")
        found.append(_read_statement(batch, opened[:_KEY_BYTES], token))
    return found


def token_digest(token: bytes) -> str:
    """SHA-256 of an objection token as 64 hex digits: the exchange knows the batch by it, and nothing of the person."""
    return hashlib.sha256(token).hexdigest()


def parse_token(text: Any) -> bytes:
    """Read an objection token; DocumentInvalid unless it is 32 lower-case hex digits."""
    HEX32(text, "token")
    return bytes.fromhex(text)


def split(records: bytes) -> Iterator[bytes]:
    """The records one by one."""
    for start in range(0, len(records), RECORD_BYTES):
        yield records[start : start + RECORD_BYTES]


def digests(records: bytes) -> list[str]:
    """The token digest of each record, as hex."""
    return [record[SEALED_BYTES:].hex() for record in split(records)]


# --- inside ---------------------------------------------------------------------------------------------------


def _named(found: Mapping[str, Any], columns: Sequence[str]) -> Document:
    return {**{name: found.get(name, "") for name in _PARTY}, "columns": list(columns)}


def _info(ref: str) -> bytes:
    return canonical.encode({"type": "hengshu/sealed-notice/v1", "suite": SUITE, "batch": ref})


def _seal(plaintext: bytes, *, to: str, info: bytes) -> bytes:
    """Sealed to a card; to nobody where the text is no key, so that a row's content never ends a run."""
    try:
        HEX64(to, KEY_COLUMN)
        return _HPKE.encrypt(plaintext, X25519PublicKey.from_public_bytes(bytes.fromhex(to)), info)
    except (DocumentInvalid, ValueError):
        return _HPKE.encrypt(secrets.token_bytes(len(plaintext)), X25519PrivateKey.generate().public_key(), info)


def _commitment(key: bytes) -> bytes:
    return hashlib.sha256(b"hengshu/notice-key/v1" + key).digest()


def _seal_statement(plaintext: bytes, *, key: bytes, ref: str) -> bytes:
    whole = len(plaintext).to_bytes(4, "big") + plaintext
    whole += bytes(-len(whole) % STATEMENT_STEP)
    return _commitment(key) + AESGCM(key).encrypt(_NONCE, whole, bytes.fromhex(ref))


def _read_statement(batch: Batch, key: bytes, token: bytes) -> Found:
    if batch.statement[:32] != _commitment(key):
        raise _invalid("its key is not the one of the batch")
    try:
        whole = AESGCM(key).decrypt(_NONCE, batch.statement[32:], bytes.fromhex(batch.ref))
        document = documents.parse(whole[4 : 4 + int.from_bytes(whole[:4], "big")], max_bytes=MAX_STATEMENT_BYTES)
        check_statement(document)
        statements.verify(document, signers=[document["buyer"]["document_key"]])
    except (InvalidTag, DocumentInvalid, VerificationError):
        raise _invalid("its statement cannot be read, or is not signed by its buyer") from None
    if document["batch"] != batch.ref:
        raise _invalid("its statement is of another batch")
    return Found(document, token)


def _invalid(problem: str) -> VerificationError:
    return VerificationError("NOTICE_INVALID", f"a notice was for this card, but {problem}")
