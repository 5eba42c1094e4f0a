"""The papers of a private look-up: what counts, and what does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.protocol import letters, shapes
from ledger.proofs import multibase, statements

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
ONE, OTHER, STRANGER = (Ed25519PrivateKey.generate() for _ in range(3))
CREATED = shapes.write_time(NOW)


def _letter(**changed: Any) -> dict[str, Any]:
    officers = [{"name": str(n), "key": multibase.did_key(key.public_key())} for n, key in enumerate((ONE, OTHER))]
    return {
        "number": "15",
        "batch": "07",
        "issued": shapes.write_time(NOW),
        "expires": shapes.write_time(NOW + timedelta(days=1)),
        "officers": officers,
        **changed,
    }


def _request(**changed: Any) -> dict[str, Any]:
    return {"type": "hengshu/request/v1", "parameters": {"letter": _letter(), **changed}}


def _signed(document: dict[str, Any], *keys: Ed25519PrivateKey) -> dict[str, Any]:
    for key in keys:
        document = statements.sign(document, key=key, created=CREATED)
    return document


def test_a_letter_counts_from_issue_to_expiry() -> None:
    letters.check_letter(_letter())
    for moment, counts in ((NOW, True), (NOW - timedelta(seconds=1), False), (NOW + timedelta(days=1), False)):
        if counts:
            letters.check_valid(_letter(), now=moment)
            continue
        with pytest.raises(letters.LetterInvalid) as refused:
            letters.check_valid(_letter(), now=moment)
        assert refused.value.code == "LETTER_EXPIRED"


def test_two_officers_have_two_keys_and_times_are_in_order() -> None:
    officers = _letter()["officers"]
    with pytest.raises(shapes.DocumentInvalid):
        letters.check_letter(_letter(officers=[officers[0], {**officers[1], "key": officers[0]["key"]}]))
    with pytest.raises(shapes.DocumentInvalid):
        letters.check_letter(_letter(expires=shapes.write_time(NOW)))
    with pytest.raises(shapes.DocumentInvalid):
        letters.LETTER(_letter(officers=officers[:1]), "letter")


def _releases(request: dict[str, Any], *keys: Ed25519PrivateKey) -> list[dict[str, Any]]:
    return [_signed(letters.release(request, officer="x", created=NOW), key) for key in keys]


@pytest.mark.parametrize(
    "found",
    [
        [],
        None,
        [{}],
        _releases(_request(), ONE),
        _releases(_request(), ONE, ONE),
        _releases(_request(), ONE, STRANGER),
        _releases(_request(subjects=2), ONE, OTHER),
        [
            {**release, "request_digest": statements.digest(_request())}
            for release in _releases(_request(a=1), ONE, OTHER)
        ],
    ],
    ids=["none", "no list", "no release", "one", "one twice", "a stranger", "other request", "digest put in later"],
)
def test_two_releases_by_two_officers_or_none(found: Any) -> None:
    with pytest.raises(letters.LetterInvalid) as refused:
        letters.check_releases(found, request=_request())
    assert refused.value.code == "RELEASE_MISSING"
    letters.check_releases(_releases(_request(), ONE, OTHER), request=_request())
    letters.check_releases([_signed(_releases(_request(), ONE)[0], OTHER)], request=_request())


def test_the_list_is_the_one_committed_to_and_signed_by_an_officer() -> None:
    document = letters.approved_list(_letter(), ["b", "a", "a"])
    digest = statements.digest(document)
    assert letters.approved_persons(_signed(document, OTHER), letter=_letter(), digest=digest) == {"a", "b"}
    for bad, wanted, letter in (
        (document, digest, _letter()),  # unsigned
        (_signed(document, STRANGER), digest, _letter()),
        (_signed({**document, "persons": ["a", "b", "c"]}, ONE), digest, _letter()),
        (_signed(document, ONE), digest, _letter(batch="08")),
        (_signed(document, ONE), "0" * 64, _letter()),
        (None, digest, _letter()),
    ):
        with pytest.raises(letters.LetterInvalid) as refused:
            letters.approved_persons(bad, letter=letter, digest=wanted)
        assert refused.value.code == "TARGET_NOT_APPROVED"


def test_the_digest_of_a_list_cannot_be_guessed() -> None:
    """A7: trying names against the digest finds nothing; without the salt it would."""
    digest = statements.digest(letters.approved_list(_letter(), ["a"]))
    fixed = statements.digest(letters.approved_list(_letter(), ["a"], salt=bytes(32)))
    guesses = {statements.digest(letters.approved_list(_letter(), [name], salt=bytes(32))) for name in "abc"}
    assert digest not in guesses
    assert fixed in guesses
