"""The page's own program opens exactly what the command line opens, and trusts no more; run here by node."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from compute.protocol import keyfiles, notices
from compute.protocol.notices import Batch
from ledger.proofs import statements
from ledger.proofs.errors import VerificationError
from tests.factories import notices as factory
from tests.factories import page_programs
from tests.factories.node import World

PROGRAM = """
import fs from "node:fs";
import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto;
const { belongs, generate, keyOf, open, seal } = await import("./js/hpke.js");
const { Untrusted, openBatch } = await import("./js/notices.js");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const { cases, card, sealed, info, recipient } = JSON.parse(fs.readFileSync(0, "utf8"));
const found = {};
for (const [name, { ref, statement, records, key }] of Object.entries(cases)) {
  let tried = 0;
  try {
    const batch = { ref, statement: bytes(statement), records: bytes(records) };
    const notices = await openBatch(batch, await keyOf(key), { onTried: (count) => { tried += count; } });
    found[name] = { notices, tried };
  } catch (error) { found[name] = error instanceof Untrusted ? "untrusted" : String(error); }
}
const made = await generate(), pair = await keyOf(card);
const opened = await open(bytes(sealed), pair, bytes(info));
const back = await seal(opened, Uint8Array.from(Buffer.from(recipient, "hex")), bytes(info));
console.log(JSON.stringify({
  found, opened: Buffer.from(opened).toString(), back: Buffer.from(back).toString("base64"),
  other: await open(bytes(sealed), pair, new Uint8Array(1)),
  belong: [await belongs(made), await belongs({ ...made, public_key: card.public_key })],
}));
"""


def _sent(batch: Batch, key: dict[str, Any]) -> dict[str, Any]:
    statement, records = (base64.b64encode(data).decode() for data in (batch.statement, batch.records))
    return {"ref": batch.ref, "statement": statement, "records": records, "key": key}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Batch], dict[str, Any], dict[str, Any]]:
    """Batches by name, the person's card, and what the program said of everything."""
    world = World(Path(tmp_path_factory.mktemp("world")))
    contract = factory.scoring_contract(world)
    signed = factory.signed_statement(world, contract, factory.scoring_request(world, contract))
    mine, stranger, keys = factory.card(), factory.card(), keyfiles.generate("stranger")
    good, digests = notices.make(signed, ["", mine["public_key"], mine["public_key"]])
    other = notices.make(signed, [mine["public_key"]])[0]
    forged = statements.sign(statements.unsigned(signed), key=keys.document, created=signed["at"])
    batches = {
        "good": good,
        "of somebody else": good,
        "two statements": Batch(good.ref, other.statement, good.records),
        "changed": Batch(good.ref, good.statement[:-1] + bytes([good.statement[-1] ^ 1]), good.records),
        "another token": Batch(good.ref, good.statement, good.records.replace(bytes.fromhex(digests[1]), bytes(32))),
        "forged": notices.make(forged, [mine["public_key"]])[0],
        "unsigned": notices.make(statements.unsigned(signed), [mine["public_key"]])[0],
    }
    place = page_programs.lay_out(tmp_path_factory.mktemp("browser"), PROGRAM)
    public = X25519PublicKey.from_public_bytes(bytes.fromhex(mine["public_key"]))
    sent = {
        "cases": {
            name: _sent(batch, stranger if name == "of somebody else" else mine) for name, batch in batches.items()
        },
        "card": mine,
        "recipient": mine["public_key"],
        "info": base64.b64encode(b"info").decode(),
        "sealed": base64.b64encode(notices._HPKE.encrypt(b"hello", public, b"info")).decode(),
    }
    return batches, mine, page_programs.run(place, sent)


def test_the_page_opens_what_the_command_line_opens(cases: Any) -> None:
    batches, mine, said = cases
    expected = notices.open_batch(batches["good"], key=notices.card_key(mine))
    assert len(expected) == 2
    assert said["found"]["good"] == {
        "notices": [{"statement": one.statement, "token": one.token.hex()} for one in expected],
        "tried": 64,
    }
    assert said["found"]["of somebody else"] == {"notices": [], "tried": 64}


@pytest.mark.parametrize("name", ["two statements", "changed", "another token", "forged", "unsigned"])
def test_the_page_trusts_no_more_than_the_command_line(cases: Any, name: str) -> None:
    batches, mine, said = cases
    assert said["found"][name] == "untrusted"
    with pytest.raises(VerificationError):
        notices.open_batch(batches[name], key=notices.card_key(mine))


def test_sealing_is_the_same_on_both_sides(cases: Any) -> None:
    _, mine, said = cases
    assert (said["opened"], said["other"]) == ("hello", None)
    assert notices._HPKE.decrypt(base64.b64decode(said["back"]), notices.card_key(mine), b"info") == b"hello"
    assert said["belong"] == [True, False]
