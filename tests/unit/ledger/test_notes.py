"""Signed notes and checkpoints, against the specification's example and broken copies of it."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.proofs import checkpoints, notes
from ledger.proofs.checkpoints import Checkpoint
from ledger.proofs.errors import VerificationError

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "notes" / "signed_note.json").read_text())
ORIGIN = "hengshu.example/ledger/2026"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = notes.vkey(ORIGIN, KEY.public_key())
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ROOT = bytes(range(32))


def code_of(call) -> str:
    with pytest.raises(VerificationError) as raised:
        call()
    return raised.value.code


def test_the_published_note_verifies():
    note = notes.verify(VECTOR["note"].encode(), keys=[VECTOR["vkey"]])

    assert note.text.startswith("If you think cryptography is the answer")
    assert [signature.name for signature in note.signatures] == ["PeterNeumann"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("answer", "answers", "SIGNATURE_INVALID"),
        ("SffcvIAQ", "SffcvIAR", "SIGNATURE_INVALID"),
        ("— PeterNeumann x08g", "— PeterNeumann x08h", "SIGNATURE_MISSING"),
        ("— PeterNeumann", "— PeterNewmann", "SIGNATURE_MISSING"),
        ("— PeterNeumann", "- PeterNeumann", "NOTE_INVALID"),
        ("\n\n", "\n", "NOTE_INVALID"),
        ("nAM=\n", "nAM=", "NOTE_INVALID"),
        ("nAM=", "nAN=", "NOTE_INVALID"),
        ("your", "your\t", "NOTE_INVALID"),
        ("nAM=\n", "nAM=\n\n", "NOTE_INVALID"),
        ("— PeterNeumann ", "— Peter Neumann ", "NOTE_INVALID"),
    ],
)
def test_broken_copies_of_it_do_not(old, new, code):
    broken = VECTOR["note"].replace(old, new, 1)
    assert broken != VECTOR["note"]

    assert code_of(lambda: notes.verify(broken.encode(), keys=[VECTOR["vkey"]])) == code


def test_bytes_that_are_no_text_are_refused():
    for data in (b"\xff\n\n", b"", b"a" * (notes.MAX_BYTES + 1)):
        assert code_of(lambda data=data: notes.parse(data)) == "NOTE_INVALID"


def test_signatures_of_others_are_ignored_and_wrong_ones_of_ours_are_not():
    signed = notes.sign("text\n", name=ORIGIN, key=KEY)
    by_other = notes.sign("text\n", name="witness.example/w", key=STRANGER).split("\n\n")[1]
    raw = base64.b64encode(notes.key_id(ORIGIN, KEY.public_key()) + bytes(64)).decode()

    assert notes.verify((signed + by_other).encode(), keys=[VKEY]).text == "text\n"
    assert code_of(lambda: notes.verify(f"{signed}— {ORIGIN} {raw}\n".encode(), keys=[VKEY])) == "SIGNATURE_INVALID"
    assert code_of(lambda: notes.verify(signed.encode(), keys=[])) == "SIGNATURE_MISSING"


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "name+00000000", VKEY.replace("+", " "), VKEY.replace(ORIGIN, "other.example/log"),
     "name+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(), VKEY + "=", VKEY[:-4]],
)  # fmt: skip
def test_keys_in_any_other_form_are_refused(vkey):
    assert code_of(lambda: notes.parse_vkey(vkey)) == "KEY_INVALID"


def test_checkpoint_text_is_three_lines():
    checkpoint = Checkpoint(origin=ORIGIN, size=42, root=ROOT)
    text = checkpoints.format_text(checkpoint)

    assert text == f"{ORIGIN}\n42\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert checkpoints.parse(text) == checkpoints.parse(text.encode()) == checkpoint
    note = checkpoints.sign(checkpoint, key=KEY)
    assert checkpoints.verify(note.encode(), keys=[VKEY], origin=ORIGIN) == checkpoint
    assert checkpoints.parse(note) == checkpoint
    assert checkpoints.sign(checkpoint, key=KEY) == note


def test_extension_lines_are_kept():
    checkpoint = Checkpoint(origin=ORIGIN, size=1, root=ROOT, extensions=("timestamp 1",))

    assert checkpoints.parse(checkpoints.format_text(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    ["", ORIGIN, f"{ORIGIN}\n1\n", f"{ORIGIN}\n01\n{base64.b64encode(ROOT).decode()}\n",
     f"{ORIGIN}\n-1\n{base64.b64encode(ROOT).decode()}\n", f"{ORIGIN}\n1\nAA==\n",
     f"\n1\n{base64.b64encode(ROOT).decode()}\n", f"{ORIGIN}\n1\n{base64.b64encode(ROOT).decode()}"],
)  # fmt: skip
def test_other_forms_of_a_checkpoint_are_refused(text):
    assert code_of(lambda: checkpoints.parse(text)) == "CHECKPOINT_INVALID"


def test_a_checkpoint_of_another_log_is_refused_though_well_signed():
    other = "other.example/log"
    note = checkpoints.sign(Checkpoint(origin=other, size=1, root=ROOT), key=KEY)
    vkey = notes.vkey(other, KEY.public_key())

    assert code_of(lambda: checkpoints.verify(note.encode(), keys=[vkey], origin=ORIGIN)) == "ORIGIN_UNKNOWN"
