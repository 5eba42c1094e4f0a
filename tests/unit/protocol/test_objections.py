"""Objections and answers as documents: sealed to one reader, bound to one place, of two lengths only."""

from datetime import UTC, datetime
from typing import Any

import pytest

from compute.protocol import keyfiles, notices, objections, shapes
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
AGENCY, OTHER = "urn:hengshu:org:01JD000000000000000000000F", "urn:hengshu:org:01JD000000000000000000000C"
RUN, SECOND_RUN = (f"urn:hengshu:computation:01JD000000000000000000000{letter}" for letter in "AB")
FILED, OTHER_FILED = (f"urn:hengshu:objection:01JD000000000000000000000{letter}" for letter in "AB")
TOKEN, OTHER_TOKEN = bytes(range(16)), bytes(range(1, 17))
KEYS = keyfiles.generate("agency")
CARD = notices.new_card(created=NOW)


def objection(**changed: Any) -> dict[str, Any]:
    given = {
        "computation": RUN,
        "organization": AGENCY,
        "identifier": "990101198001010017",
        "disputed": "缴存月数有误。",
        "answer_key": CARD["public_key"],
        "created": NOW,
    }
    return objections.objection(**{**given, **changed})


def sealed(**changed: Any) -> bytes:
    return objections.seal_objection(objection(**changed), token=TOKEN, recipient=KEYS.sealing_key)


def opened(data: bytes, **changed: Any) -> dict[str, Any]:
    given = {"token_digest": notices.token_digest(TOKEN), "computation": RUN, "organization": AGENCY}
    return objections.open_objection(data, key=KEYS.sealing, **{**given, **changed})


def answered(*, text: str = "已更正为 36 个月。", **changed: Any) -> bytes:
    given = {"objection": FILED, "organization": AGENCY, "outcome": "corrected", "text": text, "created": NOW}
    signed = statements.sign(
        objections.answer(**{**given, **changed}), key=KEYS.document, created=shapes.write_time(NOW)
    )
    return objections.seal_answer(signed, to=CARD["public_key"], token_digest=notices.token_digest(TOKEN))


def read(data: bytes, **changed: Any) -> dict[str, Any]:
    given = {"objection": FILED, "token": TOKEN, "card": CARD, "signers": [KEYS.document_key]}
    return objections.open_answer(data, **{**given, **changed})


def test_the_provider_reads_what_the_person_wrote_and_nothing_of_the_token() -> None:
    found = opened(sealed())

    assert found == objection()
    assert TOKEN.hex() not in str(found)


@pytest.mark.parametrize(
    "changed",
    [
        {"token_digest": notices.token_digest(OTHER_TOKEN)},
        {"organization": OTHER},
        {"computation": SECOND_RUN},
        {"key": keyfiles.generate("other").sealing},
    ],
    ids=["another token", "another provider", "another run", "another key"],
)
def test_an_objection_opens_in_its_own_place_only(changed: dict[str, Any]) -> None:
    given = {
        "token_digest": notices.token_digest(TOKEN),
        "computation": RUN,
        "organization": AGENCY,
        "key": KEYS.sealing,
    }

    with pytest.raises((VerificationError, shapes.DocumentInvalid)):
        objections.open_objection(sealed(), **{**given, **changed})


@pytest.mark.parametrize(("length", "size"), [(1, 2_096), (300, 2_096), (700, 16_432), (2_000, 16_432)])
def test_lengths_say_almost_nothing(length: int, size: int) -> None:
    text = "长" * length

    assert len(sealed(disputed=text)) == size
    assert len(answered(text=text)) == size
    assert opened(sealed(disputed=text))["disputed"] == text


@pytest.mark.parametrize(
    "changed",
    [
        {"disputed": ""},
        {"disputed": "  "},
        {"disputed": "x" * 2_001},
        {"disputed": "a\x00b"},
        {"identifier": ""},
        {"answer_key": "0" * 64},
        {"answer_key": "x" * 64},
        {"organization": RUN},
        {"computation": AGENCY},
    ],
)
def test_what_is_no_objection_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(shapes.DocumentInvalid):
        objection(**changed)


@pytest.mark.parametrize("data", [b"", b"\0" * 2_095, b"\0" * 20_000])
def test_bytes_of_another_length_are_refused(data: bytes) -> None:
    with pytest.raises(shapes.DocumentInvalid):
        objections.check_sealed(data)


def test_the_person_reads_the_signed_answer() -> None:
    found = read(answered())

    assert (found["outcome"], found["text"]) == ("corrected", "已更正为 36 个月。")


@pytest.mark.parametrize(
    "changed",
    [
        {"objection": OTHER_FILED},
        {"token": OTHER_TOKEN},
        {"card": notices.new_card(created=NOW)},
        {"signers": [keyfiles.generate("other").document_key]},
    ],
    ids=["another objection", "another token", "another card", "another signer"],
)
def test_an_answer_opens_for_its_objection_person_and_signer_only(changed: dict[str, Any]) -> None:
    with pytest.raises((VerificationError, shapes.DocumentInvalid)):
        read(answered(), **changed)


def test_the_same_objection_sealed_twice_has_nothing_in_common() -> None:
    first, again = sealed(), sealed()

    assert not {first[start : start + 16] for start in range(0, 2_096, 16)} & {
        again[start : start + 16] for start in range(0, 2_096, 16)
    }


def test_padding_that_says_something_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second text behind the first would be a way to tell two readers two things."""
    honest = objections._seal

    def smuggle(document: Any, *, key: Any, info: bytes) -> bytes:
        del document
        data = objections.canonical.encode(objection())
        plain = (len(data).to_bytes(4, "big") + data).ljust(2_047, b"\0") + b"x"
        return objections._HPKE.encrypt(plain, key, info)

    monkeypatch.setattr(objections, "_seal", smuggle)
    with pytest.raises(shapes.DocumentInvalid, match="framed"):
        opened(sealed())
    monkeypatch.setattr(objections, "_seal", honest)
    assert opened(sealed()) == objection()
