"""The storage slots that proofs are made for: those of the artifact, and those the contract really uses."""

import re
from pathlib import Path

import pytest

from compute.protocol import keyfiles
from ledger.backends.base import open_shard_call, record_call
from ledger.backends.evm import EVMBackend
from ledger.chain import SOURCE_PATH, artifact
from ledger.proofs import layout
from ledger.proofs.errors import VerificationError
from ledger.proofs.typed_data import keccak256
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import TERMS, root

TYPES = {
    "shard": "uint64",
    "size": "uint64",
    "root": "bytes32",
    "root_in": "HashMap[uint64, HashMap[uint64, bytes32]]",
    "frozen": "HashMap[uint64, Frozen]",
    "grants": "HashMap[bytes32, Grant]",
    "voided": "HashMap[address, HashMap[bytes32, bool]]",
    "log_key_hash": "bytes32",
}


def members(struct: str) -> tuple[str, ...]:
    body = re.search(rf"^struct {struct}:\n((?:    .*\n)+)", Path(SOURCE_PATH).read_text(), re.MULTILINE)
    return tuple(re.findall(r"^    (\w+):", body[1], re.MULTILINE))


def test_the_slots_are_those_of_the_artifact():
    held = artifact()["storage_layout"]
    assert {name: held[name]["slot"] for name in layout.SLOTS} == layout.SLOTS
    assert {name: held[name]["type"] for name in layout.SLOTS} == TYPES
    assert all(held[name]["n_slots"] == 1 for name in layout.SLOTS)


def test_the_members_are_those_of_the_source():
    assert members("Grant") == layout.GRANT
    assert members("Frozen") == layout.FROZEN


def test_a_map_hashes_slot_and_key_as_two_words():
    # keccak256 of two words of 0 is a published constant: slot 0, key 0.
    zero = "ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5"
    assert keccak256(bytes(64)).hex() == zero
    assert layout._text(layout._mapped(0, bytes(32))) == "0x" + zero
    outer = keccak256(layout.SLOTS["root_in"].to_bytes(32, "big") + (2).to_bytes(32, "big"))
    assert layout.root_in(2, 9) == "0x" + keccak256(outer + (9).to_bytes(32, "big")).hex()


def test_names_and_values_that_do_not_exist_are_refused():
    assert layout.plain("size") == "0x" + "00" * 31 + "02"
    for call in (
        lambda: layout.root_in(-1, 1),
        lambda: layout.root_in(1, 1 << 256),
        lambda: layout.grant("0x11", "used"),
        lambda: layout.grant("zz" * 32, "used"),
        lambda: layout.voided("0x11", "11" * 32),
    ):
        with pytest.raises(VerificationError):
            call()
    with pytest.raises(ValueError, match="tuple"):
        layout.grant("11" * 32, "colour")


@pytest.mark.chain
def test_every_slot_holds_what_the_contract_answers(chain_rpc):
    backend, provider = EVMBackend(chain_rpc), keyfiles.generate("fund-a")
    contract = chain_world.deploy(backend)
    contract.anchor(0, 7)
    contract.anchor(7, 12)
    grant_id = contract.grant(provider)
    contract.run(record_call("meter", {"grant_id": grant_id, "used": 6}), by=contract.exchange)
    block = backend._web3.eth.block_number
    contract.run(record_call("revoke", contract.revocation(grant_id, by=provider)), by=contract.exchange)

    def held(slot: str) -> int:
        return int.from_bytes(backend._web3.eth.get_storage_at(contract.address, int(slot, 16)), "big")

    expected = {
        "grantor": int(provider.chain_address, 16),
        "terms_digest": int(TERMS, 16),
        "not_before": 1_700_000_000,
        "not_after": 1_900_000_000,
        "cap": 20,
        "used": 6,
        "revoked_at": block + 1,
    }
    assert {member: held(layout.grant(grant_id, member)) for member in layout.GRANT} == expected
    assert [held(layout.plain(name)) for name in ("shard", "size", "root")] == [1, 12, int(root(12), 16)]
    assert [held(layout.root_in(1, size)) for size in (7, 12, 8)] == [int(root(7), 16), int(root(12), 16), 0]
    assert held(layout.plain("log_key_hash")) == int.from_bytes(chain_world.LOG_KEY_HASH, "big")
    assert held(layout.root_in(2, 12)) == held(layout.frozen(1, "size")) == 0

    contract.run(open_shard_call(number=2, log_key_hash="09" * 32), by=contract.exchange)
    assert [held(layout.plain(name)) for name in ("shard", "size", "root")] == [2, 0, 0]
    frozen = {member: held(layout.frozen(1, member)) for member in layout.FROZEN}
    assert frozen == {
        "size": 12,
        "root": int(root(12), 16),
        "log_key_hash": int.from_bytes(chain_world.LOG_KEY_HASH, "big"),
    }
    assert held(layout.root_in(1, 12)) == int(root(12), 16)
