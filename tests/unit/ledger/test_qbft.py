"""Headers and the seals on them: those of real networks, and seals made here that must not count."""

import json
from pathlib import Path

import coincurve
import pytest

from ledger.backends.base import ChainRefused
from ledger.backends.evidence import header_rlp
from ledger.proofs import headers, qbft, rlp
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256
from tests.unit.ledger import trie_world

VECTORS = Path(__file__).parents[2] / "vectors" / "chain"
BLOCKS = {name: block for name, block in json.loads((VECTORS / "headers.json").read_text()).items() if name != "source"}
SEALED = {name: block for name, block in json.loads((VECTORS / "qbft.json").read_text()).items() if name != "source"}
KEYS = [coincurve.PrivateKey(bytes([number]) * 32) for number in range(1, 8)]
ROOT = keccak256(b"state")


def code(call, *arguments, **named) -> str:
    try:
        call(*arguments, **named)
    except VerificationError as error:
        return error.code
    return ""


def addresses(*numbers: int) -> list[str]:
    return [trie_world.address(KEYS[number]) for number in numbers]


@pytest.mark.parametrize("name", BLOCKS)
def test_published_blocks_have_their_published_hash(name):
    block = BLOCKS[name]
    read = headers.header(header_rlp(block))
    assert (read.hash, read.parent_hash, read.state_root) == (block["hash"], block["parentHash"], block["stateRoot"])
    assert (read.number, read.timestamp) == (int(block["number"], 16), int(block["timestamp"], 16))
    assert read.extra is None


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_whose_fields_do_not_make_its_hash_is_refused(name):
    for changed in (
        {"stateRoot": "0x" + "11" * 32},
        {"extraData": None},
        {"hash": "0x" + "11" * 32},
        {"withdrawalsRoot": "0x" + "11" * 32, "baseFeePerGas": "0x7"},
        {"gasUsed": "what"},
    ):
        with pytest.raises(ChainRefused) as refused:
            header_rlp({**BLOCKS[name], **changed})
        assert refused.value.reason == "HEADER_UNKNOWN"
    with pytest.raises(ChainRefused):
        header_rlp({key: value for key, value in BLOCKS[name].items() if key != "miner"})


@pytest.mark.parametrize("name", SEALED)
def test_headers_of_real_networks_carry_enough_seals_of_their_validators(name):
    block = SEALED[name]
    encoded = bytes.fromhex(block["header"][2:])
    read = headers.check_seals(encoded, validators=block["validators"])
    assert (read.number, read.timestamp, read.state_root) == (block["number"], block["timestamp"], block["state_root"])
    assert [address.lower() for address in read.extra.validators] == block["validators"]
    assert len(read.extra.seals) == 3
    assert "0x" + read.seal_digest.hex() == block.get("commit_digest", "0x" + read.seal_digest.hex())
    assert read.hash != "0x" + keccak256(encoded).hex()  # seals and round are no part of a block's hash


@pytest.mark.parametrize("name", SEALED)
def test_no_flipped_bit_of_a_real_sealed_header_goes_unnoticed(name):
    block = SEALED[name]
    encoded = bytes.fromhex(block["header"][2:])
    for place in range(len(encoded)):
        changed = encoded[:place] + bytes([encoded[place] ^ 1 << place % 8]) + encoded[place + 1 :]
        assert code(headers.check_seals, changed, validators=block["validators"]), place


def test_a_sealed_block_is_rebuilt_from_json_with_its_seals():
    own = trie_world.sealed_header(ROOT, KEYS[:3], round_number=3, more=[7])
    names = (
        "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit "
        "gasUsed timestamp extraData mixHash nonce baseFeePerGas"
    )
    described = {name: "0x" + (item.hex() or "0") for name, item in zip(names.split(), rlp.decode(own), strict=True)}
    described["hash"] = headers.header(own).hash
    assert header_rlp(described) == own
    described["hash"] = "0x" + keccak256(own).hex()
    with pytest.raises(ChainRefused):
        header_rlp(described)


@pytest.mark.parametrize("ibft", [False, True])
def test_the_hash_is_the_same_in_every_round_and_with_every_seal(ibft):
    first = trie_world.sealed_header(ROOT, KEYS[:3], validators=addresses(0, 1, 2, 3), ibft=ibft)
    later = trie_world.sealed_header(ROOT, KEYS[1:4], validators=addresses(0, 1, 2, 3), ibft=ibft, round_number=2)
    other = trie_world.sealed_header(keccak256(ROOT), KEYS[:3], validators=addresses(0, 1, 2, 3), ibft=ibft)
    read = [headers.check_seals(one, validators=addresses(0, 1, 2, 3)) for one in (first, later, other)]
    assert read[0].hash == read[1].hash != read[2].hash
    assert read[0].seal_digest != read[1].seal_digest


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (9, 6), (10, 7)])
def test_the_quorum_is_two_thirds_rounded_up(count, needed):
    assert qbft.quorum(count) == needed


@pytest.mark.parametrize("ibft", [False, True])
def test_one_seal_less_than_the_quorum_is_too_few(ibft):
    four = addresses(0, 1, 2, 3)
    enough = trie_world.sealed_header(ROOT, KEYS[:3], validators=four, ibft=ibft)
    short = trie_world.sealed_header(ROOT, KEYS[:2], validators=four, ibft=ibft)
    assert code(headers.check_seals, enough, validators=four) == ""
    assert code(headers.check_seals, short, validators=four) == "SEALS_MISSING"


def test_a_seal_twice_or_of_a_stranger_counts_for_nothing():
    four = addresses(0, 1, 2, 3)
    twice = trie_world.sealed_header(ROOT, [KEYS[0], KEYS[0], KEYS[1]], validators=four)
    stranger = trie_world.sealed_header(ROOT, [KEYS[0], KEYS[1], KEYS[5]], validators=four)
    assert code(headers.check_seals, twice, validators=four) == "SEALS_INVALID"
    assert code(headers.check_seals, stranger, validators=four) == "SEALS_INVALID"


def test_validators_that_the_header_names_itself_are_not_believed():
    own = trie_world.sealed_header(ROOT, KEYS[:3])
    assert code(headers.check_seals, own, validators=addresses(0, 1, 2)) == ""
    assert code(headers.check_seals, own, validators=addresses(4, 5, 6)) == "VALIDATORS_DIFFER"
    assert code(headers.check_seals, own, validators=addresses(0, 1, 2, 3)) == "VALIDATORS_DIFFER"
    unnamed = trie_world.sealed_header(ROOT, KEYS[:3], validators=[])  # the chain keeps them in a contract
    assert code(headers.check_seals, unnamed, validators=addresses(0, 1, 2)) == ""
    assert code(headers.check_seals, unnamed, validators=addresses(4, 5, 6)) == "SEALS_INVALID"
    assert code(headers.check_seals, unnamed, validators=[]) == "SEALS_MISSING"


def test_the_case_and_order_of_the_policys_addresses_do_not_matter():
    own = trie_world.sealed_header(ROOT, KEYS[:3])
    assert code(headers.check_seals, own, validators=[a.upper().replace("X", "x") for a in addresses(2, 0, 1)]) == ""
    assert code(headers.check_seals, own, validators=[*addresses(0, 1, 2), addresses(0)[0].lower()]) == ""


def test_headers_of_other_chains_carry_no_seals():
    plain = trie_world.header(ROOT)
    assert headers.header(plain).extra is None
    assert code(headers.check_seals, plain, validators=addresses(0)) == "SEALS_MISSING"
    first = trie_world.sealed_header(ROOT, KEYS[:3], number=0)
    assert headers.header(first).hash == "0x" + keccak256(first).hex()
    assert code(headers.check_seals, first, validators=addresses(0, 1, 2)) == "SEALS_MISSING"


def test_later_members_of_a_header_are_kept_and_hashed():
    for more in (
        [],
        [7],
        [7, bytes(32)],
        [7, bytes(32), 0, 0, bytes(32), bytes(32)],
        [7, bytes(32), 0, 0, bytes(32), bytes(32), bytes(32), 9, b"new", [b"x"]],
    ):
        plain = trie_world.header(ROOT, more=more)
        assert headers.header(plain).hash == "0x" + keccak256(plain).hex()
        own = trie_world.sealed_header(ROOT, KEYS[:3], more=more)
        assert headers.check_seals(own, validators=addresses(0, 1, 2)).number == 7


GOOD = rlp.decode_list(trie_world.header(ROOT))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, bytes(31)),
        (2, bytes(21)),
        (3, b""),
        (3, [ROOT]),
        (6, bytes(255)),
        (7, b"\0\1"),
        (8, b"\0\7"),
        (10, bytes(33)),
        (8, b"\1" * 9),
        (11, b"\0"),
        (11, []),
        (12, [b"extra"]),
        (13, bytes(33)),
        (14, b""),
    ],
)
def test_a_header_whose_members_have_the_wrong_form_is_refused(place, value):
    items = [*GOOD[:place], value, *GOOD[place + 1 :]]
    assert code(headers.header, rlp.encode(items)) == "HEADER_INVALID"


def test_a_header_of_the_wrong_length_or_no_header_is_refused():
    for encoded in (
        b"",
        b"\xc0",
        b"\x80",
        rlp.encode(GOOD[:14]),
        rlp.encode(GOOD) + b"\0",
        rlp.encode([*GOOD, *[b""] * 18]),
    ):
        assert code(headers.header, encoded) == "HEADER_INVALID"
    assert code(headers.header, rlp.encode([*GOOD[:12], bytes(1 << 17), *GOOD[13:]])) == "HEADER_INVALID"


VANITY, LISTED, SEAL = bytes(32), [bytes(20)], [bytes(65)]


@pytest.mark.parametrize(
    "extra",
    [
        b"",
        bytes(32),
        [],
        [VANITY, LISTED, [], 0],
        [VANITY, LISTED, [], 0, [], []],
        [bytes(31), LISTED, [], 0, SEAL],
        [VANITY, [bytes(19)], [], 0, SEAL],
        [VANITY, b"", [], 0, SEAL],
        [VANITY, LISTED, [], 0, b""],
        [VANITY, LISTED, [], 0, [bytes(64)]],
        [VANITY, LISTED, [], b"\0\1", SEAL],
        [VANITY, LISTED, [], [], SEAL],
        [VANITY, LISTED, b"", 0, SEAL],
        [VANITY, LISTED, [], bytes(4), SEAL],
        [VANITY, LISTED, [bytes(20)], 0, SEAL],
        [VANITY, LISTED, [bytes(19), b"\xff"], 0, SEAL],
        [VANITY, LISTED, [bytes(20), b"\x01"], 0, SEAL],
        [VANITY, LISTED, [], 0, [bytes(65)] * 1001],
    ],
)
def test_extra_data_of_another_form_is_refused(extra):
    encoded = extra if isinstance(extra, bytes) else rlp.encode(extra)
    assert code(qbft.parse, encoded) == "RLP_INVALID"
    header = trie_world.header(ROOT, mix_hash=qbft.MIX_HASH, extra=encoded)
    assert code(headers.header, header) == "HEADER_INVALID"


def test_votes_are_read_in_both_forms_and_published_extra_data_is_taken_apart():
    for vote in ([], [bytes(20), b""], [bytes(20), b"\xff"]):
        assert qbft.parse(rlp.encode([VANITY, LISTED, vote, 0, SEAL])).seals == (bytes(65),)
    for vote in (b"", [bytes(20), b"\0"], [bytes(20), b"\xff"]):
        assert qbft.parse(rlp.encode([VANITY, LISTED, vote, bytes(4), SEAL])).seals == (bytes(65),)
    # Besu's own test of its QBFT encoder: round 0xfedcba, a vote for address 1, two validators, two seals.
    two = [bytes(19) + b"\1", bytes(19) + b"\2"]
    seals = [bytes(31) + b"\1" + bytes(31) + b"\x0a\0", bytes(31) + b"\x0a" + bytes(31) + b"\1\0"]
    encoded = rlp.encode([bytes(range(1, 33)), two, [two[0], b"\xff"], 0xFEDCBA, seals])
    assert encoded[:3].hex() == "f8f0a0"
    assert len(encoded) == 242
    read = qbft.parse(encoded)
    assert read.seals == tuple(seals)
    assert [address[-1] for address in read.validators] == ["1", "2"]
    assert read.for_seals.endswith(bytes.fromhex("83fedcbac0"))
    assert read.for_hash.endswith(bytes.fromhex("80c0"))


def test_seals_that_belong_to_no_key_are_refused():
    validators = addresses(0)
    for seal in (bytes(65), b"\xff" * 64 + b"\0", KEYS[0].sign_recoverable(ROOT, hasher=None)[:64] + b"\x1b"):
        extra = qbft.parse(rlp.encode([VANITY, [], [], 0, [seal]]))
        assert code(qbft.check_seals, extra, ROOT, validators=validators) == "SEALS_INVALID"


def test_a_seal_ends_in_0_or_1_even_where_another_end_yields_a_key():
    found = 0
    for number in range(1, 40):  # the curve's rare points beyond its order, which an end of 2 names
        seal = number.to_bytes(32, "big") + bytes(31) + b"\1" + b"\2"
        try:
            public = coincurve.PublicKey.from_signature_and_message(seal, ROOT, hasher=None)
        except Exception:  # noqa: BLE001  coincurve raises bare exceptions
            continue
        found += 1
        sealer = "0x" + keccak256(public.format(compressed=False)[1:])[-20:].hex()
        extra = qbft.parse(rlp.encode([VANITY, [], [], 0, [seal]]))
        assert code(qbft.check_seals, extra, ROOT, validators=[sealer]) == "SEALS_INVALID"
    assert found


def test_the_base_fee_is_an_integer():
    assert code(headers.header, trie_world.header(ROOT, more=[7])) == ""
    assert code(headers.header, trie_world.header(ROOT, more=[b"\0\7"])) == "HEADER_INVALID"
