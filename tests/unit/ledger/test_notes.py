"""Signed notes and checkpoints: the specifications' examples, broken copies of them, and our own signatures."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.proofs import checkpoints, cosignatures, notes
from ledger.proofs.checkpoints import Checkpoint
from tests.unit.ledger.known_answers import changed, code_of, load, name_of

VECTOR = load("notes/signed_note.json")
EXAMPLE = load("notes/c2sp_example.json")
SOFA = load("checkpoints/c2sp_example.json")
ORIGIN = "hengshu.example/ledger/2026"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VKEY = notes.vkey(ORIGIN, KEY.public_key())
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
POST_QUANTUM = MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
POST_QUANTUM_VKEY = notes.vkey(ORIGIN, POST_QUANTUM.public_key())
ROOT = bytes(range(32))


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


@pytest.mark.parametrize("case", EXAMPLE["cases"], ids=name_of)
def test_the_specification_s_note_and_its_broken_copies_are_judged_right(case):
    data = changed(EXAMPLE["good"], case)

    assert code_of(lambda: notes.verify(data, keys=[EXAMPLE["vkey"]])) == case["code"]
    if case["code"] is None:
        assert notes.parse(data).text == EXAMPLE["text"]


@pytest.mark.parametrize("case", EXAMPLE["vkeys"], ids=name_of)
def test_the_specification_s_key_and_its_broken_copies_are_judged_right(case):
    text = changed(EXAMPLE["vkey"], case).decode()

    assert code_of(lambda: notes.parse_vkey(text)) == case["code"]


def test_no_part_of_a_key_is_a_key_and_no_character_may_change():
    for start in range(len(VECTOR["vkey"])):
        for end in range(start, len(VECTOR["vkey"])):
            assert code_of(lambda part=VECTOR["vkey"][start:end]: notes.parse_vkey(part)) == "KEY_INVALID"
    for place, character in enumerate(VECTOR["vkey"]):
        other = VECTOR["vkey"][:place] + chr(ord(character) + 1) + VECTOR["vkey"][place + 1 :]
        assert code_of(lambda other=other: notes.parse_vkey(other)) == "KEY_INVALID", other


def test_every_byte_of_a_note_matters():
    data = EXAMPLE["good"].encode()
    for place in range(len(data)):
        for flip in (1, 0x80):
            broken = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            assert code_of(lambda broken=broken: notes.verify(broken, keys=[EXAMPLE["vkey"]])) is not None, place


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: (text + "\n\n— a AAAAAAA=\n").encode()))
def test_whatever_comes_is_read_or_refused_never_a_crash(data):
    assert code_of(lambda: notes.parse(data)) in {None, "NOTE_INVALID"}
    assert code_of(lambda: checkpoints.parse(data)) in {None, "NOTE_INVALID", "CHECKPOINT_INVALID"}


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])), st.text(min_size=1, max_size=20))
def test_what_is_signed_verifies_and_reads_back(text, name):
    if code_of(lambda: notes.vkey(name, KEY.public_key())) == "KEY_INVALID":
        assert code_of(lambda: notes.sign(text + "\n", name=name, key=KEY)) == "KEY_INVALID"
        return
    note = notes.sign(text + "\n", name=name, key=KEY)

    found = notes.verify(note.encode(), keys=[notes.vkey(name, KEY.public_key())])
    assert found.text == text + "\n"
    assert found.signatures[0].name == name


@pytest.mark.parametrize("text", ["", "text", "a\tb\n", "\ud800\n", "\x00\n"])
def test_a_text_that_is_none_cannot_be_signed(text):
    assert code_of(lambda: notes.sign(text, name=ORIGIN, key=KEY)) == "NOTE_INVALID"


def test_bytes_that_are_no_text_are_refused():
    for data in (b"\xff\n\n", b""):
        assert code_of(lambda data=data: notes.parse(data)) == "NOTE_INVALID"


def test_a_note_has_at_most_a_million_bytes():
    tail = b"\n\n\xe2\x80\x94 a AAAAAAA=\n"
    longest = b"a" * (notes.MAX_BYTES - len(tail)) + tail

    assert code_of(lambda: notes.parse(longest)) is None
    assert code_of(lambda: notes.parse(b"a" + longest)) == "NOTE_INVALID"


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


@pytest.mark.parametrize("case", SOFA["cases"], ids=name_of)
def test_the_specification_s_checkpoint_and_its_broken_copies_are_judged_right(case):
    assert code_of(lambda: checkpoints.parse(changed(SOFA["good"], case))) == case["code"]


def test_the_specification_s_checkpoint_says_what_it_says():
    for document in (SOFA["good"], SOFA["note"], SOFA["note"].encode()):
        found = checkpoints.parse(document)
        assert (found.origin, found.size, found.root.hex()) == (SOFA["origin"], SOFA["size"], SOFA["root"])
    lines = notes.parse(SOFA["note"]).signatures
    assert [[line.name, line.key_id.hex(), len(line.value)] for line in lines] == SOFA["signatures"]
    assert int.from_bytes(lines[1].value[:8]) == SOFA["cosigned_at"]


@pytest.mark.parametrize(
    ("change", "value"),
    [("origin", ""), ("origin", "a\nb"), ("size", -1), ("size", 2**63), ("root", b"short"), ("extensions", ("",)),
     ("extensions", ("a\n\nb",))],
)  # fmt: skip
def test_a_checkpoint_that_would_not_read_back_cannot_be_signed(change, value):
    parts = {"origin": ORIGIN, "size": 1, "root": ROOT, change: value}

    assert code_of(lambda: checkpoints.sign(Checkpoint(**parts), key=KEY)) == "CHECKPOINT_INVALID"


def test_a_post_quantum_line_stands_beside_the_first_and_either_is_enough():
    checkpoint = Checkpoint(origin=ORIGIN, size=42, root=ROOT)
    note = checkpoints.sign(checkpoint, key=KEY, extra_keys=[POST_QUANTUM], at=1_700_000_000)

    first, second = notes.parse(note).signatures
    assert (len(first.value), len(second.value)) == (64, 8 + 2420)
    for keys in ([VKEY], [POST_QUANTUM_VKEY], [VKEY, POST_QUANTUM_VKEY]):
        assert checkpoints.verify(note.encode(), keys=keys, origin=ORIGIN) == checkpoint
    for old, new in ((b"\n42\n", b"\n43\n"), (ORIGIN.encode(), b"other.example/log")):
        broken = note.encode().replace(old, new, 1)
        assert code_of(lambda broken=broken: notes.verify(broken, keys=[POST_QUANTUM_VKEY])) == "SIGNATURE_INVALID"
    alone = checkpoints.sign(checkpoint, key=POST_QUANTUM)
    assert code_of(lambda: notes.verify(alone.encode(), keys=[VKEY])) == "SIGNATURE_MISSING"
    assert code_of(lambda: notes.sign("no checkpoint\n", name=ORIGIN, key=POST_QUANTUM)) == "CHECKPOINT_INVALID"


def test_one_key_has_another_id_for_each_kind_of_signature():
    plain, cosigner = notes.parse_vkey(VKEY), notes.parse_vkey(cosignatures.vkey(ORIGIN, KEY.public_key()))

    assert (plain.algorithm, cosigner.algorithm) == (0x01, 0x04)
    assert plain.raw == cosigner.raw
    assert plain.key_id != cosigner.key_id
    signed = notes.sign(f"{ORIGIN}\n1\n{base64.b64encode(ROOT).decode()}\n", name=ORIGIN, key=KEY)
    assert code_of(lambda: notes.verify(signed, keys=[cosignatures.vkey(ORIGIN, KEY.public_key())])) == (
        "SIGNATURE_MISSING"
    )


def test_a_key_that_only_cosigns_speaks_for_no_log():
    note = notes.add_signatures(
        checkpoints.sign(Checkpoint(origin=ORIGIN, size=1, root=ROOT), key=STRANGER),
        [cosignatures.sign(f"{ORIGIN}\n1\n{base64.b64encode(ROOT).decode()}\n", name=ORIGIN, key=KEY, at=1)],
    )
    cosigner = cosignatures.vkey(ORIGIN, KEY.public_key())

    assert code_of(lambda: notes.verify(note, keys=[cosigner])) is None
    assert code_of(lambda: checkpoints.verify(note.encode(), keys=[cosigner], origin=ORIGIN)) == "KEY_INVALID"


def test_lines_are_added_once_and_to_a_hundred():
    note = notes.sign("text\n", name=ORIGIN, key=KEY)
    line = notes.signature_line("text\n", name="other.example/key", key=STRANGER)

    joined = notes.add_signatures(note, [line, line + "\n", note.split("\n\n")[1]])
    assert joined == f"{note}{line}\n"
    assert notes.add_signatures(joined, [line]) == joined
    full = notes.add_signatures(note, [line.replace("other", f"o{number}") for number in range(99)])
    assert len(notes.parse(full).signatures) == 100
    assert code_of(lambda: notes.add_signatures(full, [line])) == "NOTE_INVALID"
    for wrong in ("", "text", "- a AAAAAAA=", line + "\n\n", f"{line}\n{line}"):
        assert code_of(lambda wrong=wrong: notes.add_signatures(note, [wrong])) == "NOTE_INVALID"


def test_two_keys_under_one_name_and_id_are_refused(monkeypatch):
    other = notes.vkey(ORIGIN, STRANGER.public_key())
    monkeypatch.setattr(notes, "key_id", lambda *_args, **_named: bytes(4))
    forged = [f"{ORIGIN}+00000000+{key.split('+', 2)[2]}" for key in (VKEY, other)]
    note = notes.sign("text\n", name=ORIGIN, key=KEY)

    assert code_of(lambda: notes.verify(note, keys=forged[:1])) is None
    assert code_of(lambda: notes.verify(note, keys=forged)) == "KEY_INVALID"


def test_a_checkpoint_of_another_log_is_refused_though_well_signed():
    other = "other.example/log"
    note = checkpoints.sign(Checkpoint(origin=other, size=1, root=ROOT), key=KEY)
    vkey = notes.vkey(other, KEY.public_key())

    assert code_of(lambda: checkpoints.verify(note.encode(), keys=[vkey], origin=ORIGIN)) == "ORIGIN_UNKNOWN"
