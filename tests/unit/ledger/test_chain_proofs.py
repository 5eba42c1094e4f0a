"""What the chain holds, proven offline: evidence from a real chain, and everything that must not pass for it."""

import copy
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from compute.protocol import keyfiles
from ledger.backends import evidence as collecting
from ledger.backends.base import Call, ChainRefused, ChainUnreachable, record_call
from ledger.backends.evm import EVMBackend
from ledger.backends.memory import MemoryBackend
from ledger.proofs import chain, grants, layout, typed_data
from ledger.proofs.errors import VerificationError
from tests.unit.ledger import chain_world
from tests.unit.ledger.chain_world import TERMS, root


@dataclass(frozen=True)
class Policy:
    contract_address: str
    code_hash: str | None = None
    validators: Sequence[str] = ()


@pytest.fixture(scope="module")
def backend(chain_rpc):
    return EVMBackend(chain_rpc)


@pytest.fixture
def contract(backend):
    return chain_world.deploy(backend)


@pytest.fixture
def policy(contract):
    return Policy(contract.address, contract.backend.code_hash(contract.address))


@pytest.fixture
def provider():
    return keyfiles.generate("fund-a")


def code(call, *arguments, **named) -> str:
    """The code of the refusal; empty where it passes. Nothing but VerificationError may come out."""
    try:
        call(*arguments, **named)
    except VerificationError as error:
        return error.code
    return ""


def root_evidence(contract, size, *, shard=1, **block):
    return contract.backend.evidence(contract.address, slots=layout.for_root(shard, size), **block)


def grant_evidence(contract, provider):
    grant_id = grants.grant_id(grantor=provider.chain_address, terms_digest=TERMS)
    slots = layout.for_grant(grant_id=grant_id, signer=provider.chain_address, terms_digest=TERMS)
    return grant_id, contract.backend.evidence(contract.address, slots=slots)


@pytest.mark.chain
def test_an_anchored_root_is_proven_and_the_block_is_named(contract, policy):
    contract.anchor(0, 7)
    landed = contract.anchor(7, 12)
    found = root_evidence(contract, 12, block_number=landed.block_number)
    block = chain.check_root(found, chain=policy, shard=1, size=12, root=root(12), block_hash=landed.block_hash)
    assert (block.number, block.hash, block.is_sealed) == (landed.block_number, landed.block_hash, False)
    assert abs(block.timestamp - time.time()) < 3600
    assert (
        chain.check_root(root_evidence(contract, 7), chain=policy, shard=1, size=7, root=root(7)).number >= block.number
    )


@pytest.mark.chain
def test_a_root_that_was_never_anchored_is_proven_absent(contract, policy):
    contract.anchor(0, 7)
    found = root_evidence(contract, 8)
    assert found["storage"][0]["value"] == "0x0"
    asked = {"chain": policy, "shard": 1, "size": 8, "root": root(8)}
    assert code(chain.check_root, found, **asked) == "CHAIN_ROOT_ABSENT"
    assert code(chain.check_root, root_evidence(contract, 7), **asked) == "CHAIN_PROOF_INCOMPLETE"


@pytest.mark.chain
def test_another_root_another_shard_and_another_block_are_refused(contract, policy):
    contract.anchor(0, 7)
    found = root_evidence(contract, 7)
    asked = {"chain": policy, "shard": 1, "size": 7}
    assert code(chain.check_root, found, **asked, root=root(7)) == ""
    assert code(chain.check_root, found, **asked, root=root(8)) == "CHAIN_ROOT_DIFFERS"
    assert code(chain.check_root, found, **{**asked, "shard": 2}, root=root(7)) == "CHAIN_PROOF_INCOMPLETE"
    other = "0x" + "11" * 32
    assert code(chain.check_root, found, **asked, root=root(7), block_hash=other) == "BLOCK_DIFFERS"


@pytest.mark.chain
def test_a_root_before_its_anchor_is_not_there_yet(contract, policy):
    landed = contract.anchor(0, 7)
    before = root_evidence(contract, 7, block_number=landed.block_number - 1)
    assert code(chain.check_root, before, chain=policy, shard=1, size=7, root=root(7)) == "CHAIN_ROOT_ABSENT"
    at = root_evidence(contract, 7, block_hash=landed.block_hash)
    assert chain.check_root(at, chain=policy, shard=1, size=7, root=root(7)).hash == landed.block_hash
