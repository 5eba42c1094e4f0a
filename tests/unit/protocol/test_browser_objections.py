"""What the page's program seals the provider opens, and the page opens what the provider sealed; run here by node."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from compute.protocol import keyfiles, notices, objections, shapes
from ledger.proofs import statements
from tests.factories import page_programs

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ORG, OTHER = (f"urn:hengshu:org:01JD000000000000000000000{letter}" for letter in "FC")
RUN, URN = "urn:hengshu:computation:01JD000000000000000000000A", "urn:hengshu:objection:01JD000000000000000000000A"
TOKEN, IDENTIFIER = bytes(range(16)), "99010119800101001X"
TEXTS = {"short": "错。", "lines": '缴存月数有误。\n\tI paid for 36 months "not" 30 — €.', "long": "长" * 2_000}
PROGRAM = """
import fs from "node:fs";
import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto;
const { openAnswer, sealObjection } = await import("./js/objections.js");
const { common, texts, answers } = JSON.parse(fs.readFileSync(0, "utf8"));
const sealed = {}, opened = {};
for (const [name, disputed] of Object.entries(texts)) { sealed[name] = await sealObjection({ ...common, disputed }); }
for (const [name, given] of Object.entries(answers)) {
  try { opened[name] = await openAnswer({ ...common, ...given }); }
  catch (error) { opened[name] = error.code ?? String(error); }
}
console.log(JSON.stringify({ sealed, opened }));
"""


def answer(keys: keyfiles.KeyFile, to: str, *, organization: str = ORG, text: str = "已更正。") -> str:
    document = objections.answer(objection=URN, organization=organization, outcome="corrected", text=text, created=NOW)
    signed = statements.sign(document, key=keys.document, created=shapes.write_time(NOW))
    return base64.b64encode(objections.seal_answer(signed, to=to, token_digest=notices.token_digest(TOKEN))).decode()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[keyfiles.KeyFile, dict[str, Any], dict[str, Any]]:
    """The provider's keys, the person's card, and what the program said of everything."""
    keys, stranger, card = keyfiles.generate("agency"), keyfiles.generate("stranger"), notices.new_card(created=NOW)
    other = notices.new_card(created=NOW)["public_key"]
    good = {"sealed": answer(keys, card["public_key"]), "objection": URN}
    answers = {
        "good": good,
        "long": {**good, "sealed": answer(keys, card["public_key"], text="长" * 2_000)},
        "another objection": {**good, "objection": URN.replace("A", "B")},
        "another token": {**good, "token": "00" * 16},
        "another card": {**good, "sealed": answer(keys, other)},
        "another signer": {**good, "sealed": answer(stranger, card["public_key"])},
        "another organisation": {**good, "sealed": answer(keys, card["public_key"], organization=OTHER)},
        "another length": {**good, "sealed": base64.b64encode(bytes(100)).decode()},
    }
    provider = {"organization": ORG, "sealing_key": keys.sealing_key, "document_key": keys.document_key}
    common = {"statement": {"computation": RUN}, "token": TOKEN.hex(), "card": card, "provider": provider}
    place = page_programs.lay_out(tmp_path_factory.mktemp("browser"), PROGRAM)
    sent = {"common": {**common, "identifier": IDENTIFIER}, "texts": TEXTS, "answers": answers}
    return keys, card, page_programs.run(place, sent)


@pytest.mark.parametrize("name", list(TEXTS))
def test_the_provider_opens_what_the_page_sealed(said: Any, name: str) -> None:
    keys, card, found = said
    sealed = base64.b64decode(found["sealed"][name])

    document = objections.open_objection(
        sealed,
        token_digest=notices.token_digest(TOKEN),
        computation=RUN,
        organization=ORG,
        key=keys.sealing,
    )

    assert len(sealed) == objections.SEALED_SIZES[name == "long"]
    assert (document["identifier"], document["disputed"]) == (IDENTIFIER, TEXTS[name])
    assert document["answer_key"] == card["public_key"]


def test_the_page_opens_what_the_provider_sealed(said: Any) -> None:
    _, _, found = said

    assert [found["opened"][name]["text"] for name in ("good", "long")] == ["已更正。", "长" * 2_000]
    assert found["opened"]["good"]["outcome"] == "corrected"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("another objection", "SEAL_INVALID"),
        ("another token", "SEAL_INVALID"),
        ("another card", "SEAL_INVALID"),
        ("another signer", "SIGNATURE_MISSING"),
        ("another organisation", "SEAL_INVALID"),
        ("another length", "SEAL_INVALID"),
    ],
)
def test_the_page_trusts_no_more_than_the_command_line(said: Any, name: str, code: str) -> None:
    _, _, found = said

    assert found["opened"][name] == code
