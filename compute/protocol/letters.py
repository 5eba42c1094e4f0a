"""The papers of a private look-up: the purpose letter, the list of approved persons, and two officers' release.

The *letter* stands in the request that the buyer signs: its number, batch, validity, and the officers with their
keys. It names nobody who is looked up. The *approved list* names those persons, is signed by one officer and never
leaves the requester's node; the request holds only its digest, and 32 random bytes in the list make that digest
worthless to somebody who tries names. A *release* is an officer's signature over the digest of the request, and so
over the letter and the list. Two of them, by two officers, are needed: both nodes check them before a key is used.

What this does not show: that a key belongs to the person whose name stands beside it. The buyer's signature over the
request vouches for that.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from compute.protocol import shapes
from compute.protocol.shapes import DocumentInvalid, refuse
from exchange.kernel.errors import DomainError
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

APPROVED_LIST, RELEASE = "hengshu/approved-list/v1", "hengshu/look-up-release/v1"
RELEASES_NEEDED = 2
MAX_PERSONS = 4096
_SALT_BYTES = 32

Document = dict[str, Any]

_OFFICER = shapes.members({"name": shapes.text(1, 100), "key": shapes.document_key})
LETTER = shapes.members(
    {
        "number": shapes.text(1, 100),
        "batch": shapes.text(1, 40),
        "issued": shapes.time,
        "expires": shapes.time,
        "officers": shapes.list_of(_OFFICER, low=RELEASES_NEEDED, high=8, distinct=True),
    }
)
_LIST = shapes.members(
    {
        "number": shapes.text(1, 100),
        "batch": shapes.text(1, 40),
        "salt": shapes.HEX64,
        "persons": shapes.list_of(shapes.text(1, 200), low=1, high=MAX_PERSONS),
    }
)
_RELEASE = shapes.members({"request_digest": shapes.HEX64, "officer": shapes.text(1, 100), "created": shapes.time})


class LetterInvalid(DomainError):
    """A paper of a look-up is missing, out of time, or not signed as it must be; `code` says which."""

    status = 409

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # LETTER_EXPIRED, RELEASE_MISSING or TARGET_NOT_APPROVED


def check_letter(letter: Mapping[str, Any]) -> None:
    """What the shape cannot say: the times are in order and every officer has a key of his own."""
    if shapes.parse_time(letter["issued"]) >= shapes.parse_time(letter["expires"]):
        raise refuse("parameters.letter.expires", "must be later than issued")
    if len({officer["key"] for officer in letter["officers"]}) != len(letter["officers"]):
        raise refuse("parameters.letter.officers", "must have a key each")


def check_valid(letter: Mapping[str, Any], *, now: datetime) -> None:
    """The letter counts now; LetterInvalid LETTER_EXPIRED."""
    if not shapes.parse_time(letter["issued"]) <= now < shapes.parse_time(letter["expires"]):
        raise LetterInvalid("LETTER_EXPIRED", "The purpose letter does not count at this time; ask for a new one.")


def approved_list(letter: Mapping[str, Any], persons: Iterable[str], *, salt: bytes | None = None) -> Document:
    """The unsigned list of those who may be looked up under a letter, officials and families alike."""
    document = {
        "type": APPROVED_LIST,
        "number": letter["number"],
        "batch": letter["batch"],
        "salt": (salt or secrets.token_bytes(_SALT_BYTES)).hex(),
        "persons": sorted(set(persons)),
    }
    _check(document, APPROVED_LIST, _LIST)
    return document


def approved_persons(document: Any, *, letter: Mapping[str, Any], digest: str) -> frozenset[str]:
    """The persons of the list that the request commits to, once its digest, letter and one officer's signature hold.

    Raises:
        LetterInvalid: TARGET_NOT_APPROVED.
    """
    try:
        _check(document, APPROVED_LIST, _LIST)
        same = document["number"] == letter["number"] and document["batch"] == letter["batch"]
        if not same or statements.digest(document) != digest or not _signers(document, letter):
            raise refuse("document", "is not the list of the request")
    except DocumentInvalid:
        raise LetterInvalid(
            "TARGET_NOT_APPROVED", "The approved list of the request is missing or not signed by an officer."
        ) from None
    return frozenset(document["persons"])


def release(request: Mapping[str, Any], *, officer: str, created: datetime) -> Document:
    """The unsigned release of one request by one officer."""
    document = {
        "type": RELEASE,
        "request_digest": statements.digest(request),
        "officer": officer,
        "created": shapes.write_time(created),
    }
    _check(document, RELEASE, _RELEASE)
    return document


def check_releases(documents: Any, *, request: Mapping[str, Any]) -> None:
    """Two different officers of the letter have signed the release of exactly this request.

    Raises:
        LetterInvalid: RELEASE_MISSING.
    """
    letter, digest = request["parameters"]["letter"], statements.digest(request)
    found: set[str] = set()
    for document in documents[: len(letter["officers"])] if isinstance(documents, list) else ():
        try:
            _check(document, RELEASE, _RELEASE)
        except DocumentInvalid:
            continue
        if document["request_digest"] == digest:
            found.update(_signers(document, letter))
    if len(found) < RELEASES_NEEDED:
        raise LetterInvalid("RELEASE_MISSING", "Two officers of the letter have to release this request.")


def _signers(document: Mapping[str, Any], letter: Mapping[str, Any]) -> list[str]:
    """The officers' keys that have signed; a signature by anybody else counts for nothing."""
    keys: Sequence[str] = [officer["key"] for officer in letter["officers"]]
    found = []
    for key in keys:
        try:
            statements.verify(document, signers=[key])
        except VerificationError:
            continue
        found.append(key)
    return found


def _check(document: Any, kind: str, shape: shapes.Shape) -> None:
    if not isinstance(document, dict) or document.get("type") != kind:
        raise refuse("type", f"must be {kind}")
    shape({name: value for name, value in document.items() if name not in ("type", "proof")}, "")
