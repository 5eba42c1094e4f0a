"""Known answers of RFC 9497, and what a client refuses of a server."""

import json
from pathlib import Path
from typing import Any

import pytest

from compute.engines import oprf, ristretto
from compute.engines.oprf import Blinded, Mode

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/oprf/rfc9497.json").read_text())
CASES = [(mode, case) for mode in VECTORS["modes"] for case in mode["cases"]]


def _bytes(items: list[str]) -> list[bytes]:
    return [bytes.fromhex(item) for item in items]


@pytest.mark.parametrize("mode", VECTORS["modes"], ids=lambda mode: Mode(mode["mode"]).name)
def test_keys_are_derived_as_the_rfc_does(mode: dict[str, Any]) -> None:
    key = oprf.derive_key(bytes.fromhex(VECTORS["seed"]), bytes.fromhex(VECTORS["key_info"]), mode=Mode(mode["mode"]))
    assert key.hex() == mode["private_key"]
    assert mode.get("public_key") in (None, oprf.public_key(key).hex())


@pytest.mark.parametrize(("mode", "case"), CASES, ids=lambda found: "" if "cases" in found else found["inputs"][-1][:4])
def test_known_answers(mode: dict[str, Any], case: dict[str, Any]) -> None:
    variant, key = Mode(mode["mode"]), bytes.fromhex(mode["private_key"])
    inputs, blinds = _bytes(case["inputs"]), _bytes(case["blinds"])
    blinded = [oprf.blind(data, mode=variant, scalar=blind) for data, blind in zip(inputs, blinds, strict=True)]
    assert [item.element.hex() for item in blinded] == case["blinded"]
    evaluated = [oprf.evaluate_blinded(key, item.element) for item in blinded]
    assert [item.hex() for item in evaluated] == case["evaluated"]
    found = [oprf.finalize(*parts) for parts in zip(inputs, blinded, evaluated, strict=True)]
    assert [item.hex() for item in found] == case["outputs"]
    assert [oprf.evaluate(key, data, mode=variant).hex() for data in inputs] == case["outputs"]


@pytest.mark.parametrize("case", VECTORS["modes"][1]["cases"], ids=["one", "other", "both"])
def test_known_proofs(case: dict[str, Any]) -> None:
    mode = VECTORS["modes"][1]
    key, public = bytes.fromhex(mode["private_key"]), bytes.fromhex(mode["public_key"])
    blinded, evaluated = _bytes(case["blinded"]), _bytes(case["evaluated"])
    proof = oprf.prove(key, blinded, evaluated, randomness=bytes.fromhex(case["proof_random_scalar"]))
    assert proof.hex() == case["proof"]
    oprf.verify(public, blinded, evaluated, proof)


def _answered(count: int, key: bytes) -> tuple[list[Blinded], list[bytes]]:
    blinded = [oprf.blind(b"person %d" % number, mode=Mode.VOPRF) for number in range(count)]
    return blinded, [oprf.evaluate_blinded(key, item.element) for item in blinded]


def test_one_answer_by_another_key_is_found() -> None:
    key, marked = ristretto.random_scalar(), ristretto.random_scalar()
    blinded, evaluated = _answered(5, key)
    elements = [item.element for item in blinded]
    oprf.verify(oprf.public_key(key), elements, evaluated, oprf.prove(key, elements, evaluated))
    evaluated[3] = oprf.evaluate_blinded(marked, elements[3])
    with pytest.raises(oprf.ProofInvalid):
        oprf.verify(oprf.public_key(key), elements, evaluated, oprf.prove(key, elements, evaluated))


def test_a_server_that_marks_a_client_is_believed_without_the_proof() -> None:
    """The sister: mode OPRF has no proof, and an answer by another key looks like any other."""
    key, marked = ristretto.random_scalar(), ristretto.random_scalar()
    blinded = oprf.blind(b"x", mode=Mode.OPRF)
    found = oprf.finalize(b"x", blinded, oprf.evaluate_blinded(marked, blinded.element))
    assert found == oprf.evaluate(marked, b"x", mode=Mode.OPRF) != oprf.evaluate(key, b"x", mode=Mode.OPRF)


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_changed_proof_is_refused(place: int) -> None:
    key = ristretto.random_scalar()
    blinded, evaluated = _answered(2, key)
    elements = [item.element for item in blinded]
    proof = bytearray(oprf.prove(key, elements, evaluated))
    proof[place] ^= 1
    with pytest.raises(oprf.ProofInvalid):
        oprf.verify(oprf.public_key(key), elements, evaluated, bytes(proof))


def test_answers_that_are_no_points_are_refused() -> None:
    key = ristretto.random_scalar()
    blinded, evaluated = _answered(2, key)
    elements = [item.element for item in blinded]
    proof = oprf.prove(key, elements, evaluated)
    for bad in (bytes(32), b"\xff" * 32):
        with pytest.raises(oprf.ProofInvalid):
            oprf.verify(oprf.public_key(key), elements, [evaluated[0], bad], proof)
        with pytest.raises(ristretto.NotInGroup):
            oprf.evaluate_blinded(key, bad)
        with pytest.raises(ristretto.NotInGroup):
            oprf.finalize(b"x", blinded[0], bad)
    with pytest.raises(oprf.ProofInvalid):
        oprf.verify(oprf.public_key(key), [], [], proof)
    with pytest.raises(oprf.ProofInvalid):
        oprf.verify(oprf.public_key(key), elements, evaluated, proof[:-1])


def test_blinding_the_same_input_twice_looks_unrelated() -> None:
    assert oprf.blind(b"x", mode=Mode.VOPRF).element != oprf.blind(b"x", mode=Mode.VOPRF).element


def test_known_names_tried_on_what_the_owner_sees_find_nobody_and_without_blinds_everybody() -> None:
    """The owner knows every name of its register and has the key; the questions still say nothing."""
    names = [b"990101%012d" % number for number in range(2_000)]
    points = {oprf._point(name, Mode.VOPRF): name for name in names}
    asked = names[::100]
    seen = [oprf.blind(name, mode=Mode.VOPRF).element for name in asked]
    bare = [oprf.blind(name, mode=Mode.VOPRF, scalar=(1).to_bytes(32, "little")).element for name in asked]
    assert [points.get(element) for element in seen] == [None] * len(asked)
    assert [points.get(element) for element in bare] == asked
