"""The recorded bodies of add-checkpoint and their answers: what anybody's witness and anybody's log can be held to."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import cosignatures, notes
from ledger.witness.keys import WitnessKeys
from ledger.witness.state import State
from ledger.witness.witness import Witness

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "witness" / "add_checkpoint.json").read_text())


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    settings, log = VECTORS["witness"], VECTORS["log"]
    made = WitnessKeys(settings["name"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings["seed"])))
    assert made.vkeys == (settings["vkey"],)
    return Witness(made, {log["origin"]: [log["vkey"]]}, State(tmp_path / "w"), lambda: int(settings["time"]))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_each_body_has_its_answer(witness: Witness, case: dict[str, Any]) -> None:
    first = witness.add_checkpoint(base64.b64decode(VECTORS["first"]["body"]))
    assert (first.status, first.body.decode()) == (200, VECTORS["first"]["answer"])

    answer = witness.add_checkpoint(base64.b64decode(case["body"]))

    assert answer.status == case["status"]
    assert answer.body.decode() == case.get("answer", answer.body.decode())
    if answer.status == 409:
        assert answer.content_type == case["content_type"]
    witness.state.close()


def test_the_recorded_cosignatures_hold() -> None:
    recorded = [VECTORS["first"], *(case for case in VECTORS["cases"] if case["status"] == 200)]
    assert len(recorded) == 3
    for one in recorded:
        note = base64.b64decode(one["body"]).decode().partition("\n\n")[2]
        (found,) = cosignatures.verify(
            notes.add_signatures(note, one["answer"].splitlines()), keys=[VECTORS["witness"]["vkey"]]
        )
        assert found.at == VECTORS["witness"]["time"]
