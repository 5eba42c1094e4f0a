"""Cosignatures: known answers of both kinds, and broken copies of them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger.proofs import cosignatures, notes, signature_types
from tests.unit.ledger.known_answers import changed, code_of, load, name_of

CASES = load("cosignatures/cases.json")
WITNESSES = CASES["witnesses"]
KEYS = [witness["vkey"] for witness in WITNESSES]
NOBODY = Ed25519PrivateKey.from_private_bytes(bytes([99]) * 32)


def private_key(witness):
    seed = bytes.fromhex(witness["seed"])
    if witness["kind"] == "ed25519":
        return Ed25519PrivateKey.from_private_bytes(seed)
    return MLDSA44PrivateKey.from_seed_bytes(seed)


@pytest.mark.parametrize("case", CASES["cases"], ids=name_of)
def test_cosigned_checkpoints_and_their_broken_copies_are_judged_right(case):
    note = changed(CASES["good"], case)

    assert code_of(lambda: cosignatures.verify(note, keys=KEYS)) == case["code"]
    if case["code"] is None:
        assert [found.name for found in cosignatures.verify(note, keys=KEYS)] == case["held"]


@pytest.mark.parametrize("witness", WITNESSES, ids=name_of)
def test_keys_lines_and_signed_bytes_are_the_known_ones(witness):
    key = private_key(witness)
    algorithm = signature_types.cosignature_algorithm(key)
    line = cosignatures.sign(CASES["text"], name=witness["name"], key=key, at=witness["at"])
    signed = {"name": witness["name"], "text": CASES["text"], "at": witness["at"]}

    assert cosignatures.vkey(witness["name"], key.public_key()) == witness["vkey"]
    assert signature_types.message(algorithm, **signed).hex() == witness["message"]
    assert (line == witness["line"]) is (witness["kind"] == "ed25519")  # ML-DSA-44 draws on chance
    note = notes.add_signatures(CASES["good"].replace(witness["line"] + "\n", ""), [line])
    assert len(cosignatures.verify(note, keys=KEYS)) == 2


def test_the_time_and_key_that_were_signed_come_back():
    held = cosignatures.verify(CASES["good"].encode(), keys=KEYS)

    assert [found.at for found in held] == [witness["at"] for witness in WITNESSES]
    assert [found.key_id for found in held] == [notes.parse_vkey(key).key_id for key in KEYS]


def test_of_two_lines_by_one_witness_the_later_time_counts():
    later = cosignatures.sign(CASES["text"], name="w1.example/w", key=private_key(WITNESSES[0]), at=1_700_000_009)

    for note in (f"{CASES['good']}{later}\n", CASES["good"].replace("\n\n", f"\n\n{later}\n", 1)):
        assert {found.name: found.at for found in cosignatures.verify(note, keys=KEYS)} == {
            "w1.example/w": 1_700_000_009,
            "pq.example/w": 1_700_000_001,
        }


def test_keys_that_have_not_signed_and_no_keys_at_all_give_no_cosignature():
    assert cosignatures.verify(CASES["good"], keys=[]) == []
    assert code_of(lambda: cosignatures.verify("text\n\n— a AAAAAAA=\n", keys=[])) == "CHECKPOINT_INVALID"
    assert cosignatures.verify(CASES["good"], keys=[cosignatures.vkey("nobody", NOBODY.public_key())]) == []


def test_a_log_s_plain_key_is_no_witness():
    assert code_of(lambda: cosignatures.verify(CASES["good"], keys=[CASES["log"]["vkey"]])) == "KEY_INVALID"


@pytest.mark.parametrize(
    ("text", "name", "at", "code"),
    [
        (CASES["good"], "w", 1, "CHECKPOINT_INVALID"),
        ("text\n", "w", 1, "CHECKPOINT_INVALID"),
        (CASES["text"], "w w", 1, "KEY_INVALID"),
        (CASES["text"], "", 1, "KEY_INVALID"),
        (CASES["text"], "w", -1, "SIGNATURE_INVALID"),
        (CASES["text"], "w", 2**63, "SIGNATURE_INVALID"),
    ],
)
def test_what_no_witness_may_sign_is_refused(text, name, at, code):
    for witness in WITNESSES:
        key = private_key(witness)
        assert code_of(lambda key=key: cosignatures.sign(text, name=name, key=key, at=at)) == code


def test_ml_dsa_44_commits_to_the_witness_s_name_and_takes_names_of_255_bytes():
    key = private_key(WITNESSES[1])
    line = cosignatures.sign(CASES["text"], name="a.example", key=key, at=1)
    stolen = notes.parse_line(line)
    vkey = cosignatures.vkey("b.example", key.public_key())
    moved = notes.format_line(notes.Signature("b.example", notes.parse_vkey(vkey).key_id, stolen.value))

    assert code_of(lambda: cosignatures.verify(f"{CASES['text']}\n{moved}\n", keys=[vkey])) == "SIGNATURE_INVALID"
    assert code_of(lambda: cosignatures.sign(CASES["text"], name="n" * 255, key=key, at=1)) is None
    assert code_of(lambda: cosignatures.sign(CASES["text"], name="n" * 256, key=key, at=1)) == "CHECKPOINT_INVALID"
